//! What `check --connect` says of a node and its cluster: what would block a switch, and what would serve it better.
//!
//! Input: the service's clusters, the address of a node. Output: findings, each with what mends it; those of the whole cluster at its first
//! node. It changes nothing.

use super::{cluster::Cluster, fitness, gather::some, node::Node};
use crate::{
    model::{
        name::NodeAddress,
        observation::{Answer, Observation, Peer, Reach},
        view::Health,
    },
    store::{Finding, Inspection},
};
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// Who is in the cluster, and where they say that clients find them.
const NODES: &str = "/_nodes/_all/http?filter_path=nodes.*.name,nodes.*.roles,nodes.*.http.publish_address";
/// Which of them we asked.
const OWN_ID: &str = "/_nodes/_local?filter_path=nodes.*.name";
/// The longest answer: a thousand nodes take 200 KiB.
const MOST: usize = 4 << 20;

/// Inspects one node.
pub(super) async fn inspect(clusters: &[Cluster], address: &NodeAddress) -> Inspection {
    let mut found = Inspection { version: None, identity: None, findings: Vec::new() };
    let of = clusters.iter().find_map(|cluster| {
        let place = cluster.nodes.iter().position(|node| node.address == *address)?;
        Some((cluster, place, cluster.nodes.get(place)?))
    });
    let Some((cluster, place, node)) = of else { return found };
    let seen = cluster.probe().await;
    let peer = seen.peers.iter().find(|peer| peer.node == *address);
    let well = peer.is_some_and(|peer| peer.health == Health::Up);
    if let Some(peer) = peer.filter(|peer| !peer.note.is_empty()) {
        found.findings.push(unwell(peer));
    }
    if let Some(peer) = peer.filter(|_| well) {
        found.version = Some(peer.version.clone());
        found.identity = own_id(node).await;
    }
    let Some(answer) = seen.answer().filter(|_| place == 0) else { return found };
    of_cluster(cluster, answer, &mut found.findings).await;
    of_members(cluster, node, &mut found.findings).await;
    if let Some(twin) = twin(clusters, cluster, answer).await {
        found.findings.push(error(
            format!("clusters {twin} and {} are one cluster: a switch between them changes nothing", cluster.name),
            format!("take {twin} or {} out of the configuration, or mend its addresses", cluster.name),
        ));
    }
    found
}

fn unwell(peer: &Peer) -> Finding {
    let mend = match peer.note.as_str() {
        note if note.contains("login is refused") => {
            "mend the credentials in the configuration, or grant the privileges that docs/elasticsearch.md lists"
        }
        note if note.contains("another cluster") => "mend the address of this node, or its own cluster's settings",
        note if note.contains("master") => {
            "bring back the other nodes of its cluster: more than half of the master-eligible ones"
        }
        note if note.contains("refuses") => "start the server, or mend the address",
        note if note.contains("reached") => "mend the address, the name or the network",
        note if note.contains("429") => "give the cluster more room, or fewer requests",
        _ => "look at the server: it hangs or is busy, or something else answers there",
    };
    error(format!("{}: {}", peer.node, peer.note), mend)
}

/// The id of the node itself: two addresses with one id are one node.
async fn own_id(node: &Node) -> Option<String> {
    let answer = node.get(OWN_ID, MOST).await.ok()?;
    let body = answer.json().ok()?;
    body["nodes"].as_object()?.keys().next().cloned()
}

/// What would keep the route from being moved here as the cluster is now, and what our login may not read.
async fn of_cluster(cluster: &Cluster, answer: &Answer, findings: &mut Vec<Finding>) {
    if !answer.unfit.is_empty() {
        findings.push(advice(
            format!("cluster {}: the route would not be moved here now: {}", cluster.name, answer.unfit),
            "look at GET /_cluster/allocation/explain, or lower `require`",
        ));
    }
    match fitness::fitness(cluster).await {
        Err(why) => findings.push(error(
            format!("it can't be compared with another cluster: {}", why.detail),
            "name fewer `indices`, or mend what the message says",
        )),
        Ok(fitness) => findings.extend(fitness.missing_rights.iter().map(|right| {
            error(
                format!("cluster {}: not all can be compared: {right}", cluster.name),
                "grant our login the privileges that docs/elasticsearch.md lists",
            )
        })),
    }
}

/// The cluster's members: how many may become the master, and where clients that look for nodes by themselves would go.
async fn of_members(cluster: &Cluster, node: &Node, findings: &mut Vec<Finding>) {
    let answer = node.get(NODES, MOST).await.ok().and_then(|answer| answer.json().ok()).unwrap_or_default();
    let members: Vec<&Value> = answer["nodes"].as_object().into_iter().flat_map(Map::values).collect();
    let masters = members.iter().filter(|member| is_master_eligible(member)).count();
    if masters == 1 || masters == 2 {
        findings.push(advice(
            format!(
                "cluster {}: {masters} of its nodes can be the master: without that majority it takes no writes",
                cluster.name
            ),
            "three master-eligible nodes survive the loss of one",
        ));
    }
    let published: BTreeSet<&str> =
        members.iter().filter_map(|member| member["http"]["publish_address"].as_str()).map(without_name).collect();
    let configured: BTreeSet<&str> = cluster.nodes.iter().map(|node| node.address.as_str()).collect();
    let others: Vec<&str> = published.difference(&configured).copied().collect();
    if !others.is_empty() {
        findings.push(advice(
            format!(
                "cluster {}: announces nodes that aren't configured so: {}. Through Pointsman clients that sniff see its listener alone; \
                 without it they go there, and round it",
                cluster.name,
                some(&others)
            ),
            "name every node that serves clients in `nodes`, and keep applications from reaching the nodes directly",
        ));
    }
}

/// Versions before 7.9 of Elasticsearch and all of OpenSearch differ in the word.
fn is_master_eligible(member: &Value) -> bool {
    let mut roles = member["roles"].as_array().into_iter().flatten();
    roles.any(|role| role == "master" || role == "cluster_manager")
}

/// `host/ip:port` where the name was configured.
fn without_name(address: &str) -> &str {
    address.rsplit('/').next().unwrap_or(address)
}

/// Another cluster of the service with the same id.
async fn twin(clusters: &[Cluster], cluster: &Cluster, answer: &Answer) -> Option<String> {
    let before = clusters.iter().take_while(|other| other.name != cluster.name);
    for other in before {
        let seen: Observation = other.probe().await;
        if let Reach::Answered(theirs) = &seen.reach
            && !theirs.run_id.is_empty()
            && theirs.run_id == answer.run_id
        {
            return Some(other.name.to_string());
        }
    }
    None
}

fn error(message: impl Into<String>, mend: impl Into<String>) -> Finding {
    Finding { error: true, message: message.into(), mend: mend.into() }
}

fn advice(message: impl Into<String>, mend: impl Into<String>) -> Finding {
    Finding { error: false, message: message.into(), mend: mend.into() }
}
