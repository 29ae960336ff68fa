//! TLS of MySQL and MariaDB: towards applications, which ask for it within the protocol, and towards nodes.

mod common;

use common::certificates::Certificates;
use common::mysql_orders::Orders;
use common::mysql_path::MysqlPath;
use common::mysql_server::{MysqlServer, PASSWORD, SHOP, rows};
use common::{PATIENCE, servers_folder, wait_for};
use mysql::prelude::Queryable;
use pointsman::config::{ListenerTls, NodeTls};
use std::process::Command;

/// What MySQL's own client says to a statement, or its error.
fn client(port: u16, options: &[&str], statement: &str) -> Result<String, String> {
    let output = Command::new(servers_folder().join("mysql9/mysql"))
        .args(["--no-defaults", "--protocol=TCP", "--host=127.0.0.1", "--skip-column-names", "--batch"])
        .args([format!("--port={port}"), format!("--user={SHOP}"), format!("--execute={statement}")])
        .args(options)
        .env("MYSQL_PWD", PASSWORD)
        .output()
        .expect("MySQL's client");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

#[test]
fn applications_may_speak_tls() {
    require_server!("mysql9");
    let folder = tempfile::tempdir().expect("a folder");
    let files = Certificates::write(folder.path());
    let server = MysqlServer::start("mysql9");
    let path = MysqlPath::with(&server, |settings| {
        settings.tls =
            Some(ListenerTls { certificate: files.server.clone(), key: files.server_key.clone(), client_ca: None });
    });
    let ca = format!("--ssl-ca={}", files.ca.display());
    let secure = client(path.port, &["--ssl-mode=VERIFY_CA", &ca], "SELECT 40 + 2");
    assert_eq!(secure.as_deref(), Ok("42"));
    // Who doesn't ask for it isn't forced to.
    assert_eq!(client(path.port, &["--ssl-mode=DISABLED"], "SELECT 1").as_deref(), Ok("1"));
    assert_eq!(rows(&mut path.connect(), "SELECT 2").expect("a row"), [["2"]]);
    let big =
        client(path.port, &["--ssl-mode=VERIFY_CA", &ca], "SELECT LENGTH(REPEAT('x', 3000000)), REPEAT('y', 300000)");
    assert_eq!(big.map(|text| text.len()), Ok("3000000\t".len() + 300_000));
}

#[test]
fn without_it_none_is_offered() {
    require_server!("mysql9");
    let server = MysqlServer::start("mysql9");
    let path = MysqlPath::to(&server);
    assert!(client(path.port, &["--ssl-mode=REQUIRED"], "SELECT 1").is_err());
    assert_eq!(client(path.port, &["--ssl-mode=PREFERRED"], "SELECT 1").as_deref(), Ok("1"));
}

#[test]
fn nodes_are_spoken_to_by_tls_where_that_is_configured() {
    require_server!("mysql9");
    require_server!("mariadb");
    let folder = tempfile::tempdir().expect("a folder");
    let files = Certificates::write(folder.path());
    for component in ["mysql9", "mariadb"] {
        let server = MysqlServer::builder(component).tls(&files).start();
        let secured = MysqlPath::with(&server, |settings| {
            settings.node_tls = Some(NodeTls { ca: files.ca.clone(), identity: None, server_name: None });
        });
        let cipher = |path: &MysqlPath| {
            rows(&mut path.connect(), "SHOW SESSION STATUS LIKE 'Ssl_cipher'").expect("a row")[0][1].clone()
        };
        assert_ne!(cipher(&secured), "", "{component}");
        assert_eq!(cipher(&MysqlPath::to(&server)), "", "{component}");
    }
}

/// Nodes that let nobody in without TLS: probes, the switch, sessions, and the replication of the demoted primary.
#[test]
fn a_whole_service_is_switched_by_tls_only() {
    require_server!("mysql9");
    require_server!("mariadb");
    for component in ["mysql9", "mariadb"] {
        let folder = tempfile::tempdir().expect("a folder");
        let files = Certificates::write(folder.path());
        let main = MysqlServer::builder(component).tls(&files).start();
        let spare = MysqlServer::builder(component).tls(&files).replica_of(&main).start();
        if main.pick(false, true) {
            for statement in ["STOP SLAVE", "CHANGE MASTER TO MASTER_SSL=1", "START SLAVE"] {
                spare.query(statement);
            }
        }
        for server in [&main, &spare] {
            server.query("SET GLOBAL require_secure_transport=ON");
        }
        main.query("CREATE TABLE shop.t (n INT PRIMARY KEY)");
        let orders = Orders::with(&main, &spare, &format!("node_tls = {{ ca = {:?} }}", files.ca), "");
        let mut app = orders.connect();
        for (n, to) in ["spare", "main"].iter().enumerate() {
            app.query_drop(format!("INSERT INTO t VALUES ({n})")).expect("a row");
            orders.pointsman.cli_expect(&["switchover", "orders", "--to", to], 0);
            orders.ready();
        }
        assert_eq!(rows(&mut app, "SELECT COUNT(*) FROM t").expect("a row"), [["2"]]);
        spare.wait_synced(&main);
        // Another authority's certificates are refused by name, and nothing is taken for a dead node.
        let strange = tempfile::tempdir().expect("a folder");
        let others = Certificates::write(strange.path());
        std::fs::copy(&others.ca, &files.ca).expect("another authority");
        let mut pointsman = orders.pointsman;
        pointsman.kill();
        pointsman.launch_only();
        wait_for("it says so", PATIENCE, || pointsman.log().contains("isn't signed by an authority in node_tls.ca"));
        let said = || pointsman.api("/v1/services/orders", None).1.to_string();
        wait_for("status says so", PATIENCE, || said().contains("isn't signed by an authority in node_tls.ca"));
        assert_eq!(main.value("SELECT @@read_only"), "0", "{component}: nobody was promoted or fenced");
    }
}
