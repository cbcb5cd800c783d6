//! The one thread that writes: whatever waits becomes one transaction, so one sync of the disk.

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::Connection;
use tokio::sync::mpsc::error::TryRecvError;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::Options;
use crate::store::{Result, StoreError};

/// The most commands in one transaction. More than wait in practice; it bounds how long the first one waits
/// for the last.
const BATCH: usize = 512;

/// Work that waits for nobody. It answers whether there may be more of it.
pub(super) type Chore = fn(&Connection) -> Result<bool>;

/// The queue to the writing thread.
pub(super) struct Writer {
    queue: Mutex<Option<mpsc::Sender<Box<dyn Command>>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    timeout: Duration,
}

/// Why a transaction did not become durable, told to everybody who was in it.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the transaction was not committed")]
struct NotCommitted(#[source] Arc<rusqlite::Error>);

impl Writer {
    /// Starts the thread. It owns `conn`, and `lock` until after `conn` is closed. `chore` is done a piece at
    /// a time between transactions as long as it says that there is more. At most `options.queue` commands
    /// wait; beyond that callers wait for a place, `options.timeout` at the longest, answer included.
    pub(super) fn start(
        conn: Connection,
        lock: Option<File>,
        chore: Chore,
        options: Options,
    ) -> std::io::Result<Self> {
        let (sender, receiver) = mpsc::channel(options.queue);
        let thread =
            std::thread::Builder::new().name("store-writer".to_owned()).spawn(move || {
                serve(&conn, receiver, chore);
                drop(conn);
                drop(lock);
            })?;
        Ok(Self {
            queue: Mutex::new(Some(sender)),
            thread: Mutex::new(Some(thread)),
            timeout: options.timeout,
        })
    }

    /// Runs `work` inside a transaction and answers once that is durable. An error of `work` undoes what
    /// `work` did, and nothing else.
    ///
    /// # Errors
    ///
    /// Those of `work`; [`StoreError::Unavailable`] if the commit failed, or did not come in time and may
    /// still come.
    pub(super) async fn run<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T> + Send + 'static,
    {
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(queue) = queue else {
            return Err(StoreError::Unavailable("the store is closed".into()));
        };
        let (reply, answer) = oneshot::channel();
        let job = Box::new(Job { work: Some(work), outcome: None, reply });
        let answered = timeout(self.timeout, async {
            queue.send(job).await.map_err(|_gone| "the writer has ended")?;
            answer.await.map_err(|_gone| "the writer gave up on this")
        });
        match answered.await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(reason)) => Err(StoreError::Unavailable(reason.into())),
            Err(elapsed) => Err(StoreError::Unavailable(elapsed.into())),
        }
    }

    /// Writes what waits, then ends the thread and closes the file.
    pub(super) async fn close(&self) {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).take();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // It fails only if the thread panicked, which has been printed then.
            let _ended = tokio::task::spawn_blocking(move || thread.join()).await;
        }
    }
}

/// What the thread does for one caller.
trait Command: Send {
    /// Does the work and keeps its outcome. Whether what it did is to stay.
    fn run(&mut self, conn: &Connection) -> bool;

    /// Tells the outcome, or why there is none. A caller that has gone is not missed.
    fn answer(self: Box<Self>, committed: &std::result::Result<(), NotCommitted>);
}

struct Job<F, T> {
    work: Option<F>,
    outcome: Option<Result<T>>,
    reply: oneshot::Sender<Result<T>>,
}

impl<F, T> Command for Job<F, T>
where
    F: FnOnce(&Connection) -> Result<T> + Send,
    T: Send,
{
    fn run(&mut self, conn: &Connection) -> bool {
        let Some(work) = self.work.take() else { return false };
        // A panic costs its caller the answer and nobody else the store.
        self.outcome = catch_unwind(AssertUnwindSafe(|| work(conn))).ok();
        matches!(self.outcome, Some(Ok(_)))
    }

    fn answer(self: Box<Self>, committed: &std::result::Result<(), NotCommitted>) {
        let outcome = match (committed, self.outcome) {
            // The one whose error ended the transaction tells the cause.
            (Ok(()), outcome) | (Err(_), outcome @ Some(Err(StoreError::Unavailable(_)))) => {
                outcome
            }
            (Err(reason), _) => Some(Err(StoreError::Unavailable(reason.clone().into()))),
        };
        if let Some(outcome) = outcome {
            let _gone = self.reply.send(outcome);
        }
    }
}

fn serve(conn: &Connection, mut queue: mpsc::Receiver<Box<dyn Command>>, chore: Chore) {
    let mut batch = Vec::with_capacity(BATCH);
    // An earlier life of the store may have left some.
    let mut has_chore = true;
    while gather(&mut queue, &mut batch, has_chore) {
        if !batch.is_empty() {
            let committed = transact(conn, &mut batch).map_err(|error| {
                tracing::error!(error = %error, commands = batch.len(), "the store could not be written");
                NotCommitted(Arc::new(error))
            });
            batch.drain(..).for_each(|command| command.answer(&committed));
        }
        has_chore = chore(conn).unwrap_or_else(|error| {
            tracing::warn!(error = ?error, "the store could not be tidied, it will be tried again");
            false
        });
    }
}

/// Takes what waits into `batch`; waits for something only if there is nothing else to do. False once the
/// queue is closed.
fn gather(
    queue: &mut mpsc::Receiver<Box<dyn Command>>,
    batch: &mut Vec<Box<dyn Command>>,
    has_chore: bool,
) -> bool {
    if !has_chore {
        return queue.blocking_recv_many(batch, BATCH) > 0;
    }
    while batch.len() < BATCH {
        match queue.try_recv() {
            Ok(command) => batch.push(command),
            Err(TryRecvError::Empty) => return true,
            Err(TryRecvError::Disconnected) => return !batch.is_empty(),
        }
    }
    true
}

/// Runs all of `batch` in one transaction, each in a savepoint of its own.
fn transact(conn: &Connection, batch: &mut [Box<dyn Command>]) -> rusqlite::Result<()> {
    conn.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
    let done =
        savepoints(conn, batch).and_then(|()| conn.prepare_cached("COMMIT")?.execute([]).map(drop));
    if done.is_err() && !conn.is_autocommit() {
        conn.execute_batch("ROLLBACK")?;
    }
    done
}

fn savepoints(conn: &Connection, batch: &mut [Box<dyn Command>]) -> rusqlite::Result<()> {
    for command in batch {
        conn.prepare_cached("SAVEPOINT command")?.execute([])?;
        // Some errors (a full disk, say) undo the whole transaction: then this statement fails, and so does
        // the batch.
        if !command.run(conn) {
            conn.prepare_cached("ROLLBACK TO command")?.execute([])?;
        }
        conn.prepare_cached("RELEASE command")?.execute([])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A command as the thread sees it, and where its outcome comes out.
    fn command<T: Send + 'static>(
        work: impl FnOnce(&Connection) -> Result<T> + Send + 'static,
    ) -> (Box<dyn Command>, oneshot::Receiver<Result<T>>) {
        let (reply, answer) = oneshot::channel();
        (Box::new(Job { work: Some(work), outcome: None, reply }), answer)
    }

    fn insert(n: u32) -> impl FnOnce(&Connection) -> Result<usize> + Send + 'static {
        move |conn| Ok(conn.execute("INSERT INTO numbers VALUES (?1)", [n])?)
    }

    fn fill(conn: &Connection) -> Result<usize> {
        Ok(conn.execute("INSERT INTO numbers VALUES (zeroblob(10000000))", [])?)
    }

    fn numbers(conn: &Connection) -> Vec<u32> {
        let mut statement = conn.prepare("SELECT n FROM numbers ORDER BY n").unwrap();
        statement.query_map([], |row| row.get(0)).unwrap().map(|n| n.unwrap()).collect()
    }

    fn conn() -> Connection {
        let conn = Connection::open_in_memory().unwrap();
        conn.execute_batch("CREATE TABLE numbers (n); PRAGMA max_page_count = 100").unwrap();
        conn
    }

    /// Runs the commands as the thread does: in one transaction.
    fn perform(conn: &Connection, mut batch: Vec<Box<dyn Command>>) {
        let committed = transact(conn, &mut batch).map_err(|error| NotCommitted(Arc::new(error)));
        batch.drain(..).for_each(|command| command.answer(&committed));
    }

    #[test]
    fn an_error_or_a_panic_undoes_its_own_command_only() {
        let conn = conn();
        let (one, mut first) = command(insert(1));
        let (two, mut second) = command(|conn| {
            insert(2)(conn)?;
            Err::<(), _>(StoreError::NotFound)
        });
        let (three, mut third) = command(|conn| -> Result<()> {
            insert(3)(conn)?;
            panic!("a fault of the command")
        });
        let (four, mut fourth) = command(insert(4));
        perform(&conn, vec![one, two, three, four]);
        assert!(matches!(first.try_recv(), Ok(Ok(1))));
        assert!(matches!(second.try_recv(), Ok(Err(StoreError::NotFound))));
        assert!(third.try_recv().is_err());
        assert!(matches!(fourth.try_recv(), Ok(Ok(1))));
        assert_eq!(numbers(&conn), [1, 4]);
    }

    #[test]
    fn a_full_disk_costs_no_answer_that_was_not_kept() {
        let conn = conn();
        let (one, mut first) = command(insert(1));
        let (two, mut second) = command(fill);
        perform(&conn, vec![one, two]);
        let kept = matches!(first.try_recv(), Ok(Ok(1)));
        assert!(matches!(second.try_recv(), Ok(Err(StoreError::Unavailable(_)))));
        assert_eq!(numbers(&conn), if kept { vec![1] } else { vec![] });
        // And it goes on once there is room.
        let (three, mut third) = command(insert(3));
        perform(&conn, vec![three]);
        assert!(matches!(third.try_recv(), Ok(Ok(1))));
    }

    #[test]
    fn a_transaction_that_fails_is_told_to_everybody_in_it() {
        let conn = conn();
        let (one, mut first) = command(insert(1));
        // As SQLite itself does after some errors.
        let (two, mut second) = command(|conn| Ok(conn.execute_batch("ROLLBACK")?));
        perform(&conn, vec![one, two]);
        assert!(matches!(first.try_recv(), Ok(Err(StoreError::Unavailable(_)))));
        assert!(matches!(second.try_recv(), Ok(Err(StoreError::Unavailable(_)))));
        assert!(numbers(&conn).is_empty() && conn.is_autocommit());
    }
}
