//! Who signs in, and who fails to.

use prometheus::IntCounter;

use super::builder::Builder;
use super::family::Counters;
use super::label::labels;

labels! {
    /// Why a login failed.
    LoginFailure("reason") {
        /// A wrong name or password.
        Credentials => "credentials",
        /// Too many attempts by one party.
        RateLimited => "rate_limited",
        /// Too many by all.
        Overloaded => "overloaded",
    }
}

/// Metrics of accounts.
#[derive(Debug)]
pub struct Accounts {
    /// Logins.
    pub logins: IntCounter,
    /// Logins that failed.
    pub login_failures: Counters<LoginFailure>,
}

impl Accounts {
    pub(super) fn new(new: &Builder) -> Self {
        Self {
            logins: new.counter("natter_logins_total", "Logins that succeeded."),
            login_failures: new.counters("natter_login_failures_total", "Logins that failed."),
        }
    }
}
