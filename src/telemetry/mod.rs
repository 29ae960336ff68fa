//! Metrics and logs: names and handles of every metric, the text of a scrape, the process's own numbers, and the tracing
//! set-up.
//!
//! Inputs: events (an operation ended, a guard refused), views of the services and the sums of what workers counted.
//! Output: the Prometheus text format. There are no statics: whoever counts is handed a [`Metrics`]. Never in here:
//! a listener (that is admin's), a decision, a lock that a worker could wait for.

mod admin;
mod families;
mod journal;
mod logging;
mod metrics;
mod process;
mod scrape;
mod webhooks;

pub use admin::Denial;
pub use logging::{LogError, start_logging};
pub use metrics::Metrics;
pub use scrape::{CONTENT_TYPE, Traffic, render};
pub use webhooks::WebhookMetrics;
