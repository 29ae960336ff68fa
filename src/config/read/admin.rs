//! Reads `[admin]`: the Unix socket, the TCP listener with its TLS, and the people who may use them.
//!
//! Input: the table. Output: an `Admin` in which no name, uid, gid or token stands for two people. Never: a token; the file holds
//! hashes, and a report hides even those.

use super::{Reader, access};
use crate::config::admin::{Admin, Person, TokenHash};
use crate::config::problem::Code;
use crate::config::schema::Listen;
use crate::config::table::{Field, Table};
use crate::config::units::{self, Invalid, shown};
use crate::model::person::Role;

/// Two tokens at once are enough to change from one to the next; some more for several machines.
const MOST_TOKENS: usize = 4;
/// The kernel keeps the greatest number for "nobody is meant".
const LAST_ID: u32 = u32::MAX - 1;
pub(super) fn admin(mut table: Table<'_>, r: &mut Reader<'_>) -> Admin {
    let mut admin = Admin::default();
    if let Some(field) = table.get("socket") {
        let path = field.string(&mut r.sink).map(units::parse_socket_path);
        if let Some(path) = path.and_then(|path| field.accept(&mut r.sink, path)) {
            r.places.listen(&mut r.sink, &field, &Listen::Unix(path.clone()));
            admin.socket = path;
        }
    } else {
        r.places.default_listen("admin.socket", &Listen::Unix(admin.socket.clone()));
    }
    let listen = table.get("listen");
    if let Some(field) = &listen {
        let address = field.string(&mut r.sink).map(units::parse_ip_port);
        admin.listen = address.and_then(|address| field.accept(&mut r.sink, address));
    }
    if let (Some(field), Some(address)) = (&listen, admin.listen) {
        r.places.listen(&mut r.sink, field, &Listen::Tcp(address));
    }
    let hosts = table.get("allowed_hosts").and_then(|field| field.list(&mut r.sink, "a list of host names"));
    for field in hosts.unwrap_or_default() {
        let host = field.string(&mut r.sink).map(parse_host);
        admin.allowed_hosts.extend(host.and_then(|host| field.accept(&mut r.sink, host)));
    }
    let tls = table.get("tls");
    admin.tls = tls.as_ref().and_then(|field| field.table(&mut r.sink)).and_then(|tls| access::listener_tls(tls, r));
    let people = table.get("people").and_then(|field| field.list(&mut r.sink, "a list of tables"));
    let mut places = Vec::new();
    for field in people.unwrap_or_default() {
        let Some(person) = field.table(&mut r.sink).and_then(|table| person(table, &places, r)) else { continue };
        places.push((person, r.sink.line(field.span.start)));
    }
    admin.people = places.into_iter().map(|(person, _)| person).collect();
    if let Some(field) = listen {
        reachable(&admin, &field, tls.is_some(), r);
    }
    table.finish(&mut r.sink);
    admin
}

/// What a TCP listener needs: somebody who can prove who they are, and no token in clear on a network.
fn reachable(admin: &Admin, field: &Field<'_>, tls: bool, r: &mut Reader<'_>) {
    if !admin.people.iter().any(|person| !person.tokens.is_empty()) {
        let message = "nobody has a token, so that nobody could use `admin.listen`";
        let help = "`pointsman token NAME` makes one and prints the lines for a table `[[admin.people]]`";
        r.sink.error(field.span.clone(), Code::Missing, message, help);
    }
    if let Some(address) = admin.listen.filter(|address| !address.ip().is_loopback() && !tls) {
        let message =
            format!("`admin.listen` on {address} is reached over a network, and tokens would pass it in clear");
        let help = "add a table `[admin.tls]` with `certificate` and `key`, or listen on 127.0.0.1";
        r.sink.error(field.span.clone(), Code::Missing, message, help);
    }
}

fn person(mut table: Table<'_>, before: &[(Person, usize)], r: &mut Reader<'_>) -> Option<Person> {
    let field = table.require(&mut r.sink, "name", "name = \"ann\"");
    let name = field.as_ref().and_then(|field| {
        let text = field.text(&mut r.sink)?;
        field.accept(&mut r.sink, Person::parse_name(&text))
    });
    if let (Some(field), Some(name)) = (&field, &name) {
        // Two spellings of one name would let one person pass for two.
        let folded = name.to_lowercase();
        let same = |other: &Person| other.name.to_lowercase() == folded;
        taken(field, "the name", before, same, "one name is one person, however they come", r);
    }
    let roles = Role::ALL.map(|role| (role.as_str(), role));
    let help = "viewer (looks), operator (gives orders too) or approver (agrees to others' orders too)";
    let role = table.require(&mut r.sink, "role", help).and_then(|field| field.choice(&mut r.sink, &roles, &[]));
    let (uid, gid, hash) = (table.get("uid"), table.get("gid"), table.get("token_hash"));
    if uid.is_none() && gid.is_none() && hash.is_none() {
        let message = format!("`{}` gives no way to know this person", table.name);
        r.sink.error(table.span.clone(), Code::Missing, message, "give at least one of `uid`, `gid` and `token_hash`");
    }
    let uid = uid.and_then(|field| id(&field, "the uid", before, |person| person.uid, r));
    let gid = gid.and_then(|field| id(&field, "the gid", before, |person| person.gid, r));
    let tokens = hash.map(|field| tokens(&field, before, r)).unwrap_or_default();
    table.finish(&mut r.sink);
    Some(Person { name: name?, role: role?, uid, gid, tokens })
}

fn id(
    field: &Field<'_>,
    what: &str,
    before: &[(Person, usize)],
    of: impl Fn(&Person) -> Option<u32>,
    r: &mut Reader<'_>,
) -> Option<u32> {
    let id = field.integer(&mut r.sink, 0..=LAST_ID)?;
    taken(field, what, before, |other| of(other) == Some(id), "it must tell one person from the others", r);
    Some(id)
}

fn tokens(field: &Field<'_>, before: &[(Person, usize)], r: &mut Reader<'_>) -> Vec<TokenHash> {
    let members = field.list(&mut r.sink, "a hash or a list of hashes").unwrap_or_default();
    if members.len() > MOST_TOKENS {
        let message = format!("`{}` has {} members, {MOST_TOKENS} are allowed", field.name, members.len());
        r.sink.error(field.span.clone(), Code::OutOfRange, message, "remove those that are not used any more");
    }
    let mut all: Vec<TokenHash> = Vec::new();
    for member in members.iter().take(MOST_TOKENS) {
        let hash = member.string(&mut r.sink).map(TokenHash::parse);
        let Some(hash) = hash.and_then(|hash| member.accept(&mut r.sink, hash)) else { continue };
        taken(
            member,
            "the token",
            before,
            |other| other.tokens.contains(&hash),
            "each person has tokens of their own",
            r,
        );
        if all.contains(&hash) {
            r.sink.error(member.span.clone(), Code::Duplicate, "the same hash stands here twice", "once is enough");
        }
        all.push(hash);
    }
    all
}

/// Reports what an earlier person has already.
fn taken(
    field: &Field<'_>,
    what: &str,
    before: &[(Person, usize)],
    same: impl Fn(&Person) -> bool,
    help: &str,
    r: &mut Reader<'_>,
) {
    if let Some((other, line)) = before.iter().find(|(other, _)| same(other)) {
        let message = format!("{what} belongs to {} already, in line {line}", shown(&other.name));
        r.sink.error(field.span.clone(), Code::Duplicate, message, help);
    }
}

/// A host as browsers send it, without a port, in lower case.
fn parse_host(text: &str) -> Result<String, Invalid> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    if let Ok(address) = bare.parse::<std::net::IpAddr>() {
        return Ok(address.to_string());
    }
    let help = "a host without scheme, port or wildcard, as in \"ops.example\"";
    let fits = |part: &str| {
        let inside = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        !part.is_empty() && part.len() <= 63 && part.bytes().all(inside)
    };
    if text.len() > 253 || !text.split('.').all(fits) {
        return Err(Invalid::new(format!("{} is no host name", shown(text)), help));
    }
    Ok(text.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_names_or_addresses_and_nothing_more() {
        for (text, host) in [("Ops.Example", "ops.example"), ("[::1]", "::1"), ("10.0.0.1", "10.0.0.1"), ("a", "a")] {
            assert_eq!(parse_host(text).expect("a host"), host);
        }
        for bad in ["", "*", "*.example", "http://ops", "ops:9320", "a b", "ops.", ".ops", "ops/x", "ö"] {
            assert!(parse_host(bad).is_err(), "{bad}");
        }
    }
}
