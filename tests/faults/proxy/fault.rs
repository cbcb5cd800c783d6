//! What is wrong with a link.

use std::collections::HashMap;
use std::time::Duration;

use super::frames::Mangle;

/// What begins the names by which callers are known.
const NAMES: &[u8] = b"rig-";

/// What is wrong with a link, or with one caller's part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Fault {
    /// Nothing.
    #[default]
    Pass,
    /// Connections are reset, open ones and new ones.
    Refuse,
    /// Nothing comes through, and nobody is told.
    Stall,
    /// Nothing comes through this way.
    Cut(Way),
    /// Everything takes this much longer, each way.
    Delay(Duration),
}

/// A direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// What clients say.
    ToServer,
    /// What the server says.
    ToClient,
}

/// Everything that is wrong with a link.
#[derive(Debug, Clone, Default)]
pub(super) struct Rules {
    /// For all.
    pub(super) all: Fault,
    /// For callers by name, beside it.
    pub(super) callers: HashMap<String, Fault>,
    /// How often all connections were reset.
    pub(super) resets: u64,
    /// What becomes of messages.
    pub(super) mangle: Mangle,
}

impl Rules {
    /// Whether the connection of `caller` is to be reset.
    pub(super) fn refuses(&self, caller: Option<&str>) -> bool {
        self.of(caller).any(|fault| fault == Fault::Refuse)
    }

    /// Whether nothing comes through this way.
    pub(super) fn holds(&self, caller: Option<&str>, way: Way) -> bool {
        self.of(caller).any(|fault| fault == Fault::Stall || fault == Fault::Cut(way))
    }

    /// How much longer everything takes.
    pub(super) fn delay(&self, caller: Option<&str>) -> Duration {
        let delays = self.of(caller).filter_map(|fault| match fault {
            Fault::Delay(delay) => Some(delay),
            _ => None,
        });
        delays.sum()
    }

    fn of(&self, caller: Option<&str>) -> impl Iterator<Item = Fault> {
        let own = caller.and_then(|caller| self.callers.get(caller));
        [self.all].into_iter().chain(own.copied())
    }
}

/// The name that a caller gives in the first that it says.
pub(super) fn name_in(said: &[u8]) -> Option<String> {
    let start = said.windows(NAMES.len()).position(|window| window == NAMES)?;
    let rest = &said[start..];
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'-';
    let end = rest.iter().position(|byte| !is_part(byte)).unwrap_or(rest.len());
    Some(String::from_utf8_lossy(&rest[..end]).into_owned())
}
