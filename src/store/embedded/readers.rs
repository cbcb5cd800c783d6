//! Connections that read beside the writer: each read sees one moment, and everything that was answered before it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::Connection;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::store::{Result, StoreError};

/// As many connections as there are permits.
pub(super) struct Readers {
    idle: Arc<Mutex<Vec<Connection>>>,
    permits: Arc<Semaphore>,
    count: u32,
    timeout: Duration,
}

/// A connection in use; it goes back by itself, also when its user panics.
struct Lease {
    conn: Option<Connection>,
    idle: Arc<Mutex<Vec<Connection>>>,
    _permit: OwnedSemaphorePermit,
}

impl Readers {
    /// Reads run on `connections`, one each; further ones wait, `timeout` at the longest, answer included.
    pub(super) fn new(connections: Vec<Connection>, timeout: Duration) -> Self {
        let count = u32::try_from(connections.len()).expect("a handful of readers");
        Self {
            permits: Arc::new(Semaphore::new(connections.len())),
            idle: Arc::new(Mutex::new(connections)),
            count,
            timeout,
        }
    }

    /// Runs `work` on a snapshot of the store, on a thread that may block.
    ///
    /// # Errors
    ///
    /// Those of `work`; [`StoreError::Unavailable`] if it took too long or the store is closed.
    pub(super) async fn run<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T> + Send + 'static,
    {
        let answer = timeout(self.timeout, async {
            let permit = Arc::clone(&self.permits)
                .acquire_owned()
                .await
                .map_err(|_closed| StoreError::Unavailable("the store is closed".into()))?;
            let idle = Arc::clone(&self.idle);
            let read = tokio::task::spawn_blocking(move || Lease::new(idle, permit).read(work));
            read.await.map_err(|panic| StoreError::Unavailable(panic.into()))?
        });
        answer.await.map_err(|elapsed| StoreError::Unavailable(elapsed.into()))?
    }

    /// Waits for the reads under way, then closes the connections.
    pub(super) async fn close(&self) {
        // An error says that it is closed already.
        let all = self.permits.acquire_many(self.count).await;
        self.permits.close();
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
        drop(all);
    }
}

impl Lease {
    fn new(idle: Arc<Mutex<Vec<Connection>>>, permit: OwnedSemaphorePermit) -> Self {
        let conn = idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        Self { conn, idle, _permit: permit }
    }

    fn read<T>(&self, work: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        let Some(conn) = &self.conn else {
            return Err(StoreError::Unavailable("the store is closed".into()));
        };
        // Dropped without a commit, which makes no difference to a read.
        let snapshot = conn.unchecked_transaction()?;
        work(&snapshot)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(conn) = self.conn.take() {
            self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(conn);
        }
    }
}
