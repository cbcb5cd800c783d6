//! From a URI to an open store, and to its end.

use std::sync::Arc;
use std::sync::PoisonError;
use std::time::Duration;

use mongodb::bson::{Bson, Document, doc};
use mongodb::error::{Error, ErrorKind};
use mongodb::options::{
    Acknowledgment, ClientOptions, ReadConcern, ReadPreference, SelectionCriteria, WriteConcern,
};
use mongodb::{Client, Database};
use tokio::time::{MissedTickBehavior, timeout};

use super::error::is_refused_login;
use super::facts::LEASE;
use super::read::bounded;
use super::wipe::SWEEP;
use super::{Base, Mongodb, Times, indexes};
use crate::config::Secret;
use crate::domain::{BootId, Timestamp};
use crate::store::{Access, Result, StoreError};

/// The database where the URI names none.
const DATABASE: &str = "natter";

/// Longer than an election takes, so that the driver itself bridges one.
const SERVER_SELECTION: Duration = Duration::from_secs(15);

/// Connections to a server, unless the URI says so. The driver's own 10 are few for pages of many rooms.
const POOL: u32 = 50;

/// How often the indexes are looked at again.
const VERIFY: Duration = Duration::from_secs(30);

/// How long the end may take.
const FAREWELL: Duration = Duration::from_secs(5);

/// What every server of version 6.0 and later says; before it, indexes could not be as they have to be.
const WIRE_VERSION: i64 = 17;

/// The first releases of their lines without known holes that matter here.
const FLOORS: [(u64, u64, u64); 2] = [(7, 0, 32), (8, 0, 21)];

impl Mongodb {
    /// Opens the store that `uri` names, in one attempt of some seconds.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`] if no server that takes writes can be reached; [`StoreError::Unprepared`] if an
    /// index is not as it has to be: both may pass. [`StoreError::Misconfigured`] for what will not: a URI that is
    /// none, a login that the server refuses, a server without a replica set.
    pub async fn open(uri: &Secret, access: Access, times: Times) -> Result<Self> {
        let database = reach(uri, times).await?;
        let opened = async {
            told(indexes::verify(&database, times.attempt).await)?;
            let base = Arc::new(Base::new(database.clone(), times));
            base.epoch().await?;
            if access == Access::Alone {
                base.check_alone().await?;
            }
            if access == Access::Node {
                base.start().await?;
            }
            Ok(Self(base))
        };
        match opened.await {
            Ok(store) => Ok(store),
            Err(error) => {
                end(database.client().clone()).await;
                Err(error)
            }
        }
    }

    /// Makes what is missing of the store that `uri` names: collections and indexes. Nothing that is there is changed,
    /// so it can be run at any time, also while nodes serve.
    ///
    /// # Errors
    ///
    /// As [`Mongodb::open`]; [`StoreError::Unprepared`] for an index that is there in another form.
    pub async fn migrate(uri: &Secret, times: Times) -> Result<()> {
        let database = reach(uri, times).await?;
        let migrated = async {
            let created = told(indexes::create(&database).await);
            // An index in another form is told in the better words.
            told(indexes::verify(&database, times.attempt).await)?;
            created
        };
        let migrated = migrated.await;
        end(database.client().clone()).await;
        migrated
    }
}

impl Drop for Mongodb {
    fn drop(&mut self) {
        self.0.stop.cancel();
    }
}

/// The database of `uri`, on a server that answers.
async fn reach(uri: &Secret, times: Times) -> Result<Database> {
    let parsed = timeout(times.attempt, ClientOptions::parse(uri.expose())).await;
    let parsed = parsed.map_err(|elapsed| StoreError::Unavailable(elapsed.into()))?;
    let options = parsed.map_err(no_uri)?;
    let name = options.default_database.clone().unwrap_or_else(|| DATABASE.to_owned());
    let client = Client::with_options(settled(options, times)).map_err(no_uri)?;
    let admin = client.database("admin");
    let hello = bounded(times.attempt, admin.run_command(doc! { "hello": 1 })).await;
    let checked = told(hello).and_then(|hello| check_kind(&hello));
    if let Err(error) = checked {
        end(client).await;
        return Err(error);
    }
    warn_of_old_server(&admin, times).await;
    Ok(client.database(&name))
}

/// The options with what does not depend on the URI.
fn settled(mut options: ClientOptions, times: Times) -> ClientOptions {
    options.app_name.get_or_insert_with(|| "natter".to_owned());
    let selection = SERVER_SELECTION.max(times.attempt);
    options.server_selection_timeout.get_or_insert(selection);
    options.connect_timeout.get_or_insert(times.attempt);
    options.max_pool_size.get_or_insert(POOL);
    options.retry_writes = Some(true);
    options.retry_reads = Some(true);
    let concern = WriteConcern::builder()
        .w(Acknowledgment::Majority)
        .journal(true)
        .w_timeout(times.append)
        .build();
    options.write_concern = Some(concern);
    options.read_concern = Some(ReadConcern::majority());
    options.selection_criteria = Some(SelectionCriteria::ReadPreference(ReadPreference::Primary));
    options
}

/// Says what a URI lacks, without the URI: it may hold a password, and so may what the driver says of it.
fn no_uri(error: Error) -> StoreError {
    match error.kind.as_ref() {
        ErrorKind::DnsResolve { .. } => StoreError::Unavailable(error.into()),
        _ => StoreError::Misconfigured(
            "it is no URI that MongoDB's driver takes (a user and a password in it are percent-encoded)"
                .to_owned(),
        ),
    }
}

/// Tells what waiting does not help against.
fn told<T>(done: Result<T>) -> Result<T> {
    let Err(StoreError::Unavailable(source)) = &done else { return done };
    let Some(error) = source.downcast_ref::<Error>() else { return done };
    if is_refused_login(error) {
        let why = "the MongoDB server refuses the user or the password";
        return Err(StoreError::Misconfigured(why.to_owned()));
    }
    match error.kind.as_ref() {
        ErrorKind::Command(command) if command.code == UNAUTHORIZED => {
            let why = "the MongoDB server wants a user who may read and write this database";
            Err(StoreError::Misconfigured(why.to_owned()))
        }
        _ => done,
    }
}

/// The code of a command that the user may not give.
const UNAUTHORIZED: i32 = 13;

/// Refuses servers on which a majority means nothing, and ones that are too old.
fn check_kind(hello: &Document) -> Result<()> {
    let is_router = hello.get_str("msg").is_ok_and(|msg| msg == "isdbgrid");
    if !is_router && !hello.contains_key("setName") {
        let why =
            "the MongoDB server is no replica set; one of a single server is enough (--replSet)";
        return Err(StoreError::Misconfigured(why.to_owned()));
    }
    let version = hello.get("maxWireVersion").and_then(|version| match version {
        Bson::Int32(version) => Some(i64::from(*version)),
        Bson::Int64(version) => Some(*version),
        _ => None,
    });
    if version.is_none_or(|version| version < WIRE_VERSION) {
        let why = "the MongoDB server is too old; 7.0.32 and 8.0.21, or later ones, are supported";
        return Err(StoreError::Misconfigured(why.to_owned()));
    }
    Ok(())
}

/// Says so where the server has known holes. It is no reason to refuse: it may not be within anybody's reach.
async fn warn_of_old_server(admin: &Database, times: Times) {
    let info = admin.run_command(doc! { "buildInfo": 1 });
    let Ok(info) = bounded(times.attempt, info).await else { return };
    let version = info.get_str("version").unwrap_or_default();
    if is_below_floor(version) {
        tracing::warn!(
            version,
            "this MongoDB is older than the supported 7.0.32 and 8.0.21, and has known vulnerabilities"
        );
    }
}

fn is_below_floor(version: &str) -> bool {
    let mut parts = version.split(['.', '-']).map(|part| part.parse().unwrap_or(0));
    let mut next = || parts.next().unwrap_or(0);
    let version = (next(), next(), next());
    let same_line = FLOORS.iter().find(|floor| floor.0 == version.0 && floor.1 == version.1);
    version < FLOORS[0] || same_line.is_some_and(|floor| version < *floor)
}

/// Closes the connections, whatever still uses them.
async fn end(client: Client) {
    if timeout(FAREWELL, client.clone().shutdown()).await.is_err() {
        client.shutdown().immediate(true).await;
    }
}

impl Base {
    /// Says that a node has the store open, and begins what it does by the clock.
    async fn start(self: &Arc<Self>) -> Result<()> {
        let id = BootId::new(Timestamp::now().as_millis(), rand::random());
        let id = Bson::from(id.to_string());
        self.say_open(&id).await?;
        let (base, stop) = (Arc::clone(self), self.stop.clone());
        self.tasks.spawn(async move {
            stop.run_until_cancelled(base.stay_open(&id)).await;
            // Without this word, an operator who restores a backup waits a little.
            _ = timeout(FAREWELL, base.say_closed(&id)).await;
        });
        let (base, stop) = (Arc::clone(self), self.stop.clone());
        self.tasks.spawn(async move { stop.run_until_cancelled(base.look_after()).await });
        Ok(())
    }

    async fn stay_open(&self, id: &Bson) {
        let mut ticks = tokio::time::interval(LEASE);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if let Err(error) = self.say_open(id).await {
                tracing::debug!(%error, "cannot say that the store is open");
            }
        }
    }

    /// Looks at the indexes from time to time, and finishes what dead nodes have left.
    async fn look_after(self: &Arc<Self>) {
        let mut verify = tokio::time::interval(VERIFY);
        let mut sweep = tokio::time::interval(SWEEP);
        verify.set_missed_tick_behavior(MissedTickBehavior::Delay);
        sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = verify.tick() => self.verify().await,
                _ = sweep.tick() => {
                    if let Err(error) = self.sweep().await {
                        tracing::debug!(%error, "what is pending is looked for again");
                    }
                }
            }
        }
    }

    async fn verify(&self) {
        let unprepared = match indexes::verify(&self.database, self.times.attempt).await {
            Ok(()) => None,
            Err(StoreError::Unprepared(sentence)) => Some(sentence),
            Err(_unreachable) => return,
        };
        let mut known = self.unprepared.write().unwrap_or_else(PoisonError::into_inner);
        if *known != unprepared {
            match &unprepared {
                Some(sentence) => tracing::error!("nothing is written any more: {sentence}"),
                None => tracing::info!("every index is as it has to be"),
            }
            *known = unprepared;
        }
    }

    pub(super) async fn close(&self) {
        self.stop.cancel();
        self.tasks.close();
        _ = timeout(FAREWELL, self.tasks.wait()).await;
        end(self.client().clone()).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_with_known_holes_are_told() {
        for (version, below) in [
            ("6.0.5", true),
            ("7.0.31", true),
            ("7.0.32", false),
            ("8.0.20", true),
            ("8.0.21-rc1", false),
            ("8.2.0", false),
            ("9.0.0", false),
            ("", true),
        ] {
            assert_eq!(is_below_floor(version), below, "{version}");
        }
    }

    #[test]
    fn a_single_server_and_an_old_one_are_refused() {
        let is_taken = |hello: Document| check_kind(&hello).is_ok();
        assert!(is_taken(doc! { "setName": "rs", "maxWireVersion": 17 }));
        assert!(is_taken(doc! { "msg": "isdbgrid", "maxWireVersion": 21 }));
        assert!(!is_taken(doc! { "maxWireVersion": 21 }));
        assert!(!is_taken(doc! { "setName": "rs", "maxWireVersion": 13 }));
        assert!(!is_taken(doc! { "setName": "rs" }));
    }
}
