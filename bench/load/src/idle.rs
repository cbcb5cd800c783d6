//! Sockets at rest, and all of them back at once.

use std::io;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::cpu;
use crate::crew::{Crew, gather};
use crate::frames::Wire;
use crate::plan::{Idle, Plan};
use crate::socket::{PONG, Told, read};

/// How long a server has to see that its clients are gone.
const SETTLED: Duration = Duration::from_secs(3);

/// Lets all in, leaves them at rest, cuts them off and lets all in again.
pub(crate) async fn run(plan: &Plan, work: Idle) -> Value {
    let before = cpu::resident(&plan.watched);
    let (crew, cut, first) = enter(plan).await;
    tokio::time::sleep(SETTLED).await;
    let resident = cpu::resident(&plan.watched);
    let used = cpu::seconds(&plan.watched);
    tokio::time::sleep(Duration::from_secs_f64(work.seconds)).await;
    let used = cpu::between(&used, &cpu::seconds(&plan.watched));
    let mut lost = leave(crew, &cut).await;
    tokio::time::sleep(SETTLED).await;
    let (crew, cut, storm) = enter(plan).await;
    lost += leave(crew, &cut).await;
    json!({
        "sockets": plan.sockets.len(),
        "resident_before": before,
        "resident": resident,
        "connect": first,
        "idle": {"seconds": work.seconds, "cpu_seconds": used},
        "storm": storm,
        "lost_sockets": lost,
    })
}

/// All let in: what cuts them off, and what it took.
async fn enter(plan: &Plan) -> (Crew<bool>, watch::Sender<bool>, Value) {
    let (tell, cut) = watch::channel(false);
    let (began, used) = (Instant::now(), cpu::seconds(&plan.watched));
    let crew = gather(plan, |_, wire| rest(wire, cut.clone())).await;
    let seconds = began.elapsed().as_secs_f64();
    let used = cpu::between(&used, &cpu::seconds(&plan.watched));
    let told = json!({"seconds": seconds, "cpu_seconds": used, "refused": crew.refused});
    (crew, tell, told)
}

/// Cuts all off; how many had ended before.
async fn leave(crew: Crew<bool>, cut: &watch::Sender<bool>) -> usize {
    cut.send_replace(true);
    crew.tasks.join_all().await.into_iter().filter(|was_cut| !was_cut).count()
}

/// Answers pings until it is cut off; `false` if the connection ends before.
async fn rest(mut wire: Wire, mut cut: watch::Receiver<bool>) -> bool {
    tokio::select! {
        _ = cut.wait_for(|is_cut| *is_cut) => {}
        Err(_) = answer(&mut wire) => return false,
    }
    wire.cut();
    true
}

async fn answer(wire: &mut Wire) -> io::Result<()> {
    loop {
        while let Some(packet) = wire.next()? {
            if read(packet) == Told::Ping {
                wire.say(PONG);
            }
        }
        wire.flush().await?;
        wire.fill().await?;
    }
}
