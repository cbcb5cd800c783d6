//! A store that answers as a failing one does: the reply to an append is lost, before or after it was carried out; or
//! nothing answers at all.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use natter::domain::attachment::Upload;
use natter::domain::membership::ReadMarker;
use natter::domain::room::Tail;
use natter::domain::*;
use natter::store::*;
use tokio::sync::{Notify, watch};

/// What happens to an append.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing.
    None,
    /// It is not carried out, and nobody says so.
    Refused,
    /// It is carried out, and nobody says so.
    ReplyLost,
    /// It is not carried out, and never ends.
    Hangs,
    /// It is carried out, and never ends.
    HangsAfter,
    /// It is carried out once it is released.
    Held,
}

/// Another store with faults in front of it, one for each append to come. Closing it closes nothing: nodes that share a store end
/// one by one.
pub(crate) struct Faulty {
    inner: DynStore,
    faults: Mutex<VecDeque<Fault>>,
    is_away: AtomicBool,
    /// Whether the state of rooms cannot be read.
    is_blind: AtomicBool,
    /// Whether an append hangs, or has.
    hung: watch::Sender<bool>,
    /// Lets go what is held.
    released: Notify,
    /// How often the tail of a room was told.
    tails: watch::Sender<usize>,
    /// What is told of the rooms of users, if not the truth.
    listed: Mutex<Option<Vec<(RoomId, Tail)>>>,
}

impl Faulty {
    /// `inner`, whose next appends meet `faults`.
    pub(crate) fn new(inner: DynStore, faults: impl IntoIterator<Item = Fault>) -> Arc<Self> {
        let faults = Mutex::new(faults.into_iter().collect());
        let (is_blind, hung) = (AtomicBool::new(false), watch::Sender::new(false));
        let (is_away, tails) = (AtomicBool::new(false), watch::Sender::new(0));
        let (released, listed) = (Notify::new(), Mutex::default());
        Arc::new(Self { inner, faults, is_away, is_blind, hung, released, tails, listed })
    }

    /// The next appends meet `faults`.
    pub(crate) fn meets(&self, faults: impl IntoIterator<Item = Fault>) {
        self.faults.lock().unwrap().extend(faults);
    }

    /// From now on the state of rooms cannot be read, or can.
    pub(crate) fn is_blind(&self, is_blind: bool) {
        self.is_blind.store(is_blind, Ordering::SeqCst);
    }

    /// From now on this is told to whoever asks for the rooms of a user; `None` for the truth.
    pub(crate) fn lists(&self, rooms: Option<Vec<(RoomId, Tail)>>) {
        *self.listed.lock().unwrap() = rooms;
    }

    /// Lets go of the append that is held.
    pub(crate) fn release(&self) {
        self.hung.send_replace(false);
        self.released.notify_one();
    }

    /// Waits until an append hangs.
    pub(crate) async fn has_hung(&self) {
        self.hung.subscribe().wait_for(|hung| *hung).await.unwrap();
    }

    /// Waits until the tails of rooms have been asked for and told so often.
    pub(crate) async fn has_told_tails(&self, times: usize) {
        self.tails.subscribe().wait_for(|told| *told >= times).await.unwrap();
    }

    async fn hang(&self) -> Appended {
        self.hung.send_replace(true);
        std::future::pending().await
    }

    /// From now on nothing answers, or everything does again.
    pub(crate) fn set_away(&self, is_away: bool) {
        self.is_away.store(is_away, Ordering::SeqCst);
    }

    fn inner(&self) -> Result<&DynStore> {
        match self.is_away.load(Ordering::SeqCst) {
            false => Ok(&self.inner),
            true => Err(StoreError::Unavailable("the store is away".into())),
        }
    }
}

fn lost() -> StoreError {
    StoreError::Unavailable("the reply is lost".into())
}

#[async_trait]
impl UserStore for Faulty {
    async fn create_user(&self, user: NewUser) -> Result<User> {
        self.inner()?.create_user(user).await
    }

    async fn user(&self, id: UserId) -> Result<Option<User>> {
        self.inner()?.user(id).await
    }

    async fn user_by_login(&self, login: &str) -> Result<Option<(User, String)>> {
        self.inner()?.user_by_login(login).await
    }

    async fn password_hash(&self, id: UserId) -> Result<Option<String>> {
        self.inner()?.password_hash(id).await
    }

    async fn update_user(&self, id: UserId, change: UserChange) -> Result<User> {
        self.inner()?.update_user(id, change).await
    }

    async fn remove_user(&self, id: UserId) -> Result<()> {
        self.inner()?.remove_user(id).await
    }

    async fn users(&self, page: Page<UserId>) -> Result<Vec<User>> {
        self.inner()?.users(page).await
    }

    async fn users_by_name(&self, prefix: &str, page: Page<UserId>) -> Result<Vec<User>> {
        self.inner()?.users_by_name(prefix, page).await
    }

    async fn revoked(&self, since: Timestamp) -> Result<Vec<(UserId, Timestamp)>> {
        self.inner()?.revoked(since).await
    }
}

#[async_trait]
impl RoomStore for Faulty {
    async fn create_room(&self, room: NewRoom) -> Result<RoomId> {
        self.inner()?.create_room(room).await
    }

    async fn room(&self, id: RoomId) -> Result<Option<Room>> {
        self.inner()?.room(id).await
    }

    async fn room_state(&self, id: RoomId) -> Result<Option<RoomState>> {
        if self.is_blind.load(Ordering::SeqCst) {
            return Err(StoreError::Unavailable("nothing is to be seen".into()));
        }
        self.inner()?.room_state(id).await
    }

    async fn rooms(&self, kind: Option<RoomKind>, page: Page<RoomId>) -> Result<Vec<Room>> {
        self.inner()?.rooms(kind, page).await
    }

    async fn rooms_owned(&self, owner: UserId, page: Page<RoomId>) -> Result<Vec<RoomEntry>> {
        self.inner()?.rooms_owned(owner, page).await
    }
}

#[async_trait]
impl LogStore for Faulty {
    async fn append(&self, events: &[Event]) -> Appended {
        if let Err(error) = self.inner() {
            return Appended::Unknown(error);
        }
        let fault = self.faults.lock().unwrap().pop_front();
        match fault.unwrap_or(Fault::None) {
            Fault::None => self.inner.append(events).await,
            Fault::Refused => Appended::Unknown(lost()),
            Fault::ReplyLost => {
                drop(self.inner.append(events).await);
                Appended::Unknown(lost())
            }
            Fault::Hangs => self.hang().await,
            Fault::Held => {
                self.hung.send_replace(true);
                self.released.notified().await;
                self.inner.append(events).await
            }
            Fault::HangsAfter => {
                drop(self.inner.append(events).await);
                self.hang().await
            }
        }
    }

    async fn tail(&self, room: RoomId) -> Result<Option<Tail>> {
        let tail = self.inner()?.tail(room).await;
        self.tails.send_modify(|told| *told += 1);
        tail
    }

    async fn tails(&self, rooms: &[RoomId]) -> Result<Vec<(RoomId, Seq)>> {
        self.inner()?.tails(rooms).await
    }

    async fn stay_changes(&self, place: StayPlace, limit: u32) -> Result<Vec<Event>> {
        self.inner()?.stay_changes(place, limit).await
    }

    async fn events(
        &self,
        room: RoomId,
        after: Seq,
        through: Seq,
        limit: u32,
    ) -> Result<Vec<Event>> {
        self.inner()?.events(room, after, through, limit).await
    }

    async fn messages(
        &self,
        room: RoomId,
        from: History,
        through: Seq,
        limit: u32,
    ) -> Result<Vec<Event>> {
        self.inner()?.messages(room, from, through, limit).await
    }

    async fn event(&self, room: RoomId, seq: Seq) -> Result<Option<Event>> {
        self.inner()?.event(room, seq).await
    }

    async fn event_by_client_id(
        &self,
        room: RoomId,
        sender: UserId,
        client_id: &ClientId,
    ) -> Result<Option<Event>> {
        self.inner()?.event_by_client_id(room, sender, client_id).await
    }

    async fn ordinal(&self, room: RoomId, seq: Seq) -> Result<u64> {
        self.inner()?.ordinal(room, seq).await
    }

    async fn all_messages(&self, skip: u32, limit: u32) -> Result<Vec<Event>> {
        self.inner()?.all_messages(skip, limit).await
    }
}

#[async_trait]
impl MembershipStore for Faulty {
    async fn membership(&self, room: RoomId, user: UserId) -> Result<Option<Membership>> {
        self.inner()?.membership(room, user).await
    }

    async fn membership_by_id(&self, id: MembershipId) -> Result<Option<Membership>> {
        self.inner()?.membership_by_id(id).await
    }

    async fn memberships(&self, page: Page<MembershipId>) -> Result<Vec<Membership>> {
        self.inner()?.memberships(page).await
    }

    async fn members(&self, room: RoomId, page: Page<UserId>) -> Result<Vec<Membership>> {
        self.inner()?.members(room, page).await
    }

    async fn rooms_of(
        &self,
        user: UserId,
        kind: Option<RoomKind>,
        page: Page<RoomId>,
    ) -> Result<Vec<RoomEntry>> {
        self.inner()?.rooms_of(user, kind, page).await
    }

    async fn room_ids_of(&self, user: UserId) -> Result<Vec<(RoomId, Tail)>> {
        let listed = self.listed.lock().unwrap().clone();
        match listed {
            Some(rooms) => Ok(rooms),
            None => self.inner()?.room_ids_of(user).await,
        }
    }

    async fn peers_of(&self, user: UserId) -> Result<Vec<(RoomId, UserId, Username)>> {
        self.inner()?.peers_of(user).await
    }

    async fn deleted_members(&self, limit: u32) -> Result<Vec<UserId>> {
        self.inner()?.deleted_members(limit).await
    }

    async fn mark_read(
        &self,
        room: RoomId,
        user: UserId,
        to: ReadMarker,
    ) -> Result<Option<ReadMarker>> {
        self.inner()?.mark_read(room, user, to).await
    }

    async fn touch_membership(&self, room: RoomId, user: UserId, at: Timestamp) -> Result<()> {
        self.inner()?.touch_membership(room, user, at).await
    }
}

#[async_trait]
impl JoinRequestStore for Faulty {
    async fn create_join_request(&self, request: NewJoinRequest) -> Result<()> {
        self.inner()?.create_join_request(request).await
    }

    async fn join_request(&self, id: JoinRequestId) -> Result<Option<JoinRequest>> {
        self.inner()?.join_request(id).await
    }

    async fn join_requests(
        &self,
        room: Option<RoomId>,
        page: Page<JoinRequestId>,
    ) -> Result<Vec<JoinRequest>> {
        self.inner()?.join_requests(room, page).await
    }

    async fn refuse_join_request(&self, id: JoinRequestId) -> Result<()> {
        self.inner()?.refuse_join_request(id).await
    }

    async fn remove_join_request(&self, id: JoinRequestId) -> Result<()> {
        self.inner()?.remove_join_request(id).await
    }
}

#[async_trait]
impl UploadStore for Faulty {
    async fn create_upload(&self, upload: Upload) -> Result<()> {
        self.inner()?.create_upload(upload).await
    }

    async fn upload(&self, id: AttachmentId) -> Result<Option<Upload>> {
        self.inner()?.upload(id).await
    }

    async fn attach(
        &self,
        id: AttachmentId,
        room: RoomId,
        owner: UserId,
        client_id: &ClientId,
    ) -> Result<Upload> {
        self.inner()?.attach(id, room, owner, client_id).await
    }

    async fn detach(&self, id: AttachmentId, client_id: &ClientId) -> Result<()> {
        self.inner()?.detach(id, client_id).await
    }

    async fn claim_uploads(&self, before: Timestamp, limit: u32) -> Result<Vec<AttachmentId>> {
        self.inner()?.claim_uploads(before, limit).await
    }

    async fn remove_upload(&self, id: AttachmentId) -> Result<()> {
        self.inner()?.remove_upload(id).await
    }
}

#[async_trait]
impl RetentionStore for Faulty {
    async fn retention(&self, room: RoomId) -> Result<Option<Retention>> {
        self.inner()?.retention(room).await
    }

    async fn set_retention(&self, room: RoomId, retention: Option<Retention>) -> Result<()> {
        self.inner()?.set_retention(room, retention).await
    }

    async fn retentions(&self, page: Page<RoomId>) -> Result<Vec<(RoomId, Option<Retention>)>> {
        self.inner()?.retentions(page).await
    }

    async fn trim(&self, room: RoomId, before: Timestamp) -> Result<bool> {
        self.inner()?.trim(room, before).await
    }

    async fn floors(&self, rooms: &[RoomId]) -> Result<Vec<(RoomId, Seq)>> {
        self.inner()?.floors(rooms).await
    }
}

#[async_trait]
impl ErasureStore for Faulty {
    async fn begin_erasure(&self, user: UserId, words: Words) -> Result<()> {
        self.inner()?.begin_erasure(user, words).await
    }

    async fn erasures(&self, limit: u32) -> Result<Vec<(UserId, Words)>> {
        self.inner()?.erasures(limit).await
    }

    async fn end_erasure(&self, user: UserId) -> Result<()> {
        self.inner()?.end_erasure(user).await
    }

    async fn traces(
        &self,
        user: UserId,
        page: Page<RoomId>,
    ) -> Result<(Vec<RoomId>, Option<RoomId>)> {
        self.inner()?.traces(user, page).await
    }

    async fn rewrite(&self, events: &[Event]) -> Result<()> {
        self.inner()?.rewrite(events).await
    }

    async fn rename_private(&self, room: RoomId, name: &str) -> Result<()> {
        self.inner()?.rename_private(room, name).await
    }
}

#[async_trait]
impl Store for Faulty {
    async fn epoch(&self) -> Result<Epoch> {
        self.inner()?.epoch().await
    }

    async fn renew_epoch(&self) -> Result<Epoch> {
        self.inner()?.renew_epoch().await
    }

    async fn check(&self) -> Result<()> {
        self.inner()?.check().await
    }

    async fn close(&self) {}
}
