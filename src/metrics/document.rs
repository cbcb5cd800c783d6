//! The table of all metrics, as `docs/METRICS.md` has it.

use std::fmt::Write;

use super::{Described, Metrics};

const HEAD: &str = "# Metrics

What a node tells at `/metrics`, on the port of `metrics.listen`, in the text form of Prometheus. This page is made from
the code and compared with it by a test. What to watch, and what to do when something is wrong, is in
[OPERATIONS.md](OPERATIONS.md#alerts); rules and dashboards are in [monitoring](../monitoring/README.md).

- Labels come from closed sets, never an id, a name or a path as a client wrote it: the number of series does not grow
  with users, rooms or time. Every series begins at zero when the node starts, but for the routes of HTTP, which begin with
  their first request.
- Counts are of one node, since its start. Where nodes share something, the text says which of them counts it.
- Gauges are looked at when they are asked for.
- Process metrics are Linux' own; elsewhere they stay at zero.

| name | type | labels | meaning |
| --- | --- | --- | --- |
";

/// The values of a label beyond which a table cell counts them instead of naming them.
const NAMED: usize = 14;

/// The document of all metrics.
pub fn document() -> String {
    let mut text = HEAD.to_owned();
    for Described { name, kind, labels, help } in Metrics::new().described() {
        let labels: Vec<String> = labels.iter().map(|(name, values)| label(name, values)).collect();
        let labels = labels.join("; ");
        writeln!(text, "| `{name}` | {kind} | {labels} | {help} |").expect("a String takes all");
    }
    text
}

fn label(name: &str, values: &[&str]) -> String {
    let values = match values {
        [] => return format!("`{name}`"),
        [first, .., last] if values.len() > NAMED => {
            format!("{} of them, from {first} to {last}", values.len())
        }
        values => values.join(", "),
    };
    format!("`{name}`: {values}")
}
