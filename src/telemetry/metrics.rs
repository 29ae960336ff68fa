//! The names, labels and meanings of every metric, and the handles of those that are counted as things happen.
//!
//! Metrics that can be read from the services' views or the workers' counts have no handle: [`super::render`] computes them
//! when it is asked, so that nothing stale is ever shown.

use super::{admin::AdminCounts, families::Family, journal::JournalGauges, webhooks::WebhookMetrics};
use crate::model::{
    guard::Guard,
    name::{Kind, ServiceName},
    operation::{Operation, Outcome, Step},
};
use prometheus::{GaugeVec, HistogramOpts, HistogramVec, IntCounterVec, IntGauge, Opts, Registry};

/// Operations that have a series from the start.
pub(super) const SWITCHES: [&str; 2] = ["switchover", "failover"];

/// How a switch can end.
const ENDS: [Outcome; 5] = [Outcome::Done, Outcome::Refused, Outcome::RolledBack, Outcome::Partial, Outcome::Unknown];

/// Upper bounds of a phase's duration, in seconds.
const PHASES: [f64; 12] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 2.5, 10.0, 30.0];

/// Handles of what is counted as it happens. Clones share the counts.
#[derive(Clone, Debug)]
pub struct Metrics {
    pub(super) registry: Registry,
    reload_success: IntGauge,
    switches: IntCounterVec,
    phases: HistogramVec,
    last_switch: GaugeVec,
    refusals: IntCounterVec,
    overrides: IntCounterVec,
    pub(super) admin: AdminCounts,
    pub(super) journal: JournalGauges,
    webhooks: WebhookMetrics,
}

impl Metrics {
    /// Fresh counters at 0.
    ///
    /// # Panics
    /// Never: the names and labels below are constants that `prometheus` accepts, and the registry is new.
    pub fn new() -> Self {
        let registry = Registry::new();
        let valid = "constant names and labels are valid";
        let reload_success =
            IntGauge::new("pointsman_config_reload_success", "1 if the last load of the configuration succeeded.")
                .expect(valid);
        let switches = IntCounterVec::new(
            Opts::new("pointsman_switches_total", "Switches that ended, by operation and outcome."),
            &["svc", "store", "operation", "outcome"],
        )
        .expect(valid);
        let phases = HistogramVec::new(
            HistogramOpts::new("pointsman_switch_duration_seconds", "Duration of each phase of a switch.")
                .buckets(PHASES.to_vec()),
            &["svc", "store", "phase"],
        )
        .expect(valid);
        let last_switch = GaugeVec::new(
            Opts::new("pointsman_last_switch_timestamp_seconds", "When the route last moved; 0 if never."),
            &["svc", "store"],
        )
        .expect(valid);
        let refusals = IntCounterVec::new(
            Opts::new("pointsman_refusals_total", "Operations that a guard refused, by guard."),
            &["svc", "store", "guard"],
        )
        .expect(valid);
        let overrides = IntCounterVec::new(
            Opts::new("pointsman_overrides_total", "Guards that an operator passed by name."),
            &["svc", "store", "guard"],
        )
        .expect(valid);
        let boxes: [Box<dyn prometheus::core::Collector>; 6] = [
            Box::new(reload_success.clone()),
            Box::new(switches.clone()),
            Box::new(phases.clone()),
            Box::new(last_switch.clone()),
            Box::new(refusals.clone()),
            Box::new(overrides.clone()),
        ];
        for collector in boxes {
            registry.register(collector).expect("each name is registered once");
        }
        let journal = JournalGauges::new(&registry);
        // Whoever runs has loaded a good configuration; a bad reload sets it to 0.
        reload_success.set(1);
        let admin = AdminCounts::register(&registry);
        let webhooks = WebhookMetrics::register(&registry);
        Self { registry, reload_success, switches, phases, last_switch, refusals, overrides, admin, journal, webhooks }
    }

    /// Creates every series of a service at 0, so that rates and alerts work from the first event. Call it for each
    /// service at start and after a reload. `moved` is when the journal says the route last moved.
    pub fn service(&self, svc: &ServiceName, kind: Kind, moved: Option<jiff::Timestamp>) {
        let (svc, store) = (svc.as_str(), kind.as_str());
        for operation in SWITCHES {
            for end in ENDS {
                self.switches.with_label_values(&[svc, store, operation, end.as_str()]);
            }
        }
        for step in Step::ALL {
            self.phases.with_label_values(&[svc, store, step.as_str()]);
        }
        let moved = moved.map_or(0.0, |moved| moved.as_duration().as_secs_f64());
        self.last_switch.with_label_values(&[svc, store]).set(moved);
        for guard in Guard::ALL {
            self.refusals.with_label_values(&[svc, store, guard.as_str()]);
            self.overrides.with_label_values(&[svc, store, guard.as_str()]);
        }
    }

    /// Counts an operation that ended: switches, their phases and the guards that refused. A dry run is not counted; the
    /// caller doesn't report it.
    pub fn ended(&self, operation: &Operation, kind: Kind) {
        let (svc, store) = (operation.svc.as_str(), kind.as_str());
        if operation.outcome == Outcome::Refused {
            for refusal in &operation.guards {
                self.refused(&operation.svc, kind, refusal.name);
            }
        }
        if !SWITCHES.contains(&operation.kind.as_str()) || !ENDS.contains(&operation.outcome) {
            return;
        }
        self.switches.with_label_values(&[svc, store, &operation.kind, operation.outcome.as_str()]).inc();
        for phase in &operation.phases {
            self.phases.with_label_values(&[svc, store, phase.name.as_str()]).observe(phase.ms / 1000.0);
        }
        if operation.from != operation.to && matches!(operation.outcome, Outcome::Done | Outcome::Partial) {
            let total: f64 = operation.phases.iter().map(|phase| phase.ms / 1000.0).sum();
            let ended = operation.started.as_duration().as_secs_f64() + total;
            self.last_switch.with_label_values(&[svc, store]).set(ended);
        }
    }

    /// Counts a refusal that is no operation, e.g. an automatic failover that was not begun.
    pub fn refused(&self, svc: &ServiceName, kind: Kind, guard: Guard) {
        self.refusals.with_label_values(&[svc.as_str(), kind.as_str(), guard.as_str()]).inc();
    }

    /// Counts a guard that an operator passed by name.
    pub fn overridden(&self, svc: &ServiceName, kind: Kind, guard: Guard) {
        self.overrides.with_label_values(&[svc.as_str(), kind.as_str(), guard.as_str()]).inc();
    }

    /// The counts of webhooks.
    pub fn webhooks(&self) -> &WebhookMetrics {
        &self.webhooks
    }

    /// Whether the last load of the configuration succeeded.
    pub fn reloaded(&self, success: bool) {
        self.reload_success.set(i64::from(success));
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

/// The metrics that are computed when scraped, empty.
pub(super) struct Scraped {
    pub(super) build_info: Family,
    pub(super) route_epoch: Family,
    pub(super) route_info: Family,
    pub(super) read_route_info: Family,
    pub(super) service_mode: Family,
    pub(super) service_state: Family,
    pub(super) service_ready: Family,
    pub(super) member_up: Family,
    pub(super) member_lag: Family,
    pub(super) node_up: Family,
    pub(super) probe_duration: Family,
    pub(super) client_connections: Family,
    pub(super) read_client_connections: Family,
    pub(super) upstream_connections: Family,
    pub(super) commands: Family,
    pub(super) requests: Family,
    pub(super) command_duration: Family,
    pub(super) held: Family,
    pub(super) waiting: Family,
    pub(super) group_split: Family,
    pub(super) group_waiting: Family,
}

impl Scraped {
    pub(super) fn new() -> Self {
        Self {
            build_info: Family::gauge("pointsman_build_info", "1; the version is a label."),
            route_epoch: Family::gauge("pointsman_route_epoch", "Epoch of the route."),
            route_info: Family::gauge("pointsman_route_info", "1; the routed cluster and node are labels."),
            read_route_info: Family::gauge(
                "pointsman_read_route_info",
                "1; the cluster and node that the read port leads to are labels.",
            ),
            service_mode: Family::gauge("pointsman_service_mode", "1 for the mode that is in force."),
            service_state: Family::gauge("pointsman_service_state", "1 for what Pointsman is doing about the service."),
            service_ready: Family::gauge("pointsman_service_ready", "1 if the operation would be let through now."),
            member_up: Family::gauge("pointsman_member_up", "1 if the cluster is up."),
            member_lag: Family::gauge(
                "pointsman_member_lag_seconds",
                "How long ago the primary's position was the one that the cluster has received; NaN if unknown.",
            ),
            node_up: Family::gauge("pointsman_node_up", "1 if the node is up."),
            probe_duration: Family::gauge(
                "pointsman_probe_duration_seconds",
                "How long the last probe of the node took; NaN before the first.",
            ),
            client_connections: Family::gauge("pointsman_client_connections", "Connections of applications."),
            read_client_connections: Family::gauge(
                "pointsman_read_client_connections",
                "Those of the applications' connections that are on the read port.",
            ),
            upstream_connections: Family::gauge("pointsman_upstream_connections", "Connections to nodes."),
            commands: Family::counter("pointsman_commands_total", "Commands by how they ended for the application."),
            requests: Family::counter(
                "pointsman_http_requests_total",
                "Requests to search clusters by class of API and how they ended for the application.",
            ),
            command_duration: Family::histogram(
                "pointsman_command_duration_seconds",
                "From a command being read to being answered; pinned commands are not timed.",
            ),
            held: Family::gauge("pointsman_held_commands", "Commands that wait in a hold."),
            group_split: Family::gauge(
                "pointsman_group_split",
                "1 if the routes of the group's members lead to different places.",
            ),
            group_waiting: Family::gauge(
                "pointsman_group_operations_waiting",
                "Switches of the whole group that wait for a second person.",
            ),
            waiting: Family::gauge("pointsman_operations_waiting", "Switches that wait for a second person."),
        }
    }

    pub(super) fn end(self) -> impl Iterator<Item = prometheus::proto::MetricFamily> {
        [
            self.build_info,
            self.route_epoch,
            self.route_info,
            self.read_route_info,
            self.service_mode,
            self.service_state,
            self.service_ready,
            self.member_up,
            self.member_lag,
            self.node_up,
            self.probe_duration,
            self.client_connections,
            self.read_client_connections,
            self.upstream_connections,
            self.commands,
            self.requests,
            self.command_duration,
            self.held,
            self.waiting,
            self.group_split,
            self.group_waiting,
        ]
        .into_iter()
        .filter_map(Family::end)
    }
}
