//! Measures a store: how long each of its operations takes, and which fail.

use std::time::Instant;

use async_trait::async_trait;

use super::{
    Appended, DynStore, ErasureStore, History, JoinRequestStore, LogStore, MembershipStore,
    NewJoinRequest, NewRoom, NewUser, Result, RetentionStore, RoomEntry, RoomState, RoomStore,
    StayPlace, Store, StoreError, UploadStore, UserChange, UserStore,
};
use crate::domain::attachment::Upload;
use crate::domain::event::Event;
use crate::domain::membership::ReadMarker;
use crate::domain::room::Tail;
use crate::domain::{
    AttachmentId, ClientId, Epoch, JoinRequest, JoinRequestId, Membership, MembershipId, Page,
    Retention, Room, RoomId, RoomKind, Seq, Timestamp, User, UserId, Username, Words,
};
use crate::metrics::{Metrics, StoreFailure, StoreOperation};

/// `store`, with everything that is asked of it counted in `metrics`.
pub fn measured(store: DynStore, metrics: Metrics) -> DynStore {
    std::sync::Arc::new(Measured { store, metrics })
}

struct Measured {
    store: DynStore,
    metrics: Metrics,
}

/// What an operation answers.
trait Answer {
    /// The failure of the store in it, if it is one.
    fn failure(&self) -> Option<StoreFailure>;
}

impl Answer for StoreError {
    fn failure(&self) -> Option<StoreFailure> {
        match self {
            Self::NotFound | Self::Conflict(_) => None,
            Self::Unavailable(_) => Some(StoreFailure::Unavailable),
            Self::Unprepared(_) | Self::Misconfigured(_) => Some(StoreFailure::Unprepared),
            Self::Malformed(_) => Some(StoreFailure::Malformed),
        }
    }
}

impl<T> Answer for Result<T> {
    fn failure(&self) -> Option<StoreFailure> {
        self.as_ref().err().and_then(Answer::failure)
    }
}

impl Answer for Appended {
    fn failure(&self) -> Option<StoreFailure> {
        match self {
            Self::All | Self::PositionTaken { .. } | Self::ClientIdTaken { .. } => None,
            Self::Unknown(error) => error.failure(),
        }
    }
}

impl Measured {
    async fn timed<T: Answer>(
        &self,
        operation: StoreOperation,
        work: impl Future<Output = T>,
    ) -> T {
        let began = Instant::now();
        let answer = work.await;
        self.metrics.store.done(operation, began.elapsed(), answer.failure());
        answer
    }
}

/// Implements ports by handing on to the store that is measured.
macro_rules! handed_on {
    ($($port:ident { $(fn $name:ident($($given:ident: $type:ty),*) -> $answer:ty;)+ })+) => {$(
        #[async_trait]
        impl $port for Measured {
            $(async fn $name(&self, $($given: $type),*) -> $answer {
                const OPERATION: StoreOperation = StoreOperation::named(stringify!($name));
                self.timed(OPERATION, self.store.$name($($given),*)).await
            })+
        }
    )+};
}

handed_on! {
    UserStore {
        fn create_user(user: NewUser) -> Result<User>;
        fn user(id: UserId) -> Result<Option<User>>;
        fn user_by_login(login: &str) -> Result<Option<(User, String)>>;
        fn password_hash(id: UserId) -> Result<Option<String>>;
        fn update_user(id: UserId, change: UserChange) -> Result<User>;
        fn remove_user(id: UserId) -> Result<()>;
        fn users(page: Page<UserId>) -> Result<Vec<User>>;
        fn users_by_name(prefix: &str, page: Page<UserId>) -> Result<Vec<User>>;
        fn revoked(since: Timestamp) -> Result<Vec<(UserId, Timestamp)>>;
    }
    RoomStore {
        fn create_room(room: NewRoom) -> Result<RoomId>;
        fn room(id: RoomId) -> Result<Option<Room>>;
        fn room_state(id: RoomId) -> Result<Option<RoomState>>;
        fn rooms(kind: Option<RoomKind>, page: Page<RoomId>) -> Result<Vec<Room>>;
        fn rooms_owned(owner: UserId, page: Page<RoomId>) -> Result<Vec<RoomEntry>>;
    }
    LogStore {
        fn append(events: &[Event]) -> Appended;
        fn tail(room: RoomId) -> Result<Option<Tail>>;
        fn tails(rooms: &[RoomId]) -> Result<Vec<(RoomId, Seq)>>;
        fn stay_changes(place: StayPlace, limit: u32) -> Result<Vec<Event>>;
        fn events(room: RoomId, after: Seq, through: Seq, limit: u32) -> Result<Vec<Event>>;
        fn messages(room: RoomId, from: History, through: Seq, limit: u32) -> Result<Vec<Event>>;
        fn event(room: RoomId, seq: Seq) -> Result<Option<Event>>;
        fn event_by_client_id(room: RoomId, sender: UserId, client_id: &ClientId) -> Result<Option<Event>>;
        fn ordinal(room: RoomId, seq: Seq) -> Result<u64>;
        fn all_messages(skip: u32, limit: u32) -> Result<Vec<Event>>;
    }
    MembershipStore {
        fn membership(room: RoomId, user: UserId) -> Result<Option<Membership>>;
        fn membership_by_id(id: MembershipId) -> Result<Option<Membership>>;
        fn memberships(page: Page<MembershipId>) -> Result<Vec<Membership>>;
        fn members(room: RoomId, page: Page<UserId>) -> Result<Vec<Membership>>;
        fn rooms_of(user: UserId, kind: Option<RoomKind>, page: Page<RoomId>) -> Result<Vec<RoomEntry>>;
        fn room_ids_of(user: UserId) -> Result<Vec<(RoomId, Tail)>>;
        fn peers_of(user: UserId) -> Result<Vec<(RoomId, UserId, Username)>>;
        fn deleted_members(limit: u32) -> Result<Vec<UserId>>;
        fn mark_read(room: RoomId, user: UserId, to: ReadMarker) -> Result<Option<ReadMarker>>;
        fn touch_membership(room: RoomId, user: UserId, at: Timestamp) -> Result<()>;
    }
    JoinRequestStore {
        fn create_join_request(request: NewJoinRequest) -> Result<()>;
        fn join_request(id: JoinRequestId) -> Result<Option<JoinRequest>>;
        fn join_requests(room: Option<RoomId>, page: Page<JoinRequestId>) -> Result<Vec<JoinRequest>>;
        fn refuse_join_request(id: JoinRequestId) -> Result<()>;
        fn remove_join_request(id: JoinRequestId) -> Result<()>;
    }
    UploadStore {
        fn create_upload(upload: Upload) -> Result<()>;
        fn upload(id: AttachmentId) -> Result<Option<Upload>>;
        fn attach(id: AttachmentId, room: RoomId, owner: UserId, client_id: &ClientId) -> Result<Upload>;
        fn detach(id: AttachmentId, client_id: &ClientId) -> Result<()>;
        fn claim_uploads(before: Timestamp, limit: u32) -> Result<Vec<AttachmentId>>;
        fn remove_upload(id: AttachmentId) -> Result<()>;
    }
    RetentionStore {
        fn retention(room: RoomId) -> Result<Option<Retention>>;
        fn set_retention(room: RoomId, retention: Option<Retention>) -> Result<()>;
        fn retentions(page: Page<RoomId>) -> Result<Vec<(RoomId, Option<Retention>)>>;
        fn trim(room: RoomId, before: Timestamp) -> Result<bool>;
        fn floors(rooms: &[RoomId]) -> Result<Vec<(RoomId, Seq)>>;
    }
    ErasureStore {
        fn begin_erasure(user: UserId, words: Words) -> Result<()>;
        fn erasures(limit: u32) -> Result<Vec<(UserId, Words)>>;
        fn end_erasure(user: UserId) -> Result<()>;
        fn traces(user: UserId, page: Page<RoomId>) -> Result<(Vec<RoomId>, Option<RoomId>)>;
        fn rewrite(events: &[Event]) -> Result<()>;
        fn rename_private(room: RoomId, name: &str) -> Result<()>;
    }
}

#[async_trait]
impl Store for Measured {
    async fn epoch(&self) -> Result<Epoch> {
        self.timed(const { StoreOperation::named("epoch") }, self.store.epoch()).await
    }

    async fn renew_epoch(&self) -> Result<Epoch> {
        self.timed(const { StoreOperation::named("renew_epoch") }, self.store.renew_epoch()).await
    }

    async fn check(&self) -> Result<()> {
        self.timed(const { StoreOperation::named("check") }, self.store.check()).await
    }

    async fn close(&self) {
        self.store.close().await;
    }
}
