//! Elasticsearch and OpenSearch: probes of whole clusters, and what tells two clusters apart, by a small HTTP client.
//!
//! Inputs: the service's settings. Outputs: observations, facts. A cluster is known by the address of any of its nodes; the first stands for
//! it. It only reads: clusters are independent, so there is no role to move, nothing to fence and nothing to undo. No data path, no decisions.

mod client;
mod cluster;
mod compare;
mod fitness;
mod gather;
mod inspect;
mod node;
mod patterns;
mod probe;
mod warm;

use super::{BoxFuture, Inspection, Store};
use crate::{
    config::Service,
    model::{
        action::{Action, Done},
        error::{Side, StoreError},
        guard::Refusal,
        name::NodeAddress,
        observation::{Fitness, Observation, Reach},
        view::Rebuild,
    },
    net::{ClientTls, TlsFileError},
};
use cluster::Cluster;
use std::{sync::Arc, time::Duration};

/// The clusters of one service. A reload builds another one.
#[derive(Debug)]
pub struct ElasticStore {
    service: Arc<Service>,
    clusters: Vec<Cluster>,
}

impl ElasticStore {
    /// A store for `service`. Reads the files of `node_tls`.
    pub fn new(service: Arc<Service>) -> Result<Self, TlsFileError> {
        let tls = service.node_tls.as_ref().map(ClientTls::load).transpose()?;
        let clusters = service.clusters.iter().map(|cluster| Cluster::new(cluster, &service, tls.as_ref())).collect();
        Ok(Self { service, clusters })
    }

    /// The cluster that has a node of that address.
    fn cluster(&self, node: &NodeAddress) -> Result<&Cluster, StoreError> {
        let mut clusters = self.clusters.iter();
        let cluster = clusters.find(|cluster| cluster.nodes.iter().any(|known| known.address == *node));
        cluster.ok_or_else(|| refused(format!("{node} is in no cluster of {}", self.service.name)))
    }
}

fn refused(detail: String) -> StoreError {
    StoreError { side: Side::Internal, retryable: false, maybe_done: false, detail }
}

impl Store for ElasticStore {
    fn probe<'a>(&'a self, node: &'a NodeAddress) -> BoxFuture<'a, Observation> {
        Box::pin(async move {
            match self.cluster(node) {
                Ok(cluster) => cluster.probe().await,
                Err(why) => Observation::new(Reach::Unreachable(why.detail), Duration::ZERO),
            }
        })
    }

    fn knock<'a>(&'a self, node: &'a NodeAddress) -> BoxFuture<'a, bool> {
        Box::pin(async move {
            match self.cluster(node) {
                Ok(cluster) => cluster.knock().await,
                Err(_) => false,
            }
        })
    }

    fn fitness<'a>(&'a self, node: &'a NodeAddress) -> BoxFuture<'a, Result<Fitness, StoreError>> {
        Box::pin(async move {
            let cluster = self.cluster(node)?;
            let fitness = fitness::fitness(cluster).await?;
            warm::keep_warm(cluster, &fitness.counts).await;
            Ok(fitness)
        })
    }

    fn compare(&self, primary: &Fitness, candidate: &Fitness) -> Vec<Refusal> {
        compare::compare(primary, candidate)
    }

    fn act<'a>(&'a self, action: &'a Action) -> BoxFuture<'a, Result<Done, StoreError>> {
        let error = refused(format!("{action:?}: independent clusters have no roles to move"));
        Box::pin(std::future::ready(Err(error)))
    }

    fn rebuild<'a>(
        &'a self,
        node: &'a NodeAddress,
        primary: &'a NodeAddress,
    ) -> BoxFuture<'a, Result<Rebuild, StoreError>> {
        let words =
            format!("{node} and {primary} are of independent clusters: Pointsman neither fills nor empties them");
        let error = StoreError { side: Side::Client, ..refused(words) };
        Box::pin(std::future::ready(Err(error)))
    }

    fn inspect<'a>(&'a self, node: &'a NodeAddress) -> BoxFuture<'a, Inspection> {
        Box::pin(inspect::inspect(&self.clusters, node))
    }
}
