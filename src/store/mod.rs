//! Where users, rooms and messages are kept: the ports, and what connects to their adapters ([`connect()`]).
//!
//! The log of a room ([`LogStore`]) is the truth. Rooms, memberships and the answers to join requests are
//! derived from it: every adapter applies an event to them before any read through these ports can miss it
//! (the embedded one in the transaction of the append itself). So nothing here changes a membership but
//! [`LogStore::append`].
//!
//! Contract: `tests/it/store.rs`, run on every adapter.

mod connect;
pub mod embedded;
mod erasure;
mod error;
mod measured;
pub mod mongodb;
mod retention;

use std::sync::Arc;

use async_trait::async_trait;

use crate::domain::attachment::Upload;
use crate::domain::event::Event;
use crate::domain::membership::ReadMarker;
use crate::domain::room::Tail;
use crate::domain::{
    AttachmentId, ClientId, Email, Epoch, JoinRequest, JoinRequestId, Membership, MembershipId,
    Page, Role, Room, RoomId, RoomKind, Seq, Timestamp, User, UserId, Username,
};
use crate::metrics::{Commit, Labels};

pub use self::connect::{Access, connect, migrate};
pub use self::erasure::ErasureStore;
pub use self::error::{Conflict, Result, StoreError};
pub use self::measured::measured;
pub use self::retention::RetentionStore;

/// Everything a node keeps.
pub type DynStore = Arc<dyn Store>;

/// What became of an append.
#[derive(Debug)]
pub enum Appended {
    /// All are durable.
    All,
    /// The events before `index` are durable, nothing from it on is: its position is not the one behind the
    /// tail. It is taken by another event, or lies further on and would leave a hole; or the room is deleted
    /// or never was, where no position is free.
    PositionTaken {
        /// Which of the events.
        index: usize,
    },
    /// The events before `index` are durable, nothing from it on is: its sender's `client_id` stands
    /// for an earlier event of the room.
    ClientIdTaken {
        /// Which of the events.
        index: usize,
    },
    /// Not known. Only the same events at the same positions may be sent again, until another answer decides.
    Unknown(StoreError),
}

impl Appended {
    /// The outcome in a word.
    pub fn label(&self) -> &'static str {
        self.outcome().values()[0]
    }

    /// The outcome as it is counted.
    pub fn outcome(&self) -> Commit {
        match self {
            Self::All => Commit::Stored,
            Self::PositionTaken { .. } => Commit::PositionTaken,
            Self::ClientIdTaken { .. } => Commit::ClientIdTaken,
            Self::Unknown(_) => Commit::Unknown,
        }
    }
}

/// A new account and the hash of its password.
#[derive(Debug, Clone)]
pub struct NewUser {
    /// Its id.
    pub id: UserId,
    /// Its address.
    pub email: Email,
    /// Its name.
    pub username: Username,
    /// bcrypt, in its own text form.
    pub password_hash: String,
    /// Whether it administers. The very first account does anyway.
    pub is_admin: bool,
    /// Now.
    pub created_at: Timestamp,
}

/// Changes of an account; `None` leaves a field as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UserChange {
    /// A new address.
    pub email: Option<Email>,
    /// A new name.
    pub username: Option<Username>,
    /// bcrypt, in its own text form.
    pub password_hash: Option<String>,
    /// Whether it administers.
    pub is_admin: Option<bool>,
    /// Whether it is shut.
    pub is_disabled: Option<bool>,
    /// Until when the user has declared to be online (`Some(None)`: not any more).
    pub online_until: Option<Option<Timestamp>>,
    /// Whether to end every token of the account: its generation is raised.
    pub revoke: bool,
}

/// Accounts.
#[async_trait]
pub trait UserStore: Send + Sync {
    /// Makes an account and answers with it. The very first one administers, also when two are made at the
    /// same instant.
    ///
    /// # Errors
    ///
    /// [`Conflict::EmailTaken`], [`Conflict::UsernameTaken`] (in this order), both compared in their folded
    /// forms.
    async fn create_user(&self, user: NewUser) -> Result<User>;

    /// The account; `None` if it does not exist or is deleted. A disabled one is answered.
    async fn user(&self, id: UserId) -> Result<Option<User>>;

    /// The account whose address or name is `login`, folded, and the hash of its password. Addresses are
    /// looked at first.
    async fn user_by_login(&self, login: &str) -> Result<Option<(User, String)>>;

    /// The hash of the account's password.
    async fn password_hash(&self, id: UserId) -> Result<Option<String>>;

    /// Changes an account in one step and answers with it.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotFound`]; [`Conflict::EmailTaken`], [`Conflict::UsernameTaken`];
    /// [`Conflict::LastAdmin`] if it would leave no enabled account that administers.
    async fn update_user(&self, id: UserId, change: UserChange) -> Result<User>;

    /// Deletes an account: its address and name become free, its generation is raised, its join requests go,
    /// [`UserStore::user`] answers `None`. Where it is still named, as the owner of a room or a member, it is
    /// called `(deleted)` and has an empty address. Memberships end by events of their rooms, which are the
    /// caller's to append.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotFound`]; [`Conflict::LastAdmin`].
    async fn remove_user(&self, id: UserId) -> Result<()>;

    /// Accounts in the order of their ids.
    async fn users(&self, page: Page<UserId>) -> Result<Vec<User>>;

    /// Enabled accounts whose folded name begins with `prefix` (folded by the caller), in the order of
    /// their ids. Every character of `prefix` is literal.
    async fn users_by_name(&self, prefix: &str, page: Page<UserId>) -> Result<Vec<User>>;

    /// Accounts whose tokens were ended at `since` or later, deleted ones among them, each with the
    /// last time of it. By this a node learns what another process has revoked.
    async fn revoked(&self, since: Timestamp) -> Result<Vec<(UserId, Timestamp)>>;
}

/// A new room with the first events of its log.
#[derive(Debug, Clone)]
pub struct NewRoom {
    /// Its id.
    pub id: RoomId,
    /// Its name.
    pub name: String,
    /// Who makes it, a member by one of `events`.
    pub owner: UserId,
    /// For a private room its two members, as [`crate::domain::membership::sorted_pair`] orders them.
    pub pair: Option<(UserId, UserId)>,
    /// Now.
    pub created_at: Timestamp,
    /// Positions 1, 2 ...: a `MemberAdded` for each first member.
    pub events: Vec<Event>,
}

/// What the writer of a room has to know before it may append: all of it as of `tail`.
#[derive(Debug, Clone)]
pub struct RoomState {
    /// The room.
    pub room: Room,
    /// Its members.
    pub members: Vec<(UserId, Username, Role)>,
    /// The end of its log.
    pub tail: Tail,
}

/// A room as one of its members sees it in a list.
#[derive(Debug, Clone)]
pub struct RoomEntry {
    /// The room.
    pub room: Room,
    /// What the member may do.
    pub role: Role,
    /// Up to where the member has read.
    pub read: ReadMarker,
    /// The end of its log.
    pub tail: Tail,
    /// The newest message of which something is left.
    pub last_message: Option<Event>,
    /// The other person of a private room, as long as they are in it.
    pub peer: Option<(UserId, Username)>,
}

/// Rooms, without their logs.
#[async_trait]
pub trait RoomStore: Send + Sync {
    /// Makes a room with its first events, all or nothing, and answers its id: for a pair that has a
    /// private room already, the id of that one. Again with the same id it changes nothing.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotFound`] if the owner has no account.
    async fn create_room(&self, room: NewRoom) -> Result<RoomId>;

    /// The room; `None` if it does not exist or is deleted.
    async fn room(&self, id: RoomId) -> Result<Option<Room>>;

    /// The room with its members and the end of its log, all of the same moment.
    async fn room_state(&self, id: RoomId) -> Result<Option<RoomState>>;

    /// Rooms of `kind` (any without) in the order of their ids.
    async fn rooms(&self, kind: Option<RoomKind>, page: Page<RoomId>) -> Result<Vec<Room>>;

    /// Group rooms that `owner` owns, in the order of their ids.
    async fn rooms_owned(&self, owner: UserId, page: Page<RoomId>) -> Result<Vec<RoomEntry>>;
}

/// Rooms whose tails are asked for in one call.
pub const MAX_TAILS: usize = 500;

/// Where an event stands among those of all rooms: by its time, then its room, then its position.
pub type StayPlace = (Timestamp, RoomId, Seq);

/// Where a page of messages begins. Pages hold messages of which something is left, oldest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum History {
    /// The newest before this position.
    Before(Seq),
    /// The oldest after this position.
    After(Seq),
}

/// The log of every room, in the order of [`Seq`].
#[async_trait]
pub trait LogStore: Send + Sync {
    /// Appends `events`, which the room's writer has numbered from its tail on, all of one room, in order,
    /// and applies them.
    ///
    /// The answer says what is durable. A message moves its sender's read marker to itself: who writes has
    /// read. An event that applies to others does so at once: `Edited` changes the text of its target,
    /// `Deleted` blanks it (what is left is `Body::Gone` at the same place), `Cleared` blanks every message
    /// up to its `through`. A message moves its sender's read marker to itself. `MemberAdded` makes a
    /// membership that has read up to itself and approves the request that it names, `MemberRemoved` ends
    /// one, `RoomUpdated` gives the room its name and, in a group, the owner's role to the owner alone.
    /// `RoomDeleted` ends all memberships and requests of the room, blanks every message and hides the
    /// room; nothing can follow it. Nobody becomes a member who has no account; one that is deleted counts,
    /// for the log says so.
    async fn append(&self, events: &[Event]) -> Appended;

    /// The end of the log; `None` for a room that never was. A deleted room keeps its log.
    async fn tail(&self, room: RoomId) -> Result<Option<Tail>>;

    /// The ends of these logs, in any order; rooms that never were are left out. At most
    /// [`MAX_TAILS`] rooms are asked for at once.
    async fn tails(&self, rooms: &[RoomId]) -> Result<Vec<(RoomId, Seq)>>;

    /// Up to `limit` events of all rooms by which a stay in a room began or ended (`MemberAdded`,
    /// `MemberRemoved`, `RoomDeleted`), those behind `place`, in the order of their places. By this a node
    /// learns of what it has not heard on the bus.
    async fn stay_changes(&self, place: StayPlace, limit: u32) -> Result<Vec<Event>>;

    /// Up to `limit` events behind `after` and up to `through`, in order, without a hole; what lies at or below the room's
    /// floor ([`RetentionStore::floors`]) is left out.
    async fn events(
        &self,
        room: RoomId,
        after: Seq,
        through: Seq,
        limit: u32,
    ) -> Result<Vec<Event>>;

    /// Up to `limit` messages of the room, none beyond `through`, oldest first.
    async fn messages(
        &self,
        room: RoomId,
        from: History,
        through: Seq,
        limit: u32,
    ) -> Result<Vec<Event>>;

    /// The event at this position.
    async fn event(&self, room: RoomId, seq: Seq) -> Result<Option<Event>>;

    /// The event of `sender` that stands for `client_id` in the room.
    async fn event_by_client_id(
        &self,
        room: RoomId,
        sender: UserId,
        client_id: &ClientId,
    ) -> Result<Option<Event>>;

    /// How many messages the log has held up to and with `seq`; below the floor, how many up to that.
    async fn ordinal(&self, room: RoomId, seq: Seq) -> Result<u64>;

    /// Messages of all rooms of which something is left, newest first by their time, for administration.
    async fn all_messages(&self, skip: u32, limit: u32) -> Result<Vec<Event>>;
}

/// Who is in which room. Changed only by events ([`LogStore::append`]), but for what is not in the log.
#[async_trait]
pub trait MembershipStore: Send + Sync {
    /// The user's place in the room.
    async fn membership(&self, room: RoomId, user: UserId) -> Result<Option<Membership>>;

    /// The membership with this id.
    async fn membership_by_id(&self, id: MembershipId) -> Result<Option<Membership>>;

    /// Every membership, in the order of their ids.
    async fn memberships(&self, page: Page<MembershipId>) -> Result<Vec<Membership>>;

    /// The members of a room: the owner first, then by folded name. `after` is a user's id; behind one that
    /// never was there is nothing.
    async fn members(&self, room: RoomId, page: Page<UserId>) -> Result<Vec<Membership>>;

    /// The rooms of `kind` (any without) in which the user is a member, newest activity first. A page
    /// begins behind the place that the room `after` has now: whoever pages while rooms move sees one
    /// twice, or meets it again on the next first page.
    async fn rooms_of(
        &self,
        user: UserId,
        kind: Option<RoomKind>,
        page: Page<RoomId>,
    ) -> Result<Vec<RoomEntry>>;

    /// The ids of all rooms in which the user is a member, with their tails, which may be read later: a stay that ended in between
    /// has its end before the tail.
    async fn room_ids_of(&self, user: UserId) -> Result<Vec<(RoomId, Tail)>>;

    /// The others of the user's private rooms: room, id, name.
    async fn peers_of(&self, user: UserId) -> Result<Vec<(RoomId, UserId, Username)>>;

    /// Up to `limit` deleted accounts that are still in rooms.
    async fn deleted_members(&self, limit: u32) -> Result<Vec<UserId>>;

    /// Moves the user's read marker to `to` unless it is there or further, and answers where it is then;
    /// `None` without a membership.
    async fn mark_read(
        &self,
        room: RoomId,
        user: UserId,
        to: ReadMarker,
    ) -> Result<Option<ReadMarker>>;

    /// Notes that the member was connected to the room at `at`.
    async fn touch_membership(&self, room: RoomId, user: UserId, at: Timestamp) -> Result<()>;
}

/// A new join request.
#[derive(Debug, Clone)]
pub struct NewJoinRequest {
    /// Its id.
    pub id: JoinRequestId,
    /// The room.
    pub room: RoomId,
    /// Who asks.
    pub user: UserId,
    /// What they say to the owner.
    pub message: Option<String>,
    /// Now.
    pub created_at: Timestamp,
}

/// Requests to be let into group rooms. Approving is a `MemberAdded` that names the request.
#[async_trait]
pub trait JoinRequestStore: Send + Sync {
    /// Keeps a request.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotFound`] if there is no such room or account (any more);
    /// [`Conflict::AlreadyRequested`] if the user has one for this room without an answer.
    async fn create_join_request(&self, request: NewJoinRequest) -> Result<()>;

    /// The request.
    async fn join_request(&self, id: JoinRequestId) -> Result<Option<JoinRequest>>;

    /// Requests for `room` (any without), in the order of their ids.
    async fn join_requests(
        &self,
        room: Option<RoomId>,
        page: Page<JoinRequestId>,
    ) -> Result<Vec<JoinRequest>>;

    /// Refuses an open request.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotFound`]; [`Conflict::AlreadyHandled`].
    async fn refuse_join_request(&self, id: JoinRequestId) -> Result<()>;

    /// Deletes a request.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotFound`].
    async fn remove_join_request(&self, id: JoinRequestId) -> Result<()>;
}

/// What is known of uploaded files; their bytes are the media store's.
#[async_trait]
pub trait UploadStore: Send + Sync {
    /// Keeps an upload.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotFound`] if its room or owner never was.
    async fn create_upload(&self, upload: Upload) -> Result<()>;

    /// The upload.
    async fn upload(&self, id: AttachmentId) -> Result<Option<Upload>>;

    /// Makes an unattached upload of `owner` in `room` part of the message that `client_id` stands for, and
    /// answers with it. Again for the same message it answers the same.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotFound`] if there is no such upload of this owner in this room; [`Conflict::Attached`].
    async fn attach(
        &self,
        id: AttachmentId,
        room: RoomId,
        owner: UserId,
        client_id: &ClientId,
    ) -> Result<Upload>;

    /// Makes an upload free again whose message was refused; nothing if it is not attached to that one, or
    /// is part of it in the log.
    async fn detach(&self, id: AttachmentId, client_id: &ClientId) -> Result<()>;

    /// Claims up to `limit` uploads for deletion, which no message can have from then on: unattached ones
    /// made before `before`, those attached before then to a message that was never stored, those of
    /// messages of which nothing is left, those of deleted rooms, and those claimed earlier.
    async fn claim_uploads(&self, before: Timestamp, limit: u32) -> Result<Vec<AttachmentId>>;

    /// Forgets a claimed upload whose bytes are gone.
    async fn remove_upload(&self, id: AttachmentId) -> Result<()>;
}

/// The store as a whole.
#[async_trait]
pub trait Store:
    UserStore
    + RoomStore
    + LogStore
    + MembershipStore
    + JoinRequestStore
    + UploadStore
    + RetentionStore
    + ErasureStore
{
    /// The life of the store that positions belong to.
    async fn epoch(&self) -> Result<Epoch>;

    /// Begins another life of the store, and answers with it: an older state was restored, so positions
    /// that clients know may stand for other events now. No node may have the store open.
    async fn renew_epoch(&self) -> Result<Epoch>;

    /// Answers if the store can be read and written now.
    async fn check(&self) -> Result<()>;

    /// Ends every task and file; calls after it fail.
    async fn close(&self);
}
