//! Who may do what in a room: role by kind of room by action, and nothing else.

use super::{Role, RoomKind};

/// What somebody wants to do in a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// See messages, members, presence and media.
    Read,
    /// Say something.
    Post,
    /// Answer join requests and see them.
    AnswerRequests,
    /// Send another member away.
    RemoveMember,
    /// Go.
    Leave,
    /// Say how long its messages are kept.
    SetRetention,
    /// End the room for everybody.
    Delete,
}

/// Whether `role` (`None` for an outsider) may do `action` in a room of `kind`.
pub fn may(role: Option<Role>, kind: RoomKind, action: Action) -> bool {
    match (action, role, kind) {
        (_, None, _) => false,
        (Action::Read | Action::Post, Some(_), _) => true,
        // Who owns a group stays with it: a group without an owner lets nobody in.
        (Action::Leave, Some(role), kind) => kind == RoomKind::Group && role == Role::Member,
        (
            Action::AnswerRequests | Action::RemoveMember | Action::SetRetention | Action::Delete,
            Some(role),
            kind,
        ) => kind == RoomKind::Group && role == Role::Owner,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_owner_of_a_group_governs_it() {
        use Action::{AnswerRequests, Delete, Leave, Post, Read, RemoveMember, SetRetention};
        for action in [Read, Post, AnswerRequests, RemoveMember, SetRetention, Leave, Delete] {
            assert!(!may(None, RoomKind::Group, action), "{action:?}");
            let member = matches!(action, Read | Post | Leave);
            assert_eq!(may(Some(Role::Member), RoomKind::Group, action), member, "{action:?}");
            assert_eq!(
                may(Some(Role::Owner), RoomKind::Group, action),
                action != Leave,
                "{action:?}"
            );
            let private = matches!(action, Read | Post);
            assert_eq!(may(Some(Role::Owner), RoomKind::Private, action), private, "{action:?}");
        }
    }
}
