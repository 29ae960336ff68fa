//! Reads `[groups.NAME]`: which services are switched together.
//!
//! Input: the table of groups, the services read before. Output: groups in which no service stands twice. Never: I/O.

use super::Reader;
use crate::config::groups::Group;
use crate::config::problem::Code;
use crate::config::schema::Service;
use crate::config::table::{Field, Table, closest};
use crate::config::units::{self, Invalid, shown};
use crate::model::group::OnError;
use crate::model::name::ServiceName;
use std::collections::{BTreeSet, HashMap};

/// Every group in the order of the file. `services` are those that could be read, `names` all that the file has.
pub(super) fn groups(table: &Table<'_>, services: &[Service], names: &[String], r: &mut Reader<'_>) -> Vec<Group> {
    let mut taken = HashMap::new();
    let mut groups = Vec::new();
    for (name, span, field) in table.named(&mut r.sink) {
        if let Err(Invalid { message, help }) = units::parse_name(name) {
            r.sink.error(span.clone(), Code::BadValue, message, help);
        }
        if names.iter().any(|service| service == name) {
            let message = format!("a service is called {} too", shown(name));
            let help = "a group's name stands where a service's may: give it a name of its own";
            r.sink.error(span, Code::Duplicate, message, help);
        }
        if let Some(table) = field.table(&mut r.sink) {
            groups.extend(group(name, table, services, names, &mut taken, r));
        }
    }
    groups
}

fn group(
    name: &str,
    mut table: Table<'_>,
    services: &[Service],
    names: &[String],
    taken: &mut HashMap<String, (String, usize)>,
    r: &mut Reader<'_>,
) -> Option<Group> {
    let field = table.require(
        &mut r.sink,
        "members",
        "members = [\"orders\", \"cart\"], in the order in which they are switched",
    );
    let words = [("stop", OnError::Stop), ("switch_back", OnError::SwitchBack)];
    let on_error = table.get("on_error").and_then(|field| field.choice(&mut r.sink, &words, &[])).unwrap_or_default();
    table.finish(&mut r.sink);
    let field = field?;
    let listed = field.list(&mut r.sink, "a list of services")?;
    if listed.len() < 2 {
        let message = format!("`{}` must have at least two members, found {}", field.name, listed.len());
        r.sink.error(field.span.clone(), Code::Missing, message, "one service alone needs no group");
    }
    let mut members: Vec<ServiceName> = Vec::new();
    for field in &listed {
        members.extend(member(name, field, names, taken, r));
    }
    warn_of_no_common_place(&field, &members, services, r);
    Some(Group { name: name.to_owned(), members, on_error })
}

/// A service that exists and is in no group yet.
fn member(
    group: &str,
    field: &Field<'_>,
    names: &[String],
    taken: &mut HashMap<String, (String, usize)>,
    r: &mut Reader<'_>,
) -> Option<ServiceName> {
    let text = field.string(&mut r.sink)?;
    if !names.iter().any(|name| name == text) {
        let known: Vec<&str> = names.iter().map(String::as_str).collect();
        let meant = closest(text, &known).map(|name| format!("did you mean \"{name}\"?"));
        let help = meant.unwrap_or_else(|| format!("there are {}", known.join(", ")));
        r.sink.error(field.span.clone(), Code::BadValue, format!("there is no service {}", shown(text)), help);
        return None;
    }
    let line = r.sink.line(field.span.start);
    if let Some((other, line)) = taken.insert(text.to_owned(), (group.to_owned(), line)) {
        let message = format!("{} is in the group `{other}` already, in line {line}", shown(text));
        r.sink.error(field.span.clone(), Code::Duplicate, message, "a service switches with one group, once");
        return None;
    }
    Some(text.into())
}

/// Members that have no two places in common can't be switched together.
fn warn_of_no_common_place(field: &Field<'_>, members: &[ServiceName], services: &[Service], r: &mut Reader<'_>) {
    let places = members.iter().filter_map(|name| services.iter().find(|service| service.name == *name));
    let places = places.map(|service| service.clusters.iter().map(crate::config::Cluster::place).collect());
    let common = places.reduce(|a: BTreeSet<&str>, b| a.intersection(&b).copied().collect());
    if common.is_some_and(|common| common.len() < 2) && members.len() >= 2 {
        let message = "the members have fewer than two places in common, so that they can't switch together";
        let help = "a place is a cluster's site, or its name where it has none";
        r.sink.warning(field.span.clone(), Code::Doubtful, message, help);
    }
}
