//! OpenSearch or Elasticsearch: two clusters that know nothing of each other, and clients that index, search and scroll.

mod crash;
mod http;
mod ledger;
mod load;

use super::{Options, crash::Crash, process::free_port, scene::Scene, store::Show, tally::Tally};
use http::Client;
use load::Load;
use serde_json::json;
use std::{fmt::Write as _, rc::Rc, time::Duration};

/// How many documents both clusters hold from the beginning.
const CATALOG: usize = 1000;
/// How many of them are written once more, each with a search, before the show begins.
const WARM: usize = 200;
/// Of how many groups they are.
const GROUPS: usize = 10;

/// The show of search clusters.
pub(super) struct Elastic(Load);

impl Show for Elastic {
    const STORE: &'static str = "elasticsearch";
    const SERVERS: &'static str = "two search clusters";

    async fn set_up(scene: &mut Scene, options: &Options) -> Result<String, String> {
        for name in ["main", "spare"] {
            scene.folder_for(name)?;
            launch(scene, options, name)?;
        }
        for name in ["main", "spare"] {
            wait_for_node(scene, name).await?;
            fill(port(scene, name)).await.map_err(|error| format!("filling {name}: {error}"))?;
        }
        Ok("[services.demo.health]\ninterval = \"100ms\"\nfall = 2\n".into())
    }

    async fn start(scene: &Scene, tally: &Rc<Tally>) -> Result<Self, String> {
        Load::start(scene, tally).await.map(Self)
    }

    fn clients(&self) -> String {
        format!("{} clients index, send bulks, search, and scroll through what both clusters hold", self.0.clients())
    }

    async fn lost(&self, switches: u64) -> Result<u64, String> {
        self.0.lost(switches).await
    }

    async fn stop(&mut self, _patience: Duration) {
        self.0.stop().await;
    }

    async fn crash(scene: &mut Scene, options: &Options, tally: &Rc<Tally>) -> Result<Crash, String> {
        crash::crash(scene, options, tally).await
    }

    fn summary(&self) -> String {
        self.0.summary()
    }

    fn by_hand(port: u16) -> String {
        format!("curl 127.0.0.1:{port}/_cat/indices")
    }
}

fn port(scene: &Scene, name: &str) -> u16 {
    scene.servers[usize::from(name == "spare")]
}

/// Starts the only node of a cluster, whose data are where they were if it ran before.
fn launch(scene: &mut Scene, options: &Options, name: &'static str) -> Result<(), String> {
    let (home, transport) = (scene.path(name).display().to_string(), free_port()?.to_string());
    let cluster = format!("demo-{name}");
    let arguments = [home, cluster, port(scene, name).to_string(), transport.clone(), transport];
    scene.spawn(name, &options.search_node, &arguments)
}

/// Starts it and waits until its documents are there.
async fn start_node(scene: &mut Scene, options: &Options, name: &'static str) -> Result<(), String> {
    launch(scene, options, name)?;
    wait_for_node(scene, name).await
}

async fn wait_for_node(scene: &mut Scene, name: &'static str) -> Result<(), String> {
    scene.wait(&format!("the cluster {name} is there"), async |scene: &Scene| is_there(port(scene, name)).await).await
}

async fn is_there(port: u16) -> bool {
    let Ok(mut client) = Client::connect(port).await else { return false };
    let health = client.call("GET", "/_cluster/health?timeout=0s", "").await;
    health.is_ok_and(|answer| {
        answer.status == 200 && (answer.body["status"] == "green" || answer.body["status"] == "yellow")
    })
}

/// Makes the indices, the same on both clusters, and the documents that are only read.
async fn fill(port: u16) -> Result<(), String> {
    let mut client = Client::connect(port).await?;
    let settings = json!({ "number_of_shards": 1, "number_of_replicas": 0 });
    for (index, field, kind) in [("catalog", "group", "integer"), ("orders", "state", "keyword")] {
        let body = json!({ "settings": settings, "mappings": { "properties": { field: { "type": kind } } } });
        client.call("PUT", &format!("/{index}"), body.to_string()).await?.good()?;
    }
    let mut body = String::new();
    for number in 0..CATALOG {
        // Writing to a string doesn't fail.
        let _ = writeln!(body, "{{\"index\":{{\"_id\":\"{number}\"}}}}\n{{\"group\":{}}}", number % GROUPS);
    }
    client.call("POST", "/catalog/_bulk?refresh=true", body).await?.good()?;
    warm(&mut client).await
}

/// A server that has just started takes its time over the first requests of a kind, which isn't what is to be shown.
async fn warm(client: &mut Client) -> Result<(), String> {
    for number in 0..WARM {
        let document = format!("{{\"group\":{}}}", number % GROUPS);
        client.call("PUT", &format!("/catalog/_doc/{number}"), document).await?.good()?;
        client.call("POST", "/catalog/_search", "{\"query\":{\"term\":{\"group\":1}}}").await?.good()?;
    }
    Ok(())
}
