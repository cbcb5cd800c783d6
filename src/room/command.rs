//! What somebody wants to have appended to a room's log, and the rules that decide it.
//!
//! Pure: the writer asks [`Members::authorise`] with the members as of the tail, so a permission is checked
//! against exactly the state that the event will follow.

use std::collections::HashMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::domain::event::MemberAdded;
use crate::domain::message::Digest;
use crate::domain::permission::{Action, may};
use crate::domain::{
    Body, ClientId, Email, Event, Message, Nonce, RemovalReason, Role, RoomKind, UserId, Username,
};
use crate::store::{RoomState, StoreError};

/// What somebody wants to have appended.
#[derive(Debug, Clone)]
pub struct Command {
    /// Who.
    pub sender: UserId,
    /// The sender's key for retries; minted from `nonce` where the client gave none.
    pub client_id: ClientId,
    /// What tells this attempt from every other.
    pub nonce: Nonce,
    /// What.
    pub change: Change,
    /// In whose right.
    pub authority: Authority,
}

/// In whose right something is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Authority {
    /// The sender's, by their role in the room.
    Member,
    /// Administration's, or the service's own: no role is asked for.
    Service,
}

/// What is to be changed.
#[derive(Debug, Clone)]
pub enum Change {
    /// Say something.
    Post {
        /// What.
        message: Message,
        /// The digest that it had under the secret before this one, while both are in use.
        digest_before: Option<Digest>,
    },
    /// Let somebody in.
    Add(MemberAdded),
    /// Take somebody out; oneself to leave.
    Remove {
        /// Whom.
        user: UserId,
        /// Why.
        reason: RemovalReason,
    },
    /// Give the room this name and this owner, who must be a member.
    Update {
        /// The name; as it is if `None`.
        name: Option<String>,
        /// The owner.
        owner: UserId,
        /// The owner's address.
        owner_email: Email,
    },
    /// Blank every message so far.
    Clear,
    /// End the room.
    Delete,
}

/// Why a command was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// The room does not exist, or is deleted, or the sender is not in it.
    #[error("no such room for the sender")]
    NotFound,
    /// The sender's role does not allow it.
    #[error("not allowed")]
    Forbidden,
    /// Whom it is about is in the room already.
    #[error("already a member")]
    AlreadyMember,
    /// Whom it is about is not in the room.
    #[error("no member")]
    NoMember,
    /// The owner cannot go.
    #[error("the owner cannot leave")]
    OwnerStays,
    /// The `client_id` stands for other content.
    #[error("client_id stands for other content")]
    ClientIdConflict,
    /// The room's queue is full; nothing was stored.
    #[error("queue full")]
    Overloaded,
    /// Whether it was stored is not known; the same `client_id` may be sent again.
    #[error("outcome unknown")]
    Unknown,
    /// The store does not answer; nothing was stored.
    #[error("store unavailable")]
    Unavailable(#[source] StoreError),
}

impl Refused {
    /// Whether the sender is invited to send the same again, which may then be stored.
    pub(crate) const fn is_for_now(&self) -> bool {
        matches!(self, Self::Overloaded | Self::Unknown | Self::Unavailable(_))
    }
}

/// A command that was carried out.
#[derive(Debug, Clone)]
pub struct Committed {
    /// What stands in the log.
    pub event: Arc<Event>,
    /// Whether it stood there before: an earlier attempt with the same `client_id`.
    pub repeated: bool,
}

/// Who is in a room, as of its tail.
#[derive(Debug, Clone)]
pub(crate) struct Members {
    kind: RoomKind,
    name: String,
    owner: UserId,
    /// Shared with the copies that a batch is decided on, until one of them changes.
    members: Arc<HashMap<UserId, Member>>,
    deleted: bool,
}

#[derive(Debug, Clone)]
struct Member {
    username: Username,
    role: Role,
}

impl Members {
    /// The members that `state` tells.
    pub(crate) fn new(state: RoomState) -> Self {
        let members: HashMap<_, _> = (state.members.into_iter())
            .map(|(id, username, role)| (id, Member { username, role }))
            .collect();
        Self {
            kind: state.room.kind,
            name: state.room.name,
            owner: state.room.owner.id,
            members: Arc::new(members),
            deleted: false,
        }
    }

    /// Whether `command` may be carried out now, and what is to be appended: `through` is the tail.
    pub(crate) fn authorise(
        &self,
        command: &Command,
        through: crate::domain::Seq,
    ) -> Result<Body, Refused> {
        if self.deleted {
            return Err(Refused::NotFound);
        }
        match &command.change {
            Change::Post { message, .. } => {
                self.require(command, Action::Post)?;
                Ok(Body::Message(message.clone()))
            }
            Change::Add(added) => {
                self.require(command, Action::AnswerRequests)?;
                match self.members.contains_key(&added.user) {
                    true => Err(Refused::AlreadyMember),
                    false => Ok(Body::MemberAdded(added.clone())),
                }
            }
            Change::Remove { user, reason } => self.authorise_removal(command, *user, *reason),
            Change::Update { name, owner, owner_email } => {
                if command.authority != Authority::Service {
                    return Err(Refused::Forbidden);
                }
                let member = self.members.get(owner).ok_or(Refused::NoMember)?;
                Ok(Body::RoomUpdated {
                    name: name.clone().unwrap_or_else(|| self.name.clone()),
                    owner: *owner,
                    owner_email: owner_email.clone(),
                    owner_username: member.username.clone(),
                })
            }
            Change::Clear => match command.authority {
                Authority::Service => Ok(Body::Cleared { through }),
                Authority::Member => Err(Refused::Forbidden),
            },
            Change::Delete => {
                self.require(command, Action::Delete)?;
                Ok(Body::RoomDeleted)
            }
        }
    }

    fn require(&self, command: &Command, action: Action) -> Result<(), Refused> {
        let role = self.members.get(&command.sender).map(|member| member.role);
        match (command.authority, role) {
            (Authority::Service, _) => Ok(()),
            (Authority::Member, None) => Err(Refused::NotFound),
            (Authority::Member, role) if may(role, self.kind, action) => Ok(()),
            (Authority::Member, Some(_)) => Err(Refused::Forbidden),
        }
    }

    fn authorise_removal(
        &self,
        command: &Command,
        user: UserId,
        reason: RemovalReason,
    ) -> Result<Body, Refused> {
        if user == command.sender && command.authority == Authority::Member {
            match self.require(command, Action::Leave) {
                Err(Refused::Forbidden) => return Err(Refused::OwnerStays),
                other => other?,
            }
        } else {
            self.require(command, Action::RemoveMember)?;
        }
        let member = self.members.get(&user).ok_or(Refused::NoMember)?;
        if self.kind == RoomKind::Group && user == self.owner && self.members.len() > 1 {
            return Err(Refused::OwnerStays); // The service hands the room on first.
        }
        Ok(Body::MemberRemoved { user, username: member.username.clone(), reason })
    }

    /// Takes in what has been appended.
    pub(crate) fn apply(&mut self, body: &Body) {
        match body {
            Body::MemberAdded(added) => {
                let member = Member { username: added.username.clone(), role: added.role };
                Arc::make_mut(&mut self.members).insert(added.user, member);
            }
            Body::MemberRemoved { user, .. } => {
                Arc::make_mut(&mut self.members).remove(user);
            }
            Body::RoomUpdated { name, owner, .. } => {
                self.name.clone_from(name);
                self.owner = *owner;
                for (id, member) in Arc::make_mut(&mut self.members) {
                    member.role = if id == owner { Role::Owner } else { Role::Member };
                }
            }
            Body::RoomDeleted => {
                self.members = Arc::default();
                self.deleted = true;
            }
            Body::Message(_)
            | Body::Edited { .. }
            | Body::Deleted { .. }
            | Body::Reacted { .. }
            | Body::Cleared { .. }
            | Body::Gone { .. } => {}
        }
    }
}
