//! The counts of webhooks, by the name of each.

use prometheus::{IntCounterVec, IntGaugeVec, Opts, Registry};

/// How a delivery can end: taken; no whole answer; an answer that says no; given up.
const OUTCOMES: [&str; 4] = ["delivered", "lost", "refused", "given_up"];

/// Handles; clones share the counts.
#[derive(Clone, Debug)]
pub struct WebhookMetrics {
    deliveries: IntCounterVec,
    behind: IntGaugeVec,
}

impl WebhookMetrics {
    /// Fresh ones in that registry.
    pub(super) fn register(registry: &Registry) -> Self {
        let valid = "constant names and labels are valid";
        let deliveries = IntCounterVec::new(
            Opts::new("pointsman_webhook_deliveries_total", "Attempts to tell a webhook, by how they ended."),
            &["hook", "outcome"],
        )
        .expect(valid);
        let behind = IntGaugeVec::new(
            Opts::new(
                "pointsman_webhook_behind_records",
                "Records of the journal that the webhook has not been told of.",
            ),
            &["hook"],
        )
        .expect(valid);
        registry.register(Box::new(deliveries.clone())).expect("each name is registered once");
        registry.register(Box::new(behind.clone())).expect("each name is registered once");
        Self { deliveries, behind }
    }

    /// Creates every series of a webhook, so that rates and alerts work from the first delivery.
    pub fn begin(&self, hook: &str) {
        for outcome in OUTCOMES {
            self.deliveries.with_label_values(&[hook, outcome]);
        }
        self.behind.with_label_values(&[hook]);
    }

    /// One attempt ended.
    pub fn count(&self, hook: &str, outcome: &str) {
        self.deliveries.with_label_values(&[hook, outcome]).inc();
    }

    /// So many records wait.
    pub fn behind(&self, hook: &str, records: u64) {
        self.behind.with_label_values(&[hook]).set(i64::try_from(records).unwrap_or(i64::MAX));
    }

    /// The webhook is gone, and its series with it.
    pub fn forget(&self, hook: &str) {
        for outcome in OUTCOMES {
            // One that never began has none.
            let _ = self.deliveries.remove_label_values(&[hook, outcome]);
        }
        let _ = self.behind.remove_label_values(&[hook]);
    }
}
