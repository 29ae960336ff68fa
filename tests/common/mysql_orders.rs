//! A whole Pointsman before two servers of MySQL or MariaDB: the service `orders`.

use super::instance::Pointsman;
use super::mysql_server::{MANAGER, MysqlServer, PASSWORD, REPL, SHOP};
use super::ports::free_port;
use super::{PATIENCE, holds_within};

/// The service, running.
pub struct Orders {
    /// The Pointsman.
    pub pointsman: Pointsman,
    /// Where the service listens.
    pub port: u16,
}

impl Orders {
    /// Over the clusters `main` and `spare`, which have one node each; steady and ready when this returns.
    #[track_caller]
    pub fn start(main: &MysqlServer, spare: &MysqlServer) -> Self {
        Self::with(main, spare, "", "")
    }

    /// As [`Orders::start`], with further keys of the service, and further tables of it.
    #[track_caller]
    pub fn with(main: &MysqlServer, spare: &MysqlServer, keys: &str, tables: &str) -> Self {
        let port = free_port();
        let mut pointsman =
            Pointsman::prepare(&services(main, spare, port, keys, tables)).environment("ORDERS_PASSWORD", PASSWORD);
        pointsman.launch();
        let orders = Self { pointsman, port };
        orders.ready();
        orders
    }

    /// Waits until it is steady and a planned switch could begin.
    #[track_caller]
    pub fn ready(&self) {
        let mut service = serde_json::Value::Null;
        let ready = holds_within(PATIENCE, || {
            service = self.service();
            service["state"] == "steady" && service["switchover_ready"]["ready"] == true
        });
        assert!(ready, "{service}\n{}", self.pointsman.log());
    }

    /// The service as the API shows it.
    pub fn service(&self) -> serde_json::Value {
        self.pointsman.api("/v1/services/orders", None).1
    }

    /// How the application connects.
    pub fn options(&self) -> mysql::OptsBuilder {
        let options = mysql::OptsBuilder::new().ip_or_hostname(Some("127.0.0.1")).tcp_port(self.port);
        let options = options.prefer_socket(false).read_timeout(Some(PATIENCE));
        options.user(Some(SHOP)).pass(Some(PASSWORD)).db_name(Some("shop"))
    }

    /// A connection of the application.
    #[track_caller]
    pub fn connect(&self) -> mysql::Conn {
        mysql::Conn::new(self.options()).expect("a login")
    }
}

/// The tables of the service `orders`; the environment must have `ORDERS_PASSWORD`.
pub fn services(main: &MysqlServer, spare: &MysqlServer, port: u16, keys: &str, tables: &str) -> String {
    let login = |table: &str, key: &str, name: &str| {
        format!("[services.orders.{table}]\n{key} = \"{name}\"\npassword_env = \"ORDERS_PASSWORD\"\n")
    };
    let cluster = |name: &str, server: &MysqlServer| {
        format!("[[services.orders.clusters]]\nname = \"{name}\"\nnodes = [\"{}\"]\n", server.address())
    };
    format!(
        "[services.orders]\nkind = \"mysql\"\nlisten = [\"127.0.0.1:{port}\"]\n{keys}\n{}{}\
         [[services.orders.users]]\nname = \"{SHOP}\"\npassword_env = \"ORDERS_PASSWORD\"\n{}{}{tables}\n",
        login("credentials", "username", MANAGER),
        login("replication_user", "name", REPL),
        cluster("main", main),
        cluster("spare", spare),
    )
}
