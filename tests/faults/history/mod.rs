//! What a run did and heard, as the checker reads it: nothing here knows of processes or sockets.

mod clock;
mod log;
mod tape;

pub(crate) use clock::{At, Clock};
pub(crate) use log::{Entry, Kind, Replica};
pub(crate) use tape::{Heard, Said, Tape};

/// Everything that happened in one run.
#[derive(Debug, Default, Clone)]
pub(crate) struct History {
    /// Messages that somebody wanted to say.
    pub(crate) sends: Vec<Sent>,
    /// What each reader heard.
    pub(crate) tapes: Vec<Tape>,
    /// Changes of memberships that the administration asked for.
    pub(crate) changes: Vec<Change>,
}

/// One message that somebody wanted to say, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sent {
    /// The id of who said it.
    pub(crate) sender: String,
    /// The room.
    pub(crate) room: String,
    /// The key for retries; half of the workload has none.
    pub(crate) client_id: Option<String>,
    /// The words: no other message of the run has them.
    pub(crate) content: String,
    /// Each time it was sent, in order. One without a client_id is sent once.
    pub(crate) attempts: Vec<Attempt>,
}

/// One time that a message was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Attempt {
    /// On which connection of the run.
    pub(crate) connection: u64,
    /// The how-manieth thing sent on it.
    pub(crate) place: u64,
    /// When it was written.
    pub(crate) invoked: At,
    /// What was answered, and when; `None` if the connection ended before.
    pub(crate) answered: Option<(At, Answer)>,
}

/// What was answered to one attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It is stored at this position.
    Stored(u64),
    /// Its sender was told that the outcome is not known.
    Unknown,
    /// It is not stored, with the code that says why.
    Refused(String),
}

/// What became of a message as its sender knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Acknowledged at this position, first at this time.
    Acked(u64, At),
    /// Stored or not.
    Unknown,
    /// Not stored, as every attempt was told.
    Refused,
}

impl Sent {
    /// What its sender knows.
    pub(crate) fn outcome(&self) -> Outcome {
        let answers = self.attempts.iter().filter_map(|attempt| attempt.answered.as_ref());
        for (at, answer) in answers.clone() {
            if let Answer::Stored(seq) = answer {
                return Outcome::Acked(*seq, *at);
            }
        }
        let refused = answers.filter(|(_, answer)| matches!(answer, Answer::Refused(_))).count();
        if refused == self.attempts.len() { Outcome::Refused } else { Outcome::Unknown }
    }

    /// When it was first written; `None` if it never was.
    pub(crate) fn invoked(&self) -> Option<At> {
        self.attempts.first().map(|attempt| attempt.invoked)
    }
}

/// A change of who is in a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Change {
    /// The room.
    pub(crate) room: String,
    /// Who comes or goes.
    pub(crate) user: String,
    /// Whether they come.
    pub(crate) is_add: bool,
    /// When it was asked for.
    pub(crate) invoked: At,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt(answered: Option<Answer>) -> Attempt {
        let answered = answered.map(|answer| (At(5), answer));
        Attempt { connection: 1, place: 1, invoked: At(1), answered }
    }

    #[test]
    fn an_outcome_is_what_all_attempts_together_say() {
        let refused = || Some(Answer::Refused("overloaded".to_owned()));
        for (answers, outcome) in [
            (vec![Some(Answer::Stored(3))], Outcome::Acked(3, At(5))),
            (vec![None, Some(Answer::Stored(3))], Outcome::Acked(3, At(5))),
            (vec![None, refused()], Outcome::Unknown),
            (vec![Some(Answer::Unknown), refused()], Outcome::Unknown),
            (vec![refused(), refused()], Outcome::Refused),
            (vec![], Outcome::Refused),
        ] {
            let attempts = answers.into_iter().map(attempt).collect();
            let send = Sent {
                sender: "ann".to_owned(),
                room: "r".to_owned(),
                client_id: None,
                content: "words".to_owned(),
                attempts,
            };
            assert_eq!(send.outcome(), outcome, "{send:?}");
        }
    }
}
