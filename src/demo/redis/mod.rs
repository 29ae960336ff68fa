//! Redis: two servers, and clients that speak RESP.

mod load;
mod resp;

use super::{
    Options,
    crash::{Crash, crash},
    scene::Scene,
    store::{Show, Writer, Written},
    tally::Tally,
};
use load::Load;
use redis_protocol::resp2::types::OwnedFrame;
use resp::Client;
use std::{io, rc::Rc, time::Duration};

/// What an error says of a write whose fate is open.
const UNKNOWN: &str = "the outcome is unknown";

/// The show of Redis.
pub(super) struct Redis(Load);

impl Show for Redis {
    const STORE: &'static str = "redis";
    const SERVERS: &'static str = "two Redis servers";

    async fn set_up(scene: &mut Scene, options: &Options) -> Result<String, String> {
        let [main, spare] = scene.servers;
        server(scene, options, "main", main, None)?;
        server(scene, options, "spare", spare, Some(main))?;
        scene.wait("the standby follows its primary", async |scene: &Scene| follows(scene.servers[1]).await).await?;
        Ok(String::new())
    }

    async fn start(scene: &Scene, tally: &Rc<Tally>) -> Result<Self, String> {
        Load::start(scene.port, tally).await.map(Self).map_err(|error| error.to_string())
    }

    fn clients(&self) -> String {
        let clients = self.0.clients();
        format!("{clients} clients write, count in transactions, publish, subscribe, block on a queue")
    }

    async fn lost(&self, _switches: u64) -> Result<u64, String> {
        self.0.lost().await.map_err(|error| error.to_string())
    }

    async fn stop(&mut self, patience: Duration) {
        self.0.stop(patience).await;
    }

    async fn crash(scene: &mut Scene, _options: &Options, tally: &Rc<Tally>) -> Result<Crash, String> {
        crash::<Client>(scene, tally).await
    }

    fn summary(&self) -> String {
        self.0.summary()
    }

    fn by_hand(port: u16) -> String {
        format!("redis-cli -p {port}")
    }
}

fn server(
    scene: &mut Scene,
    options: &Options,
    name: &'static str,
    port: u16,
    primary: Option<u16>,
) -> Result<(), String> {
    let data = scene.folder_for(name)?;
    let port = port.to_string();
    let mut arguments: Vec<String> = ["--bind", "127.0.0.1", "--port", &port, "--dir", &data]
        .into_iter()
        .chain(["--save", "", "--appendonly", "no"])
        .chain(["--repl-diskless-sync-delay", "0", "--repl-ping-replica-period", "1"])
        .map(str::to_owned)
        .collect();
    if let Some(primary) = primary {
        arguments.extend(["--replicaof".to_owned(), format!("127.0.0.1 {primary}")]);
    }
    scene.spawn(name, &options.redis_server, &arguments)
}

/// Whether the server is a standby whose link is up.
async fn follows(port: u16) -> bool {
    let Ok(mut client) = Client::connect(port).await else { return false };
    match client.call(&["INFO", "replication"]).await {
        Ok((OwnedFrame::BulkString(text), _)) => {
            text.windows(b"master_link_status:up".len()).any(|part| part == b"master_link_status:up")
        }
        _ => false,
    }
}

impl Writer for Client {
    async fn connect(port: u16) -> Result<Self, String> {
        Self::connect(port).await.map_err(|error| error.to_string())
    }

    async fn write(&mut self, id: &str) -> Result<Written, String> {
        match self.call(&["SET", &key(id), "1"]).await {
            Ok(_) => Ok(Written::Acknowledged),
            Err(error) if error.to_string().contains(UNKNOWN) => Ok(Written::Unknown),
            Err(error) => Err(error.to_string()),
        }
    }

    async fn missing(&mut self, ids: &[String]) -> Result<u64, String> {
        let keys: Vec<String> = ids.iter().map(|id| key(id)).collect();
        let words: Vec<&str> = ["MGET"].into_iter().chain(keys.iter().map(String::as_str)).collect();
        let reply = self.call(&words).await.map_err(|error| error.to_string())?;
        let (OwnedFrame::Array(values), _) = reply else {
            return Err(io::Error::from(io::ErrorKind::InvalidData).to_string());
        };
        Ok(values.iter().filter(|value| matches!(value, OwnedFrame::Null)).count() as u64)
    }
}

fn key(id: &str) -> String {
    format!("demo:crash:{id}")
}
