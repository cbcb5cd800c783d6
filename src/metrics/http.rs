//! Requests, as they are answered.

use std::time::Duration;

use prometheus::{HistogramVec, IntCounterVec, IntGauge};

use super::builder::Builder;
use super::family::Counters;
use super::label::labels;

labels! {
    /// What kind of answer a request has had.
    AnswerClass("class") {
        /// 1xx: it became a WebSocket, or goes on.
        Informational => "1xx",
        /// 2xx
        Success => "2xx",
        /// 3xx
        Redirection => "3xx",
        /// 4xx but for the next: the client's doing.
        ClientError => "4xx",
        /// 499: the client left before its answer.
        Left => "499",
        /// 503: not now, and the client is told to come back.
        Unavailable => "503",
        /// 5xx but for 503: a fault.
        Fault => "5xx",
    }
}

impl AnswerClass {
    fn of(status: u16) -> Self {
        match status {
            499 => Self::Left,
            503 => Self::Unavailable,
            ..200 => Self::Informational,
            200..300 => Self::Success,
            300..400 => Self::Redirection,
            400..500 => Self::ClientError,
            500.. => Self::Fault,
        }
    }
}

/// Metrics of HTTP.
#[derive(Debug)]
pub struct Http {
    requests: IntCounterVec,
    request_duration: HistogramVec,
    answers: Counters<AnswerClass>,
    /// Open TCP connections, HTTP and upgraded.
    pub tcp_connections: IntGauge,
}

impl Http {
    pub(super) fn new(new: &Builder) -> Self {
        Self {
            requests: new.open_counters(
                "natter_http_requests_total",
                "Requests answered, by the route as it is registered. Status 499 is a client that left before its answer. A series begins with the first such answer.",
                &["method", "route", "status"],
            ),
            request_duration: new.open_histograms(
                "natter_http_request_duration_seconds",
                "Time until the answer to a request began. A poll of Socket.IO waits for something to tell, for 25 s at most.",
                &["method", "route"],
            ),
            answers: new.counters(
                "natter_http_answers_total",
                "Requests answered, by the kind of answer: 503 asks the client to come back, 5xx is any other fault of the server.",
            ),
            tcp_connections: new.gauge(
                "natter_tcp_connections",
                "Open TCP connections on the public port.",
            ),
        }
    }

    /// Counts one answered request. `method` and `route` are the caller's to keep to closed sets.
    pub(crate) fn answered(&self, method: &str, route: &str, status: u16, duration: Duration) {
        let mut digits = [0; 5];
        let text = decimal(status, &mut digits);
        self.requests.with_label_values(&[method, route, text]).inc();
        let seconds = duration.as_secs_f64();
        self.request_duration.with_label_values(&[method, route]).observe(seconds);
        self.answers.of(AnswerClass::of(status)).inc();
    }
}

/// Writes a number without allocating: this is on the way of every request.
fn decimal(mut number: u16, digits: &mut [u8; 5]) -> &str {
    let mut start = digits.len();
    loop {
        start -= 1;
        digits[start] = b'0' + u8::try_from(number % 10).expect("a digit is below ten");
        number /= 10;
        if number == 0 {
            return std::str::from_utf8(&digits[start..]).expect("digits are ASCII");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_written_in_decimals() {
        for number in [0, 7, 200, 499, u16::MAX] {
            assert_eq!(decimal(number, &mut [0; 5]), number.to_string());
        }
    }

    #[test]
    fn faults_are_told_from_what_is_to_come_back_and_from_what_clients_do() {
        for (status, class) in [
            (101, AnswerClass::Informational),
            (204, AnswerClass::Success),
            (304, AnswerClass::Redirection),
            (404, AnswerClass::ClientError),
            (499, AnswerClass::Left),
            (500, AnswerClass::Fault),
            (503, AnswerClass::Unavailable),
            (507, AnswerClass::Fault),
        ] {
            assert_eq!(AnswerClass::of(status), class, "{status}");
        }
    }
}
