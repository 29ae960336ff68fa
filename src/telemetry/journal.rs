//! The journal's own metrics: how long it is, and whether it can be written.

use super::Metrics;
use prometheus::{IntGauge, Registry};

/// Set at each scrape.
#[derive(Clone, Debug)]
pub(super) struct JournalGauges {
    seq: IntGauge,
    first: IntGauge,
    writable: IntGauge,
}

impl JournalGauges {
    /// Registered, and as of a journal that is well.
    ///
    /// # Panics
    /// Never: the names are constants that `prometheus` accepts, and the registry is new.
    pub(super) fn new(registry: &Registry) -> Self {
        let gauge = |name: &str, help: &str| {
            let gauge = IntGauge::new(name, help).expect("constant names are valid");
            registry.register(Box::new(gauge.clone())).expect("each name is registered once");
            gauge
        };
        let gauges = Self {
            seq: gauge("pointsman_journal_seq", "Number of the journal's last record."),
            first: gauge("pointsman_journal_first_seq", "Number of the oldest record that the journal keeps."),
            writable: gauge("pointsman_journal_writable", "1 if the journal could be written the last time."),
        };
        gauges.writable.set(1);
        gauges
    }
}

impl Metrics {
    /// How the journal stands, for the next scrape.
    pub fn journal(&self, first: u64, seq: u64, writable: bool) {
        let number = |number| i64::try_from(number).unwrap_or(i64::MAX);
        self.journal.first.set(number(first));
        self.journal.seq.set(number(seq));
        self.journal.writable.set(i64::from(writable));
    }
}
