//! The text of one scrape: handles, views, the workers' counts and the process's numbers together.

use super::{
    metrics::{Metrics, Scraped},
    process,
};
use crate::model::{
    group::{Gathering, GroupView},
    name::{Kind, ServiceName},
    operation::Outcome,
    route::Mode,
    view::{ClusterView, Health, ServiceView, Standing},
};
use prometheus::{Encoder, TextEncoder};

/// The Content-Type of [`render`]'s text.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What the workers counted for one service, summed for one scrape.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Requests that wait in a hold now.
    pub held: u64,
    /// Commands by how they ended: the label and the count.
    pub commands: Vec<(&'static str, u64)>,
    /// Requests by class and how they ended, where requests have classes: the labels and the count.
    pub requests: Vec<(&'static str, &'static str, u64)>,
    /// Upper bounds of the latency buckets in microseconds.
    pub bounds_us: &'static [u32],
    /// Commands by latency, not cumulative; one bucket more than there are bounds.
    pub buckets: Vec<u64>,
    /// The sum of all latencies in microseconds.
    pub sum_us: u64,
}

/// The metrics page. `views` are the services as they stand; `traffic` sums what the workers counted for one service.
pub fn render(
    metrics: &Metrics,
    views: &[ServiceView],
    groups: &[GroupView],
    traffic: &dyn Fn(&ServiceName) -> Traffic,
) -> Vec<u8> {
    let mut scraped = Scraped::new();
    scraped.build_info.set(&[("version", env!("CARGO_PKG_VERSION"))], 1.0);
    for view in views {
        service(&mut scraped, view);
        commands(&mut scraped, view, &traffic(&view.name));
        for cluster in &view.clusters {
            member(&mut scraped, view, cluster);
        }
    }
    for group in groups {
        let label = ("group", group.name.as_str());
        scraped.group_split.set(&[label], flag(group.split));
        scraped.group_waiting.set(&[label], flag(group.state == Gathering::Waiting));
    }
    let mut families = metrics.registry.gather();
    families.extend(scraped.end());
    families.extend(process::families());
    families.sort_by(|a, b| a.name().cmp(b.name()));
    let mut text = Vec::with_capacity(16 * 1024);
    // Encoding fails only for a family without series, which `Family::end` and `gather` leave out; what was written
    // until then is still a valid page.
    if let Err(error) = TextEncoder::new().encode(&families, &mut text) {
        tracing::error!(%error, "the metrics page is incomplete");
    }
    text
}

fn service(scraped: &mut Scraped, view: &ServiceView) {
    let (svc, store) = (("svc", view.name.as_str()), ("store", view.kind.as_str()));
    scraped.route_epoch.set(&[svc, store], number(view.epoch.0));
    if let Some(route) = &view.route {
        scraped.route_info.set(&[svc, store, ("member", route.cluster.as_str()), ("node", route.node.as_str())], 1.0);
    }
    if let Some(route) = &view.read_route {
        let labels = [svc, store, ("member", route.cluster.as_str()), ("node", route.node.as_str())];
        scraped.read_route_info.set(&labels, 1.0);
    }
    for mode in Mode::ALL {
        scraped.service_mode.set(&[svc, store, ("mode", mode.as_str())], flag(mode == view.mode));
    }
    for state in Standing::ALL.iter().copied() {
        scraped.service_state.set(&[svc, store, ("state", state.as_str())], flag(state == view.state));
    }
    for (operation, readiness) in [("switchover", &view.switchover_ready), ("failover", &view.failover_ready)] {
        scraped.service_ready.set(&[svc, store, ("operation", operation)], flag(readiness.ready));
    }
    let waits = view.operation.as_ref().is_some_and(|operation| operation.outcome == Outcome::Waiting);
    scraped.waiting.set(&[svc, store], flag(waits));
    scraped.client_connections.set(&[svc, store], number(view.connections.client));
    scraped.read_client_connections.set(&[svc, store], number(view.connections.read_client));
    for (sharing, count) in [("shared", view.connections.shared_upstream), ("pinned", view.connections.pinned_upstream)]
    {
        scraped.upstream_connections.set(&[svc, store, ("sharing", sharing)], number(count));
    }
}

fn commands(scraped: &mut Scraped, view: &ServiceView, traffic: &Traffic) {
    let (svc, store) = (("svc", view.name.as_str()), ("store", view.kind.as_str()));
    for (outcome, count) in &traffic.commands {
        scraped.commands.count(&[svc, store, ("outcome", outcome)], number(*count));
    }
    for (class, outcome, count) in traffic.requests.iter().filter(|_| view.kind == Kind::Elasticsearch) {
        scraped.requests.count(&[svc, store, ("class", class), ("outcome", outcome)], number(*count));
    }
    let bounds: Vec<f64> = traffic.bounds_us.iter().map(|bound| f64::from(*bound) / 1_000_000.0).collect();
    let seconds = number(traffic.sum_us) / 1_000_000.0;
    scraped.command_duration.observe(&[svc, store], &bounds, &traffic.buckets, seconds);
    scraped.held.set(&[svc, store], number(traffic.held));
}

fn member(scraped: &mut Scraped, view: &ServiceView, cluster: &ClusterView) {
    let labels = [
        ("svc", view.name.as_str()),
        ("store", view.kind.as_str()),
        ("member", cluster.name.as_str()),
        ("site", cluster.site.as_str()),
    ];
    scraped.member_up.set(&labels, flag(is_up(cluster.health)));
    scraped.member_lag.set(&labels, cluster.lag_seconds.unwrap_or(f64::NAN));
    for node in &cluster.nodes {
        let [svc, store, member, site] = labels;
        let labels = [svc, store, member, site, ("node", node.address.as_str())];
        scraped.node_up.set(&labels, flag(is_up(node.health)));
        scraped.probe_duration.set(&labels, node.probe_seconds.unwrap_or(f64::NAN));
    }
}

/// Suspect is up: only `fall` failed probes make a node down.
fn is_up(health: Health) -> bool {
    matches!(health, Health::Up | Health::Suspect)
}

fn flag(on: bool) -> f64 {
    f64::from(u8::from(on))
}

#[expect(clippy::cast_precision_loss, reason = "Prometheus has doubles only; counts beyond 2^53 round")]
fn number(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{guard::Guard, view::Readiness};

    fn cart() -> ServiceView {
        ServiceView {
            mode: Mode::Open,
            epoch: crate::model::route::Epoch(7),
            state: Standing::Steady,
            switchover_ready: Readiness { ready: true, ..Readiness::default() },
            connections: crate::model::view::Connections { client: 50, ..Default::default() },
            ..ServiceView::unknown("cart".into(), Kind::Redis)
        }
    }

    #[test]
    fn every_series_of_a_service_is_there_from_the_start() {
        let metrics = Metrics::new();
        metrics.service(&"cart".into(), Kind::Redis, None);
        let traffic = Traffic {
            held: 2,
            commands: vec![("answered", 3), ("refused", 0)],
            requests: vec![("read", "answered", 5)],
            bounds_us: &[100, 1000],
            buckets: vec![1, 1, 1],
            sum_us: 2_000_500,
        };
        let page = String::from_utf8(render(&metrics, &[cart()], &[], &|_| traffic.clone())).expect("text");
        let labels = r#"svc="cart""#;
        for line in [
            "pointsman_config_reload_success 1".to_owned(),
            format!(r#"pointsman_route_epoch{{{labels},store="redis"}} 7"#),
            format!(r#"pointsman_service_mode{{{labels},store="redis",mode="open"}} 1"#),
            format!(r#"pointsman_service_mode{{{labels},store="redis",mode="hold"}} 0"#),
            format!(r#"pointsman_service_state{{{labels},store="redis",state="steady"}} 1"#),
            format!(r#"pointsman_service_state{{{labels},store="redis",state="blocked"}} 0"#),
            format!(r#"pointsman_service_ready{{{labels},store="redis",operation="switchover"}} 1"#),
            format!(r#"pointsman_client_connections{{{labels},store="redis"}} 50"#),
            format!(r#"pointsman_commands_total{{{labels},store="redis",outcome="refused"}} 0"#),
            format!(r#"pointsman_commands_total{{{labels},store="redis",outcome="answered"}} 3"#),
            format!(r#"pointsman_held_commands{{{labels},store="redis"}} 2"#),
            format!(r#"pointsman_operations_waiting{{{labels},store="redis"}} 0"#),
            format!(r#"pointsman_command_duration_seconds_bucket{{{labels},store="redis",le="0.001"}} 2"#),
            format!(r#"pointsman_command_duration_seconds_bucket{{{labels},store="redis",le="+Inf"}} 3"#),
            format!(r#"pointsman_command_duration_seconds_sum{{{labels},store="redis"}} 2.0005"#),
            format!(r#"pointsman_last_switch_timestamp_seconds{{store="redis",{labels}}} 0"#),
        ] {
            assert!(page.lines().any(|found| found == line), "missing {line}\n{page}");
        }
        assert!(!page.contains("pointsman_http_requests_total"), "Redis has no classes of requests");
        let search = ServiceView { kind: Kind::Elasticsearch, ..cart() };
        let page_of_search = String::from_utf8(render(&metrics, &[search], &[], &|_| traffic.clone())).expect("text");
        let line =
            r#"pointsman_http_requests_total{svc="cart",store="elasticsearch",class="read",outcome="answered"} 5"#;
        assert!(page_of_search.contains(line), "missing {line}\n{page_of_search}");
        for guard in Guard::ALL {
            for name in ["refusals", "overrides"] {
                let line = format!(r#"pointsman_{name}_total{{guard="{}",store="redis",{labels}}} 0"#, guard.as_str());
                assert!(page.lines().any(|found| found == line), "missing {line}");
            }
        }
        for outcome in [Outcome::Done, Outcome::RolledBack] {
            assert!(page.contains(&format!(r#"operation="failover",outcome="{}""#, outcome.as_str())));
        }
        assert!(page.contains("pointsman_process_resident_memory_bytes "));
    }
}
