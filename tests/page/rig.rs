//! A Pointsman with people and tokens before two Redis servers, and the Python script that looks at its page.

use super::common::{
    admin_rig::Token,
    certificates::Certificates,
    holds_within,
    instance::Pointsman,
    mysql_server::{MANAGER, MysqlServer, PASSWORD, REPL, SHOP},
    ports::free_port,
    process::Process,
    redis_server::RedisServer,
    search_server::SearchCluster,
    servers_folder, wait_for,
};
use serde_json::json;
use std::{
    path::{Path, PathBuf},
    time::Duration,
};

/// One name a role, each with a token.
const PEOPLE: [(&str, &str); 3] = [("vic", "viewer"), ("ann", "operator"), ("bob", "approver")];
/// Markup that must never become any, as the key of a service.
pub const MARKUP: &str = "on_call = \"cache team <img src=x onerror='window.hit=1'>, +86 10 0000 0000\"\n";
/// How long a whole scene may take to be ready.
const WHOLE: Duration = Duration::from_mins(2);

pub struct Rig {
    pointsman: Pointsman,
    servers: (RedisServer, RedisServer),
    listen: u16,
    tokens: Vec<(&'static str, Token)>,
    port: u16,
    /// Where the admin listener speaks TLS.
    certificate: Option<PathBuf>,
}

impl Rig {
    /// Its one service is `cart` with these further keys; ready for a switch.
    #[track_caller]
    pub fn start(keys: &str) -> Self {
        Self::beside("", keys)
    }

    /// The same beside these other services, which are ready too.
    #[track_caller]
    pub fn beside(others: &str, keys: &str) -> Self {
        Self::with(others, keys, None)
    }

    /// Its admin listener speaks TLS, under a certificate whose files lie in that folder.
    #[track_caller]
    pub fn over_tls(folder: &Path) -> Self {
        Self::with("", "", Some(&Certificates::write(folder)))
    }

    #[track_caller]
    fn with(others: &str, keys: &str, certificates: Option<&Certificates>) -> Self {
        let servers = RedisServer::pair("redis7");
        let (port, listen) = (free_port(), free_port());
        let tokens: Vec<_> = PEOPLE.iter().map(|(name, _)| (*name, Token::fresh())).collect();
        let people = PEOPLE.iter().zip(&tokens).map(|((name, role), (_, token))| {
            format!("[[admin.people]]\nname = \"{name}\"\nrole = \"{role}\"\ntoken_hash = \"{}\"\n", token.hash)
        });
        let cluster = |name: &str, site: &str, server: &RedisServer| {
            let node = server.address();
            format!("[[services.cart.clusters]]\nname = \"{name}\"\nsite = \"{site}\"\nnodes = [\"{node}\"]\n")
        };
        let service = format!(
            "[services.cart]\nkind = \"redis\"\nlisten = [\"127.0.0.1:{port}\"]\n{keys}{}{}{others}",
            cluster("main", "east", &servers.0),
            cluster("spare", "west", &servers.1)
        );
        let mut pointsman = Pointsman::prepare(&service).environment("ORDERS_PASSWORD", PASSWORD);
        let tls = certificates.map(|Certificates { server, server_key, .. }| {
            let (server, key) = (server.display(), server_key.display());
            format!("[admin.tls]\ncertificate = \"{server}\"\nkey = \"{key}\"\n")
        });
        let tls = tls.unwrap_or_default();
        let head = format!("listen = \"127.0.0.1:{listen}\"\n{tls}{}", people.collect::<String>());
        pointsman.write_admin(&head, &service);
        pointsman.launch();
        let certificate = certificates.map(|certificates| certificates.server.clone());
        let rig = Self { pointsman, servers, listen, tokens, port, certificate };
        wait_for("ready for a switch", WHOLE, || {
            let (_, all) = rig.pointsman.api("/v1/services", None);
            let services = all["services"].as_array().expect("a list");
            services.iter().all(|service| service["state"] == "steady" && service["switchover_ready"]["ready"] == true)
        });
        rig
    }

    /// Plays one scenario of `check.py` in a browser of its own; panics with what it said if it fails.
    #[track_caller]
    pub fn check(self, scenario: &str) {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let tools = servers_folder().join("browser");
        let tokens: serde_json::Map<_, _> =
            self.tokens.iter().map(|(name, token)| ((*name).to_owned(), json!(token.text))).collect();
        let about = json!({
            "tools": tools,
            "socket": self.pointsman.folder().join("admin.sock"),
            "listen": self.listen,
            "forward": free_port(),
            "port": self.port,
            "telemetry": self.pointsman.telemetry,
            "certificate": self.certificate,
            "pointsman": self.pointsman.id(),
            "primary": self.servers.0.id(),
            "standby": self.servers.1.id(),
            "tokens": tokens,
            "pictures": here.join("docs/screens"),
        });
        let script = here.join("tests/page/check.py").display().to_string();
        let arguments = ["-B".to_owned(), script, scenario.to_owned(), about.to_string()];
        let log = self.pointsman.folder().join(format!("{scenario}.log"));
        let mut process = Process::start(&tools.join("venv/bin/python"), &arguments, &[], &log);
        // The script has a limit for each of its waits; this one is for all of them.
        holds_within(Duration::from_mins(5), || process.ended().is_some());
        let status = process.wait();
        assert!(status.success(), "{scenario}: {}\nPointsman's log:\n{}", process.log(), self.pointsman.log());
    }
}

/// A service `stock` on two more servers of Redis, and the group `checkout` of it and `cart`.
pub fn stock(servers: &(RedisServer, RedisServer)) -> String {
    let cluster = |name: &str, site: &str, server: &RedisServer| {
        let node = server.address();
        format!("[[services.stock.clusters]]\nname = \"{name}\"\nsite = \"{site}\"\nnodes = [\"{node}\"]\n")
    };
    format!(
        "[services.stock]\nkind = \"redis\"\nlisten = [\"127.0.0.1:{}\"]\n{}{}[groups.checkout]\nmembers = [\"stock\", \"cart\"]\n",
        free_port(),
        cluster("main", "east", &servers.0),
        cluster("spare", "west", &servers.1)
    )
}

/// A service `orders` on two servers of MySQL.
pub fn orders(servers: &(MysqlServer, MysqlServer)) -> String {
    let login = |table: &str, key: &str, name: &str| {
        format!("[services.orders.{table}]\n{key} = \"{name}\"\npassword_env = \"ORDERS_PASSWORD\"\n")
    };
    let cluster = |name: &str, site: &str, server: &MysqlServer| {
        let node = server.address();
        format!("[[services.orders.clusters]]\nname = \"{name}\"\nsite = \"{site}\"\nnodes = [\"{node}\"]\n")
    };
    format!(
        "[services.orders]\nkind = \"mysql\"\nlisten = [\"127.0.0.1:{}\"]\non_call = \"shop team, +86 10 0000 0001\"\n{}{}\
         [[services.orders.users]]\nname = \"{SHOP}\"\npassword_env = \"ORDERS_PASSWORD\"\n{}{}",
        free_port(),
        login("credentials", "username", MANAGER),
        login("replication_user", "name", REPL),
        cluster("main", "east", &servers.0),
        cluster("spare", "west", &servers.1)
    )
}

/// A service `search` on two clusters of OpenSearch.
pub fn search(clusters: &(SearchCluster, SearchCluster)) -> String {
    let cluster = |name: &str, site: &str, nodes: &SearchCluster| {
        let nodes = nodes.toml();
        format!("[[services.search.clusters]]\nname = \"{name}\"\nsite = \"{site}\"\nnodes = {nodes}\n")
    };
    format!(
        "[services.search]\nkind = \"elasticsearch\"\nlisten = [\"127.0.0.1:{}\"]\nreplication = \"none\"\n\
         on_call = \"search team, +86 10 0000 0002\"\n{}{}",
        free_port(),
        cluster("main", "east", &clusters.0),
        cluster("spare", "west", &clusters.1)
    )
}
