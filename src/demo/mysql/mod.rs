//! MySQL or MariaDB: two servers that replicate by global transaction ids, and clients that prepare statements, count in
//! transactions and rely on what they have set in their sessions.

mod load;
mod servers;

use super::{
    Options,
    crash::{Crash, crash},
    scene::Scene,
    store::{Show, Writer, Written},
    tally::Tally,
};
use load::Load;
use mysql_async::{Conn, OptsBuilder, Value, params, prelude::Queryable};
use std::{rc::Rc, time::Duration};

/// The application's login.
const USER: &str = "demo";
/// The password of every login here.
const PASSWORD: &str = "demo-secret";
/// The database.
const DATABASE: &str = "demo";
/// What an error says of a write whose fate is open.
const UNKNOWN: &str = "the outcome is unknown";

/// The show of MySQL.
pub(super) struct Mysql(Load);

impl Show for Mysql {
    const STORE: &'static str = "mysql";
    const SERVERS: &'static str = "two MySQL servers";

    async fn set_up(scene: &mut Scene, options: &Options) -> Result<String, String> {
        servers::start(scene, &options.mysql_server).await
    }

    async fn start(scene: &Scene, tally: &Rc<Tally>) -> Result<Self, String> {
        Load::start(scene.port, tally).await.map(Self).map_err(|error| error.to_string())
    }

    fn clients(&self) -> String {
        let clients = self.0.clients();
        format!(
            "{clients} clients insert by prepared statements, count in transactions, and look after what they set in their sessions"
        )
    }

    async fn lost(&self, _switches: u64) -> Result<u64, String> {
        self.0.lost().await.map_err(|error| error.to_string())
    }

    async fn stop(&mut self, _patience: Duration) {
        self.0.stop().await;
    }

    async fn crash(scene: &mut Scene, _options: &Options, tally: &Rc<Tally>) -> Result<Crash, String> {
        crash::<Inserter>(scene, tally).await
    }

    fn summary(&self) -> String {
        self.0.summary()
    }

    fn by_hand(port: u16) -> String {
        format!("mysql -h 127.0.0.1 -P {port} -u {USER} -p{PASSWORD} {DATABASE}")
    }
}

/// A connection of the application. Without its `prefer_socket` the driver keeps to the address that it is given.
async fn connect(port: u16) -> mysql_async::Result<Conn> {
    let options = OptsBuilder::default()
        .ip_or_hostname("127.0.0.1")
        .tcp_port(port)
        .user(Some(USER))
        .pass(Some(PASSWORD))
        .db_name(Some(DATABASE))
        .prefer_socket(false);
    Conn::new(options).await
}

/// The writer of the crash: a connection whose insert is prepared.
pub(super) struct Inserter {
    port: u16,
    connection: Conn,
}

impl Writer for Inserter {
    async fn connect(port: u16) -> Result<Self, String> {
        let connection = connect(port).await.map_err(|error| error.to_string())?;
        Ok(Self { port, connection })
    }

    async fn write(&mut self, id: &str) -> Result<Written, String> {
        let result = self.connection.exec_drop("INSERT INTO crash (id) VALUES (:id)", params! { "id" => id }).await;
        match result {
            Ok(()) => Ok(Written::Acknowledged),
            Err(error) if error.to_string().contains(UNKNOWN) => {
                // A session whose write has an unknown fate is cut, so that nobody goes on in it by mistake.
                self.connection = connect(self.port).await.map_err(|error| error.to_string())?;
                Ok(Written::Unknown)
            }
            Err(error) => Err(error.to_string()),
        }
    }

    async fn missing(&mut self, ids: &[String]) -> Result<u64, String> {
        let marks = vec!["?"; ids.len()].join(",");
        let values: Vec<Value> = ids.iter().map(Value::from).collect();
        let statement = format!("SELECT COUNT(*) FROM crash WHERE id IN ({marks})");
        let found: Option<u64> =
            self.connection.exec_first(statement, values).await.map_err(|error| error.to_string())?;
        Ok((ids.len() as u64).saturating_sub(found.unwrap_or(0)))
    }
}
