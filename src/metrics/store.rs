//! The store and the media store: how long they take, and what fails.

use std::time::Duration;

use super::builder::Builder;
use super::family::{Counters, Histograms};
use super::label::{Labels, labels};

/// The methods of the store's ports, in their order.
const OPERATIONS: [&str; 59] = [
    "create_user",
    "user",
    "user_by_login",
    "password_hash",
    "update_user",
    "remove_user",
    "users",
    "users_by_name",
    "revoked",
    "create_room",
    "room",
    "room_state",
    "rooms",
    "rooms_owned",
    "append",
    "tail",
    "tails",
    "stay_changes",
    "events",
    "messages",
    "event",
    "event_by_client_id",
    "ordinal",
    "all_messages",
    "membership",
    "membership_by_id",
    "memberships",
    "members",
    "rooms_of",
    "room_ids_of",
    "peers_of",
    "deleted_members",
    "mark_read",
    "touch_membership",
    "create_join_request",
    "join_request",
    "join_requests",
    "refuse_join_request",
    "remove_join_request",
    "create_upload",
    "upload",
    "attach",
    "detach",
    "claim_uploads",
    "remove_upload",
    "retention",
    "set_retention",
    "retentions",
    "trim",
    "floors",
    "begin_erasure",
    "erasures",
    "end_erasure",
    "traces",
    "rewrite",
    "rename_private",
    "epoch",
    "renew_epoch",
    "check",
];

/// An operation of the store: a method of its ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoreOperation(usize);

impl StoreOperation {
    /// The operation of this name.
    ///
    /// # Panics
    ///
    /// If there is none; at compile time, where it is a constant.
    pub(crate) const fn named(name: &str) -> Self {
        let mut place = 0;
        while place < OPERATIONS.len() {
            if is_same(OPERATIONS[place].as_bytes(), name.as_bytes()) {
                return Self(place);
            }
            place += 1;
        }
        panic!("a method of the store's ports is missing in OPERATIONS");
    }
}

const fn is_same(one: &[u8], other: &[u8]) -> bool {
    if one.len() != other.len() {
        return false;
    }
    let mut place = 0;
    while place < one.len() {
        if one[place] != other[place] {
            return false;
        }
        place += 1;
    }
    true
}

impl Labels for StoreOperation {
    fn names() -> Vec<&'static str> {
        vec!["operation"]
    }

    fn all() -> Vec<Self> {
        (0..OPERATIONS.len()).map(Self).collect()
    }

    fn index(self) -> usize {
        self.0
    }

    fn values(self) -> Vec<&'static str> {
        vec![OPERATIONS[self.0]]
    }
}

labels! {
    /// Why the store did not do what was asked. That something is not there, or taken, is an answer like any other.
    StoreFailure("kind") {
        /// It does not answer, or not in time.
        Unavailable => "unavailable",
        /// It is not as it has to be.
        Unprepared => "unprepared",
        /// What is stored cannot be read.
        Malformed => "malformed",
    }
    /// What is asked of the media store.
    MediaOperation("operation") {
        /// To take a file at once.
        Put => "put",
        /// To begin a file in parts.
        BeginUpload => "begin_upload",
        /// To take a part.
        PutPart => "put_part",
        /// To make a file of its parts.
        CompleteUpload => "complete_upload",
        /// To forget them.
        AbortUpload => "abort_upload",
        /// To hand out a file.
        Get => "get",
        /// To remove one.
        Delete => "delete",
        /// To list what is there.
        List => "list",
        /// To copy a file.
        Copy => "copy",
    }
}

/// Fewer than elsewhere: there are many series.
const STORE_LATENCIES: [f64; 10] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0];
/// A part of a file takes longer than a look.
const MEDIA_LATENCIES: [f64; 10] = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0, 20.0];

/// Metrics of the store.
#[derive(Debug)]
pub struct Store {
    duration: Histograms<StoreOperation>,
    errors: Counters<(StoreOperation, StoreFailure)>,
}

impl Store {
    pub(super) fn new(new: &Builder) -> Self {
        Self {
            duration: new.histograms(
                "natter_store_operation_duration_seconds",
                "Time that the store took, by the method of its ports.",
                &STORE_LATENCIES,
            ),
            errors: new.counters(
                "natter_store_errors_total",
                "Operations in which the store failed. That something is not there, or taken, is no failure.",
            ),
        }
    }

    /// Counts an operation.
    pub(crate) fn done(
        &self,
        operation: StoreOperation,
        elapsed: Duration,
        failure: Option<StoreFailure>,
    ) {
        self.duration.of(operation).observe(elapsed.as_secs_f64());
        if let Some(failure) = failure {
            self.errors.of((operation, failure)).inc();
        }
    }
}

/// Metrics of the media store.
#[derive(Debug)]
pub struct Media {
    duration: Histograms<MediaOperation>,
    errors: Counters<MediaOperation>,
}

impl Media {
    pub(super) fn new(new: &Builder) -> Self {
        Self {
            duration: new.histograms(
                "natter_media_operation_duration_seconds",
                "Time until the media store answered: of a file that is handed out, until it begins.",
                &MEDIA_LATENCIES,
            ),
            errors: new.counters(
                "natter_media_errors_total",
                "Operations in which the media store failed. That a file is not there is no failure.",
            ),
        }
    }

    /// Counts an operation.
    pub(crate) fn done(&self, operation: MediaOperation, elapsed: Duration, has_failed: bool) {
        self.duration.of(operation).observe(elapsed.as_secs_f64());
        if has_failed {
            self.errors.of(operation).inc();
        }
    }
}
