//! Opens connections to nodes.
//!
//! Input: a node. Output: a connection, or a node that is left out for a moment and a signal to control. Never: retries.

use super::{
    cluster::{Cluster, Node},
    lane::Lane,
};
use crate::{model::signal::Signal, net::ConnectError, proxy::line::Line};
use std::{
    rc::Rc,
    time::{Duration, Instant},
};

/// How long a connection may take, with its TLS handshake.
const LIMIT: Duration = Duration::from_secs(2);

/// Connects to a node of the cluster.
pub async fn open(lane: &Lane, cluster: &Cluster, node: &Node) -> Option<Line> {
    // Who waited for its turn needn't try what was just refused to others.
    let ejected_before = node.is_ejected();
    let _turn = lane.opening.acquire().await;
    if node.is_ejected() && !ejected_before {
        return None;
    }
    match node.endpoint().connect(LIMIT).await {
        Ok(stream) => {
            lane.is_well();
            Some(Line::new(stream))
        }
        Err(error) => {
            tracing::debug!(node = %node.address, %error, "no connection");
            node.eject();
            match error {
                ConnectError::Refused => lane.report(Signal::Refused, cluster),
                ConnectError::TimedOut | ConnectError::Silent => lane.report(Signal::TimedOut, cluster),
                _ => {}
            }
            None
        }
    }
}

/// Opens connections to the node until so many are kept; one after the other, as long as none fails.
pub fn warm_up(lane: &Rc<Lane>, cluster: &Rc<Cluster>, place: usize, wanted: usize) {
    let (lane, cluster) = (Rc::clone(lane), Rc::clone(cluster));
    tokio::task::spawn_local(async move {
        let node = &cluster.nodes[place];
        while node.kept() < wanted {
            let Some(opened) = open(&lane, &cluster, node).await else { break };
            node.keep(opened, Instant::now());
        }
        node.warming.set(false);
        lane.attend.notify_one();
    });
}
