//! Reads `[services.NAME]`: the service's own keys, its health and its failover settings.
//!
//! Input: the table of services. Output: `Service` values and problems. Never: files or the network; see `access`.

use super::places::ServicePlaces;
use super::{MINUTE, MS_10, MS_100, Reader, TEN_MINUTES, TO_A_DAY, access, approval, clusters, search, users};
use crate::config::journal::FullJournal;
use crate::config::problem::Code;
use crate::config::schema::{
    AfterFailover, Failback, Failover, Health, Listen, Replication, SecondOpinion, Service, Unfenced,
};
use crate::config::table::{Field, Table};
use crate::config::units::{self, Invalid, shown};
use crate::model::name::Kind;

const MAX_CONNECTIONS: u32 = 1_000_000;
const MAX_STREAK: u32 = 100;

/// Every service in the order of the file.
pub(super) fn services(table: &Table<'_>, r: &mut Reader<'_>) -> Vec<Service> {
    let named = table.named(&mut r.sink);
    if named.is_empty() {
        r.sink.error(table.span.clone(), Code::Missing, "the file has no service", "add a table `[services.NAME]`");
    }
    let mut services = Vec::with_capacity(named.len());
    for (name, span, field) in named {
        if let Err(Invalid { message, help }) = units::parse_name(name) {
            r.sink.error(span, Code::BadValue, message, help);
        }
        if let Some(table) = field.table(&mut r.sink) {
            services.extend(service(name, table, r));
        }
    }
    services
}

fn service(name: &str, mut table: Table<'_>, r: &mut Reader<'_>) -> Option<Service> {
    // A new kind of store is one more word here.
    let kinds = [("redis", Kind::Redis), ("mysql", Kind::Mysql), ("elasticsearch", Kind::Elasticsearch)];
    let kind = table.require(&mut r.sink, "kind", "kind = \"redis\"");
    let kind = kind.and_then(|field| field.choice(&mut r.sink, &kinds, &[]));
    let listen = table.require(&mut r.sink, "listen", "listen = [\"127.0.0.1:6379\"], where applications connect");
    let listen = listen.and_then(|field| listeners(&field, r));
    let listen_read =
        table.get("listen_read").and_then(|field| listeners_for_reads(&field, kind, r)).unwrap_or_default();
    let replication = replication(&mut table, kind, r);
    let tune = table.get("tune").filter(|field| !search::lacks(field, kind, r));
    let tune = tune.and_then(|field| field.boolean(&mut r.sink)).unwrap_or_default();
    let deny = table.get("deny").and_then(|field| deny(&field, kind, r));
    let max_connections = table.get("max_connections").and_then(|f| f.integer(&mut r.sink, 1..=MAX_CONNECTIONS));
    let client_buffer = table.get("client_buffer").and_then(|f| f.size(&mut r.sink, &((16 << 10)..=(1 << 30))));
    let on_call = table.get("on_call").and_then(|field| field.string(&mut r.sink)).unwrap_or_default().to_owned();
    let tls = table.table(&mut r.sink, "tls").and_then(|table| access::listener_tls(table, r));
    let node_tls = table.table(&mut r.sink, "node_tls").and_then(|table| access::node_tls(table, r));
    let credentials = table.table(&mut r.sink, "credentials").map(|table| access::credentials(table, kind, r));
    let replication_user = users::replication_user(&mut table, kind, r);
    let idle_in_transaction = users::idle_in_transaction(&mut table, kind, r);
    let users = users::users(&mut table, kind, r);
    let search = search::search(&mut table, kind, r);
    let health = health(table.section(&mut r.sink, "health"), r);
    let failover = failover(table.section(&mut r.sink, "failover"), replication, r);
    let own = listen.iter().flatten().chain(&listen_read).cloned().collect();
    let mut places = ServicePlaces::new(own, replication);
    let clusters = clusters::clusters(&mut table, kind, &mut places, r);
    let approval = approval::approval(&mut table, r);
    table.finish(&mut r.sink);
    let plain = Service::plain(name, kind?, replication);
    Some(Service {
        listen: listen?,
        listen_read,
        tune,
        deny,
        max_connections: max_connections.map_or(plain.max_connections, |count| count as usize),
        client_buffer: client_buffer.map_or(Some(plain.client_buffer), |size| usize::try_from(size).ok())?,
        on_call,
        tls,
        node_tls,
        credentials,
        users,
        replication_user,
        idle_in_transaction,
        search,
        health,
        failover,
        approval,
        clusters: clusters?,
        ..plain
    })
}

/// Clusters of Elasticsearch are independent: nothing in them has a role that could be moved.
fn replication(table: &mut Table<'_>, kind: Option<Kind>, r: &mut Reader<'_>) -> Replication {
    let words = [("managed", Replication::Managed), ("external", Replication::External), ("none", Replication::None)];
    let (words, default) = match kind {
        Some(Kind::Elasticsearch) => (&words[2..], Replication::None),
        _ => (&words[..], Replication::default()),
    };
    let field = table.get("replication");
    field.and_then(|field| field.choice(&mut r.sink, words, &["mirrored"])).unwrap_or(default)
}

fn listeners(field: &Field<'_>, r: &mut Reader<'_>) -> Option<Vec<Listen>> {
    let members = field.list(&mut r.sink, "an address or a list of addresses")?;
    if members.is_empty() {
        let message = format!("`{}` is empty", field.name);
        r.sink.error(field.span.clone(), Code::Missing, message, "applications need an address to connect to");
    }
    let mut all = Vec::with_capacity(members.len());
    for member in members {
        let address = member.string(&mut r.sink).map(units::parse_listen);
        if let Some(address) = address.and_then(|address| member.accept(&mut r.sink, address)) {
            r.places.listen(&mut r.sink, &member, &address);
            all.push(address);
        }
    }
    Some(all)
}

fn listeners_for_reads(field: &Field<'_>, kind: Option<Kind>, r: &mut Reader<'_>) -> Option<Vec<Listen>> {
    if kind == Some(Kind::Elasticsearch) {
        let message = format!("`{}` belongs to services with standbys", field.name);
        r.sink.error(field.span.clone(), Code::Conflict, message, "a search is answered by whichever node is well");
        return None;
    }
    listeners(field, r)
}

/// Commands in upper case, a subcommand after one blank. Whether they exist is checked where the table of commands is.
fn deny(field: &Field<'_>, kind: Option<Kind>, r: &mut Reader<'_>) -> Option<Vec<String>> {
    if kind.is_some_and(|kind| kind != Kind::Redis) {
        let message = format!("`{}` belongs to a service of kind \"redis\"", field.name);
        r.sink.error(
            field.span.clone(),
            Code::Conflict,
            message,
            "what users of this kind may do is granted at the server",
        );
        return None;
    }
    let mut commands = Vec::new();
    for member in field.list(&mut r.sink, "a command or a list of commands")? {
        let Some(text) = member.string(&mut r.sink) else { continue };
        let words: Vec<String> =
            text.split([' ', '|']).filter(|w| !w.is_empty()).map(str::to_ascii_uppercase).collect();
        let plain = words.iter().all(|word| word.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c)));
        let command = words.join(" ");
        if words.is_empty() || words.len() > 2 || !plain {
            let help = "a command or a command and its subcommand, as in \"SHUTDOWN\" or \"CLUSTER MEET\"";
            r.sink.error(member.span, Code::BadValue, format!("{} is not the name of a command", shown(text)), help);
        } else if !commands.contains(&command) {
            commands.push(command);
        }
    }
    Some(commands)
}

fn health(mut table: Table<'_>, r: &mut Reader<'_>) -> Health {
    let default = Health::default();
    let sink = &mut r.sink;
    let opinions = [("standby", SecondOpinion::Standby), ("none", SecondOpinion::None)];
    let interval = table.get("interval").and_then(|field| field.duration(sink, &(MS_10..=MINUTE)));
    let timeout_field = table.get("timeout");
    let timeout = timeout_field.as_ref().and_then(|field| field.duration(sink, &(MS_10..=MINUTE)));
    let fall = table.get("fall").and_then(|field| field.integer(sink, 1..=MAX_STREAK));
    let rise = table.get("rise").and_then(|field| field.integer(sink, 1..=MAX_STREAK));
    let window_field = table.get("hang_window");
    let hang_window = window_field.as_ref().and_then(|field| field.duration(sink, &(MS_100..=TEN_MINUTES)));
    let opinion = table.get("second_opinion").and_then(|field| field.choice(sink, &opinions, &[]));
    let health = Health {
        interval: interval.unwrap_or(default.interval),
        timeout: timeout.unwrap_or(default.timeout),
        fall: fall.unwrap_or(default.fall),
        rise: rise.unwrap_or(default.rise),
        hang_window: hang_window.unwrap_or(default.hang_window),
        second_opinion: opinion.unwrap_or(default.second_opinion),
    };
    if let Some(field) = timeout_field.or(window_field)
        && health.timeout > health.hang_window
    {
        let (timeout, window) = (units::show_duration(health.timeout), units::show_duration(health.hang_window));
        let message = format!("a probe may take {timeout}, longer than the `hang_window` of {window}");
        sink.warning(field.span, Code::Doubtful, message, "one slow probe would count as a hang");
    }
    table.finish(sink);
    health
}

fn failover(mut table: Table<'_>, replication: Replication, r: &mut Reader<'_>) -> Failover {
    let default = Failover::defaults(replication);
    let sink = &mut r.sink;
    let unfenced = [("block", Unfenced::Block), ("promote", Unfenced::Promote)];
    let full = [("block", FullJournal::Block), ("promote", FullJournal::Promote)];
    let after = [("open", AfterFailover::Open), ("read_only", AfterFailover::ReadOnly)];
    let failback = [("manual", Failback::Manual), ("automatic", Failback::Automatic)];
    let automatic = table.get("automatic").and_then(|field| field.boolean(sink));
    let max_lag = table.get("max_lag").and_then(|field| field.duration(sink, &TO_A_DAY));
    let unfenced = table.get("unfenced").and_then(|field| field.choice(sink, &unfenced, &[]));
    let full_journal = table.get("full_journal").and_then(|field| field.choice(sink, &full, &[]));
    let after_failover = table.get("after_failover").and_then(|field| field.choice(sink, &after, &[]));
    let cooldown = table.get("cooldown").and_then(|field| field.duration(sink, &TO_A_DAY));
    let failback = table.get("failback").and_then(|field| field.choice(sink, &failback, &[]));
    let hold_field = table.get("hold_timeout");
    let hold_timeout = hold_field.as_ref().and_then(|field| field.duration(sink, &(MS_100..=TEN_MINUTES)));
    let drain_field = table.get("drain_timeout");
    let drain_timeout = drain_field.as_ref().and_then(|field| field.duration(sink, &(MS_10..=TEN_MINUTES)));
    let failover = Failover {
        automatic: automatic.unwrap_or(default.automatic),
        max_lag: max_lag.unwrap_or(default.max_lag),
        unfenced: unfenced.unwrap_or(default.unfenced),
        full_journal: full_journal.unwrap_or(default.full_journal),
        after_failover: after_failover.unwrap_or(default.after_failover),
        cooldown: cooldown.unwrap_or(default.cooldown),
        failback: failback.unwrap_or(default.failback),
        hold_timeout: hold_timeout.unwrap_or(default.hold_timeout),
        drain_timeout: drain_timeout.unwrap_or(default.drain_timeout),
    };
    if let Some(field) = drain_field.or(hold_field)
        && failover.drain_timeout > failover.hold_timeout
    {
        let (drain, hold) = (units::show_duration(failover.drain_timeout), units::show_duration(failover.hold_timeout));
        let message = format!("transactions get {drain} to end, longer than requests are held ({hold})");
        sink.warning(field.span, Code::Doubtful, message, "a switch that waits for them would fail requests");
    }
    table.finish(sink);
    failover
}
