//! All sockets of a plan, let in as fast as the server lets them.

use std::sync::Arc;

use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;

use crate::frames::Wire;
use crate::plan::Plan;
use crate::socket::enter;

/// Sockets that were let in, each in a task of its own.
pub(crate) struct Crew<A> {
    /// The tasks; each ends as `run` does.
    pub(crate) tasks: JoinSet<A>,
    /// How often one was sent away before it was let in.
    pub(crate) refused: u64,
}

/// Lets all in, so many at once as the plan says, and has each go on with `run` (its number, and its connection) from then on.
///
/// # Panics
///
/// If one is not let in.
pub(crate) async fn gather<A, R>(plan: &Plan, run: impl Fn(usize, Wire) -> R) -> Crew<A>
where
    A: Send + 'static,
    R: Future<Output = A> + Send + 'static,
{
    let door = Arc::new(Semaphore::new(plan.at_once));
    let (sender, mut entered) = mpsc::channel(plan.at_once);
    for (number, member) in plan.sockets.iter().cloned().enumerate() {
        let (door, sender, address) = (door.clone(), sender.clone(), plan.address);
        tokio::spawn(async move {
            let _turn = door.acquire_owned().await.expect("the door is never closed");
            let (wire, refused) = enter(address, &member).await;
            _ = sender.send((number, wire, refused)).await;
        });
    }
    drop(sender);
    let mut crew = Crew { tasks: JoinSet::new(), refused: 0 };
    while let Some((number, wire, refused)) = entered.recv().await {
        crew.refused += refused;
        crew.tasks.spawn(run(number, wire));
    }
    assert_eq!(crew.tasks.len(), plan.sockets.len(), "a socket was not let in");
    crew
}
