//! A store that speaks TLS with its nodes, and what it says where that fails.

use super::setup::{addresses, answer_until, answered, node, service};
use crate::{
    common::{certificates::Certificates, mysql_server::MysqlServer, wait_for},
    require_server,
};
use pointsman::{
    model::{
        action::{Action, Done},
        observation::Reach,
    },
    store::{Store, mysql::MysqlStore},
};
use std::path::Path;

fn store(servers: &[&MysqlServer], ca: &Path, more: &str) -> MysqlStore {
    let tls = format!("node_tls = {{ ca = \"{}\"{more} }}", ca.display());
    MysqlStore::new(service(&addresses(servers), &tls), "us").expect("its files can be read")
}

/// Nodes that let nobody in without TLS, their standbys included.
fn pair(component: &str, files: &Certificates) -> (MysqlServer, MysqlServer) {
    let primary = MysqlServer::builder(component).tls(files).start();
    let standby = MysqlServer::builder(component).tls(files).replica_of(&primary).start();
    if primary.pick(false, true) {
        for statement in ["STOP SLAVE", "CHANGE MASTER TO MASTER_SSL=1", "START SLAVE"] {
            standby.query(statement);
        }
    }
    for server in [&primary, &standby] {
        server.query("SET GLOBAL require_secure_transport=ON");
    }
    (primary, standby)
}

async fn steps(component: &str) {
    let folder = tempfile::tempdir().expect("a folder");
    let files = Certificates::write(folder.path());
    let (from, to) = pair(component, &files);
    let store = store(&[&from, &to], &files.ca, "");
    let (old, new) = (node(&from), node(&to));
    let primary = answered(store.probe(&old).await);
    assert!(primary.writable, "{primary:?}");
    assert_eq!(store.fitness(&new).await.expect("a look at it").missing_rights, [""; 0]);
    answer_until(&store, &new, "it replicates", |answer| !answer.writable).await;
    let fenced = store.act(&Action::Fence { node: old.clone() }).await.expect("fenced");
    let Done::Fenced { position, lineage, saved } = fenced else { panic!("{fenced:?}") };
    for action in [
        Action::CatchUp { node: new.clone(), position, lineage },
        Action::Confirm { node: old.clone(), position },
        Action::Promote { node: new.clone() },
        Action::Demote { node: old.clone(), to: new.clone() },
        Action::Unfence { node: old.clone(), saved },
    ] {
        store.act(&action).await.unwrap_or_else(|error| panic!("{component}: {action:?}: {error}"));
    }
    to.query("CREATE TABLE shop.t (n INT)");
    from.wait_synced(&to);
    assert_eq!(from.replica_status(from.pick("Source_SSL_Allowed", "Master_SSL_Allowed")), "Yes");
}

#[tokio::test]
async fn mysql_9_is_probed_and_switched_by_tls_only() {
    require_server!("mysql9");
    steps("mysql9").await;
}

#[tokio::test]
async fn mariadb_is_probed_and_switched_by_tls_only() {
    require_server!("mariadb");
    steps("mariadb").await;
}

const UNTRUSTED: &str = "the node's certificate isn't signed by an authority in node_tls.ca";

/// What a probe is told, which is no sign of a node that is down.
#[track_caller]
fn rejected(reach: Reach) -> String {
    match reach {
        Reach::Rejected(why) => why,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_node_whose_certificate_is_not_trusted_is_said_to_be_that() {
    require_server!("mysql9");
    require_server!("mariadb");
    let (ours, theirs) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let (files, others) = (Certificates::write(ours.path()), Certificates::write(theirs.path()));
    for component in ["mysql9", "mariadb"] {
        let server = MysqlServer::builder(component).tls(&files).start();
        let at = node(&server);
        let stranger = store(&[&server], &others.ca, "");
        let why = rejected(stranger.probe(&at).await.reach);
        assert_eq!(why, format!("TLS: {UNTRUSTED}"), "{component}");
        let error = stranger.act(&Action::Fence { node: at.clone() }).await.expect_err("no fence");
        assert!(error.to_string().contains(UNTRUSTED), "{component}: {error}");
        let named = store(&[&server], &files.ca, ", server_name = \"db.example\"");
        let why = rejected(named.probe(&at).await.reach);
        assert!(why.contains("not valid for name"), "{component}: {why}");
        let trusted = store(&[&server], &files.ca, ", server_name = \"localhost\"");
        assert!(answered(trusted.probe(&at).await).writable, "{component}");
    }
}

#[tokio::test]
async fn a_node_without_tls_is_said_to_be_that_and_gets_no_login() {
    require_server!("mariadb");
    let folder = tempfile::tempdir().expect("a folder");
    let files = Certificates::write(folder.path());
    let server = MysqlServer::start("mariadb");
    let why = rejected(store(&[&server], &files.ca, "").probe(&node(&server)).await.reach);
    assert!(why.contains("TLS"), "{why}");
    let logins = "SELECT COUNT(*) FROM information_schema.processlist WHERE user = 'pointsman'";
    wait_for("nobody has logged in", crate::common::PATIENCE, || server.value(logins) == "0");
}

#[tokio::test]
async fn a_client_certificate_is_shown_to_who_asks_for_it() {
    require_server!("mysql9");
    require_server!("mariadb");
    let folder = tempfile::tempdir().expect("a folder");
    let files = Certificates::write(folder.path());
    for component in ["mysql9", "mariadb"] {
        let server = MysqlServer::builder(component).tls(&files).run("ALTER USER 'pointsman'@'%' REQUIRE X509").start();
        let at = node(&server);
        let why = rejected(store(&[&server], &files.ca, "").probe(&at).await.reach);
        assert!(why.contains("1045"), "{component}: {why}");
        let identity = format!(", certificate = {:?}, key = {:?}", files.client, files.client_key);
        assert!(answered(store(&[&server], &files.ca, &identity).probe(&at).await).writable, "{component}");
    }
}
