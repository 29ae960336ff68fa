//! Reads `[[services.NAME.clusters]]`: names, sites, nodes.
//!
//! Input: a service's table and what the service took already. Output: its clusters in order of preference. Never: name
//! resolution or any other I/O.

use super::places::ServicePlaces;
use super::{Reader, search};
use crate::config::problem::Code;
use crate::config::schema::{Cluster, Node};
use crate::config::table::{Field, Table};
use crate::config::units;
use crate::model::name::{Kind, NodeAddress};

const MAX_CLUSTERS: usize = 16;

/// Every cluster of the service, in the order of the file.
pub(super) fn clusters(
    table: &mut Table<'_>,
    kind: Option<Kind>,
    places: &mut ServicePlaces,
    r: &mut Reader<'_>,
) -> Option<Vec<Cluster>> {
    let help = "add at least two tables `[[services.NAME.clusters]]`, in order of preference";
    let field = table.require(&mut r.sink, "clusters", help)?;
    let members = field.list(&mut r.sink, "a list of tables")?;
    if members.len() < 2 {
        let message = format!("`{}` must have at least two members, found {}", field.name, members.len());
        r.sink.error(table.span.clone(), Code::Missing, message, help);
    } else if members.len() > MAX_CLUSTERS {
        let message = format!("`{}` has {} clusters, {MAX_CLUSTERS} are allowed", field.name, members.len());
        r.sink.error(
            field.span.clone(),
            Code::OutOfRange,
            message,
            "each one is probed; leave out those that never serve",
        );
    }
    let mut all: Vec<Cluster> = Vec::with_capacity(members.len());
    for member in members {
        let table = member.table(&mut r.sink);
        all.extend(table.and_then(|table| cluster(table, kind, &all, places, r)));
    }
    warn_of_one_site(&table.span, &all, r);
    Some(all)
}

/// All in one place is allowed, and is no protection against losing that place.
fn warn_of_one_site(service: &std::ops::Range<usize>, all: &[Cluster], r: &mut Reader<'_>) {
    let Some(first) = all.first() else { return };
    if all.len() >= 2 && !first.site.is_empty() && all.iter().all(|cluster| cluster.site == first.site) {
        let message = format!("all clusters are in one site, {}", units::shown(&first.site));
        r.sink.warning(service.clone(), Code::Doubtful, message, "the service is lost with that site");
    }
}

fn cluster(
    mut table: Table<'_>,
    kind: Option<Kind>,
    before: &[Cluster],
    places: &mut ServicePlaces,
    r: &mut Reader<'_>,
) -> Option<Cluster> {
    let name_field = table.require(&mut r.sink, "name", "name = \"main\"");
    let name = name_field.as_ref().and_then(|field| {
        let name = field.string(&mut r.sink).map(units::parse_name)?;
        field.accept(&mut r.sink, name)
    });
    if let (Some(field), Some(name)) = (&name_field, &name)
        && before.iter().any(|cluster| cluster.name.as_str() == name)
    {
        let message = format!("the service has a cluster `{name}` already");
        r.sink.error(field.span.clone(), Code::Duplicate, message, "each cluster needs a name of its own");
    }
    let site = table.get("site").and_then(|field| field.string(&mut r.sink)).unwrap_or_default().to_owned();
    let help = "nodes = [\"10.0.0.5:6379\"]";
    let nodes = table.require(&mut r.sink, "nodes", help).and_then(|field| nodes(&field, kind, places, r));
    table.finish(&mut r.sink);
    Some(Cluster { name: name?.into(), site, nodes: nodes? })
}

fn nodes(field: &Field<'_>, kind: Option<Kind>, places: &mut ServicePlaces, r: &mut Reader<'_>) -> Option<Vec<Node>> {
    let members = field.list(&mut r.sink, "an address or a list of addresses")?;
    if members.is_empty() {
        let message = format!("`{}` is empty", field.name);
        r.sink.error(field.span.clone(), Code::Missing, message, "a cluster has at least one node");
    }
    Some(members.into_iter().filter_map(|member| node(&member, kind, places, r)).collect())
}

fn node(field: &Field<'_>, kind: Option<Kind>, places: &mut ServicePlaces, r: &mut Reader<'_>) -> Option<Node> {
    if !field.is_table() {
        return Some(Node { address: address(field, Some(places), r)?, replicate_from: None });
    }
    let mut table = field.table(&mut r.sink)?;
    let own = table.require(&mut r.sink, "address", "{ address = \"10.0.0.5:6379\" }");
    let own = own.and_then(|field| address(&field, Some(places), r));
    let replicate_from = table.get("replicate_from").filter(|field| !search::lacks(field, kind, r));
    let replicate_from = replicate_from.and_then(|field| address(&field, None, r));
    table.finish(&mut r.sink);
    Some(Node { address: own?, replicate_from })
}

/// An address as the file has it: that text is the node's name from now on. Only comparisons use the canonical form.
fn address(field: &Field<'_>, places: Option<&mut ServicePlaces>, r: &mut Reader<'_>) -> Option<NodeAddress> {
    let text = field.string(&mut r.sink)?;
    let canonical = field.accept(&mut r.sink, units::parse_node_address(text))?;
    if let Some(places) = places {
        r.places.node(&mut r.sink, field, &canonical, places);
    }
    Some(text.into())
}
