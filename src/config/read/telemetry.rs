//! Reads `[telemetry]`: the listener of metrics, the log, and the webhooks.
//!
//! Input: the table. Output: `Telemetry`. Never: a webhook's token or the path of its address in a problem.

use super::{DAY, LEVELS, MINUTE, MS_100, Reader, access};
use crate::config::problem::Code;
use crate::config::schema::Listen;
use crate::config::table::{Field, Table};
use crate::config::telemetry::{LogFormat, Notice, Telemetry, Webhook, WebhookFormat, WebhookUrl};
use crate::config::units::{self, Invalid, shown};
use crate::model::secret::Secret;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Each has a task, a file and a series of its own.
const MOST_WEBHOOKS: usize = 16;
/// As long as an address may be.
const LONGEST_URL: usize = 2048;
/// The public authorities of the machine.
const AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";

pub(super) fn telemetry(mut table: Table<'_>, r: &mut Reader<'_>) -> Telemetry {
    let mut telemetry = Telemetry::default();
    if let Some(field) = table.get("listen") {
        let address = field.string(&mut r.sink).map(units::parse_ip_port);
        let address: Option<SocketAddr> = address.and_then(|address| field.accept(&mut r.sink, address));
        if let Some(address) = address {
            r.places.listen(&mut r.sink, &field, &Listen::Tcp(address));
            telemetry.listen = address;
        }
    } else {
        r.places.default_listen("telemetry.listen", &Listen::Tcp(telemetry.listen));
    }
    if let Some(field) = table.get("log") {
        let text = field.string(&mut r.sink).map(parse_log);
        telemetry.log = text.and_then(|text| field.accept(&mut r.sink, text)).unwrap_or(telemetry.log);
    }
    let formats = [("text", LogFormat::Text), ("json", LogFormat::Json)];
    let format = table.get("log_format").and_then(|field| field.choice(&mut r.sink, &formats, &[]));
    telemetry.log_format = format.unwrap_or_default();
    let runbooks = table.get("runbook_url").and_then(|field| field.text(&mut r.sink));
    telemetry.runbook_url = runbooks.unwrap_or(telemetry.runbook_url);
    if let Some(field) = table.get("webhooks") {
        telemetry.webhooks = webhooks(&field, r);
    }
    table.finish(&mut r.sink);
    telemetry
}

/// A level, or directives such as `info,pointsman::control=debug`. The filter's own parser takes any single word for the
/// name of a module, so that a misspelt level would silence the log: here a single word must be a level.
fn parse_log(text: &str) -> Result<String, Invalid> {
    let help = "a level (off, error, warn, info, debug, trace) or a filter such as \"info,pointsman::control=debug\"";
    let bad = || Invalid::new(format!("{} is no log filter", shown(text)), help);
    let misspelt =
        |part: &str| !part.contains(['=', ':', '[']) && !LEVELS.contains(&part.to_ascii_lowercase().as_str());
    if text.trim().is_empty() || text.split(',').any(|part| misspelt(part.trim())) {
        return Err(bad());
    }
    tracing_subscriber::EnvFilter::builder().parse(text).map_err(|_| bad())?;
    Ok(text.to_owned())
}

fn webhooks(field: &Field<'_>, r: &mut Reader<'_>) -> Vec<Webhook> {
    let members = field.list(&mut r.sink, "a list of tables").unwrap_or_default();
    if members.len() > MOST_WEBHOOKS {
        let message = format!("`{}` has {} members, {MOST_WEBHOOKS} are allowed", field.name, members.len());
        r.sink.error(field.span.clone(), Code::OutOfRange, message, "let one endpoint pass on what others must know");
        return Vec::new();
    }
    let (mut all, mut names) = (Vec::with_capacity(members.len()), Vec::with_capacity(members.len()));
    for member in members {
        let Some(table) = member.table(&mut r.sink) else { continue };
        all.extend(webhook(table, &mut names, r));
    }
    all
}

/// `names` are those before it, of webhooks that can't be used too.
fn webhook(mut table: Table<'_>, names: &mut Vec<String>, r: &mut Reader<'_>) -> Option<Webhook> {
    let name = table.require(&mut r.sink, "name", "name = \"pager\"").and_then(|field| name(&field, names, r));
    let url = table.require(&mut r.sink, "url", "url = \"https://alerts.example/pointsman\"");
    let url = url.and_then(|field| {
        let parsed = field.string(&mut r.sink).map(parse_url)?;
        field.accept(&mut r.sink, parsed)
    });
    let formats = [("alertmanager", WebhookFormat::Alertmanager), ("json", WebhookFormat::Json)];
    let format = table.get("format").and_then(|field| field.choice(&mut r.sink, &formats, &[])).unwrap_or_default();
    let events = table.get("events").and_then(|field| events(&field, format, r));
    let token = table.get("token_file").and_then(|field| token(&field, r));
    let ca = table.get("ca").and_then(|field| ca(&field, url.as_ref(), r));
    let timeout = table.get("timeout").and_then(|field| field.duration(&mut r.sink, &(MS_100..=MINUTE)));
    let patience = table.get("not_ready_after");
    let patience = patience.and_then(|field| field.duration(&mut r.sink, &(Duration::ZERO..=DAY)));
    table.finish(&mut r.sink);
    Some(Webhook {
        name: name?,
        url: url?,
        format,
        events: events.unwrap_or_else(|| Notice::DEFAULT.to_vec()),
        token,
        ca: ca.unwrap_or_else(|| PathBuf::from(AUTHORITIES)),
        timeout: timeout.unwrap_or(Duration::from_secs(5)),
        not_ready_after: patience.unwrap_or(MINUTE),
    })
}

fn name(field: &Field<'_>, names: &mut Vec<String>, r: &mut Reader<'_>) -> Option<String> {
    let parsed = field.string(&mut r.sink).map(units::parse_name)?;
    let text = field.accept(&mut r.sink, parsed)?;
    if names.contains(&text) {
        let message = format!("there is a webhook {} already", shown(&text));
        r.sink.error(field.span.clone(), Code::Duplicate, message, "what was told is remembered under its name");
    }
    names.push(text.clone());
    Some(text)
}

fn events(field: &Field<'_>, format: WebhookFormat, r: &mut Reader<'_>) -> Option<Vec<Notice>> {
    let words: Vec<(&str, Notice)> = Notice::ALL.iter().map(|notice| (notice.as_str(), *notice)).collect();
    let members = field.list(&mut r.sink, "a word or a list of words")?;
    if members.is_empty() {
        let message = format!("`{}` is empty", field.name);
        r.sink.error(field.span.clone(), Code::Missing, message, "leave it out for all that calls for a person");
    }
    let mut all = Vec::with_capacity(members.len());
    for member in members {
        let Some(notice) = member.choice(&mut r.sink, &words, &[]) else { continue };
        if notice == Notice::Record && format == WebhookFormat::Alertmanager {
            let message = "`record` has no form as an alert";
            r.sink.error(member.span.clone(), Code::Conflict, message, "give it a webhook with `format = \"json\"`");
        }
        if !all.contains(&notice) {
            all.push(notice);
        }
    }
    Some(all)
}

fn token(field: &Field<'_>, r: &mut Reader<'_>) -> Option<Secret> {
    let token = access::password_file(field, r)?;
    if token.expose().iter().all(u8::is_ascii_graphic) {
        return Some(token);
    }
    let message =
        format!("the token of `{}` can't be sent: it holds more than printable ASCII without blanks", field.name);
    r.sink.error(field.span.clone(), Code::BadValue, message, "the file holds the token alone, on one line");
    None
}

fn ca(field: &Field<'_>, url: Option<&WebhookUrl>, r: &mut Reader<'_>) -> Option<PathBuf> {
    if url.is_some_and(|url| !url.tls) {
        let message = format!("`{}` belongs to an address that begins with https://", field.name);
        r.sink.error(field.span.clone(), Code::Conflict, message, "leave it out");
    }
    access::pem(field, false, r)
}

/// `http://host[:port][/path]` or `https://`. The reasons never show the address: it may hold a login or a key.
fn parse_url(text: &str) -> Result<WebhookUrl, Invalid> {
    let form = "an address such as \"https://alerts.example/pointsman\" or \"http://127.0.0.1:9095/hook\"";
    let bad = |why: &str| Invalid::new(format!("this webhook's address {why}"), form);
    if text.len() > LONGEST_URL {
        return Err(bad("is longer than 2048 bytes"));
    }
    let (tls, rest) = match (text.strip_prefix("https://"), text.strip_prefix("http://")) {
        (Some(rest), _) => (true, rest),
        (None, Some(rest)) => (false, rest),
        (None, None) => return Err(bad("begins with neither http:// nor https://")),
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (host, path) = rest.split_at(end);
    if host.contains('@') {
        let help = "put the token into a file of its own and name that in `token_file`";
        return Err(Invalid::new("this webhook's address holds a login", help));
    }
    if path.contains('#') {
        return Err(bad("has a fragment, which is never sent"));
    }
    if !path.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(bad("has a blank or a letter beyond ASCII: write it as %20 and the like"));
    }
    let numbered = !host.ends_with(']') && host.rsplit_once(':').is_some();
    let authority = if numbered { host.to_owned() } else { format!("{host}:{}", if tls { 443 } else { 80 }) };
    let authority = units::parse_node_address(&authority).map_err(|_| bad("has no usable host and port"))?;
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    Ok(WebhookUrl { tls, host: host.to_owned(), authority, path: Secret::new(path.into_bytes()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_taken_apart_and_shown_without_their_path() {
        for (text, tls, authority, path, shown) in [
            ("http://a", false, "a:80", "/", "http://a/"),
            ("https://a/b?c=d", true, "a:443", "/b?c=d", "https://a/***"),
            ("http://127.0.0.1:9095/x", false, "127.0.0.1:9095", "/x", "http://127.0.0.1:9095/***"),
            ("https://[::1]/x", true, "[::1]:443", "/x", "https://[::1]/***"),
            ("http://[::1]:8080?k=v", false, "[::1]:8080", "/?k=v", "http://[::1]:8080/***"),
        ] {
            let url = parse_url(text).unwrap_or_else(|error| panic!("{text}: {}", error.message));
            assert_eq!(
                (url.tls, url.authority.as_str(), url.path.expose()),
                (tls, authority, path.as_bytes()),
                "{text}"
            );
            assert_eq!((url.to_string(), format!("{url:?}")), (shown.to_owned(), shown.to_owned()));
        }
    }

    #[test]
    fn addresses_that_can_not_be_used_are_refused_without_being_shown() {
        let long = format!("http://a/{}", "x".repeat(LONGEST_URL));
        for text in [
            "",
            "a",
            "ftp://a",
            "HTTP://a",
            "http://",
            "http:///x",
            "http://a:0",
            "http://a:b",
            "http://a b",
            "http://a/x y",
            "http://me:hunter2@a/",
            "http://a/#x",
            "http://a/caf\u{e9}",
            &long,
        ] {
            let Err(Invalid { message, .. }) = parse_url(text) else { panic!("{text} is taken") };
            assert!(!message.contains("hunter2"), "{message}");
        }
    }
}
