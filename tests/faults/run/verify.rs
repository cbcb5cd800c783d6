//! The end of a run with a crew: everybody comes to an end, the log is read everywhere, and the rules are checked.

use super::{Run, Vitals};
use crate::check::{Rule, check};
use crate::cluster::Cluster;
use crate::final_log;
use crate::history::{History, Outcome, Replica, Said};
use crate::workload::Crew;

/// What has to be done at least for a run to prove anything.
const LEAST: usize = 50;

impl Run {
    /// Lets the crew come to its end, reads the log everywhere, and checks all that a history can show, which it answers.
    pub(crate) async fn verify(
        &mut self,
        cluster: &mut Cluster,
        mut crew: Crew,
        vitals: &Vitals,
    ) -> History {
        self.now("everybody comes to an end");
        let said = crew.settle().await;
        self.now("the log is read");
        let replicas = self.replicas(cluster).await;
        let log = &replicas[0];
        let (owner, rooms) = (crew.owner.clone(), crew.rooms.clone());
        self.now("readers hear the end");
        let history = crew.finish(said, log).await;
        self.now("the rules are checked");
        self.count(&history);
        self.violations.extend(check(&history, &replicas));
        for node in &cluster.nodes {
            for room in &rooms {
                let told = final_log::told(node.address(), &owner, room).await;
                if let Some(difference) = final_log::differences(&told, log, room) {
                    let name = &node.name;
                    self.violated(Rule::V4, format!("{room} over HTTP from {name}: {difference}"));
                }
            }
        }
        vitals.judge(self, &cluster.nodes);
        history
    }

    /// The log as each replica holds it.
    pub(crate) async fn replicas(&self, cluster: &Cluster) -> Vec<Replica> {
        match &cluster.mongo {
            Some(mongo) => final_log::mongo::read(mongo).await,
            None => {
                let file = format!("data/{}/natter.db", cluster.nodes[0].name);
                vec![final_log::sqlite(&self.folder.path().join(file))]
            }
        }
    }

    /// Notes how much was done; too little proves nothing.
    fn count(&mut self, history: &History) {
        let with = |wanted: fn(&Outcome) -> bool| {
            history.sends.iter().filter(|sent| wanted(&sent.outcome())).count()
        };
        let acked = with(|outcome| matches!(outcome, Outcome::Acked(..)));
        let unknown = with(|outcome| *outcome == Outcome::Unknown);
        let refused = with(|outcome| *outcome == Outcome::Refused);
        let heard = history.tapes.iter().flat_map(|tape| &tape.heard);
        let heard = heard.filter(|heard| matches!(heard.said, Said::Event(..))).count();
        let changes = history.changes.len();
        self.did(format!(
            "{acked} acked, {unknown} unknown, {refused} refused, {heard} delivered, {changes} memberships changed"
        ));
        assert!(acked >= LEAST && heard >= LEAST, "too little was done to prove anything");
    }
}
