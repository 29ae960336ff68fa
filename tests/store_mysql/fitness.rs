//! Rights, facts and advice on real servers.

use super::setup::{addresses, answered, node, service, service_as, store_of};
use crate::{
    common::{PATIENCE, mysql_server::MysqlServer},
    require_server,
};
use pointsman::{
    model::{guard::Guard, observation::Reach},
    store::{Finding, Store, mysql::MysqlStore},
};
use std::time::Instant;

/// A login that lacks rights is told which, and is enough once they are granted.
async fn rights(component: &str) {
    let server = MysqlServer::builder(component)
        .run("CREATE USER 'weak'@'%' IDENTIFIED BY 'secret'")
        .run("GRANT PROCESS ON *.* TO 'weak'@'%'")
        .start();
    let store = MysqlStore::new(service_as(&addresses(&[&server]), "", "weak"), "us").unwrap();
    let seen = store.probe(&node(&server)).await.reach;
    let inspection = store.inspect(&node(&server)).await;
    let statements: Vec<String> = inspection.findings.iter().map(|finding| finding.mend.clone()).collect();
    let grants: Vec<&String> = statements.iter().filter(|mend| mend.starts_with("GRANT ")).collect();
    assert_eq!(grants.len(), 3, "{seen:?} {inspection:?}");
    assert!(grants[0].ends_with("ON *.* TO 'weak'@'%'") && !grants[0].contains("PROCESS"), "{grants:?}");
    for grant in grants {
        server.query(grant);
    }
    let seen = store.probe(&node(&server)).await;
    assert!(seen.answer().is_some(), "{seen:?}");
    assert_eq!(store.fitness(&node(&server)).await.unwrap().missing_rights, [""; 0]);
    server.query("REVOKE RELOAD ON *.* FROM 'weak'@'%'");
    let missing = store.fitness(&node(&server)).await.unwrap().missing_rights;
    assert_eq!(missing, ["GRANT RELOAD ON *.* TO 'weak'@'%'"]);
}

#[tokio::test]
async fn rights_at_mysql_9() {
    require_server!("mysql9");
    rights("mysql9").await;
}

#[tokio::test]
async fn rights_at_mariadb() {
    require_server!("mariadb");
    rights("mariadb").await;
}

/// A candidate that is smaller, or has other users, is named.
async fn differences(component: &str) {
    let primary = MysqlServer::builder(component).run("CREATE USER 'old'@'%'").start();
    let candidate = MysqlServer::builder(component)
        .replica_of(&primary)
        .set("max-connections", "40")
        .run("CREATE USER 'new'@'%'")
        .run("GRANT SELECT ON shop.* TO 'repl'@'%'")
        .start();
    let store = store_of(&[&primary, &candidate]);
    let (ours, theirs) =
        (store.fitness(&node(&primary)).await.unwrap(), store.fitness(&node(&candidate)).await.unwrap());
    assert!(store.compare(&ours, &ours).is_empty());
    let refusals = store.compare(&ours, &theirs);
    assert!(refusals.iter().all(|refusal| refusal.name == Guard::Fit), "{refusals:?}");
    let has = |part: &str| refusals.iter().any(|refusal| refusal.detail.contains(part));
    assert!(has("max_connections") && has("user old@%: the candidate has none"), "{refusals:?}");
    assert!(has("user new@%: only the candidate has it") && has("user repl@%"), "{refusals:?}");
    assert_eq!(refusals.len(), 4, "{refusals:?}");
    let facts = format!("{ours:?}");
    assert!(!facts.contains("$A$") && !facts.contains('*'), "no stored password is shown: {facts}");
}

#[tokio::test]
async fn differences_of_mysql_9() {
    require_server!("mysql9");
    differences("mysql9").await;
}

#[tokio::test]
async fn differences_of_mariadb() {
    require_server!("mariadb");
    differences("mariadb").await;
}

/// What a standby and a primary are advised.
async fn advice(component: &str) {
    let primary = MysqlServer::builder(component).set("server-id", "7").start();
    let standby = MysqlServer::builder(component).replica_of(&primary).start();
    let third = MysqlServer::builder(component).set("server-id", "7").start();
    let store = store_of(&[&primary, &standby, &third]);
    let has = |findings: &[Finding], part: &str, error: bool| {
        assert!(findings.iter().any(|f| f.message.contains(part) && f.error == error), "{part}: {findings:?}");
    };
    let found = store.inspect(&node(&primary)).await;
    has(&found.findings, "server_id 7", true);
    has(&found.findings, "asynchronously", false);
    has(&found.findings, "sync_binlog is 0", false);
    assert!(found.version.is_some() && found.identity.is_some());
    let found = store.inspect(&node(&standby)).await;
    has(&found.findings, "take writes after a restart", false);
    standby.query("SET GLOBAL read_only=OFF");
    let found = store.inspect(&node(&standby)).await;
    has(&found.findings, "takes writes as a standby", true);
}

#[tokio::test]
async fn advice_for_mysql_9() {
    require_server!("mysql9");
    advice("mysql9").await;
}

#[tokio::test]
async fn advice_for_mariadb() {
    require_server!("mariadb");
    advice("mariadb").await;
}

/// Too many connections is an answer, and no death.
async fn crowded(component: &str) {
    let server = MysqlServer::builder(component).set("max-connections", "3").start();
    let mut crowd = Vec::new();
    // One connection more is kept for those with our rights.
    for user in ["shop", "pointsman"] {
        while let Ok(connection) = server.connect_as(user, None) {
            crowd.push(connection);
            assert!(crowd.len() < 20, "a limit of connections");
        }
    }
    let end = Instant::now() + PATIENCE;
    loop {
        // A place of one that was turned away is free a little later.
        crowd.extend(server.connect_as("pointsman", None).ok());
        // A store of its own has no connection yet.
        let seen = store_of(&[&server]).probe(&node(&server)).await.reach;
        if matches!(&seen, Reach::Rejected(why) if why.contains("(1040)")) {
            break;
        }
        assert!(Instant::now() < end, "{seen:?}");
    }
    let store = store_of(&[&server]);
    let found = store.inspect(&node(&server)).await;
    assert!(found.findings.iter().any(|finding| finding.mend.contains("max_connections")), "{found:?}");
    crowd.clear();
    super::setup::answer_until(&store, &node(&server), "room again", |_| true).await;
}

#[tokio::test]
async fn a_crowded_mysql_9() {
    require_server!("mysql9");
    crowded("mysql9").await;
}

#[tokio::test]
async fn a_crowded_mariadb() {
    require_server!("mariadb");
    crowded("mariadb").await;
}

/// Two managers of one service see each other, and one of them yields; a visitor is none.
async fn managers(component: &str) {
    let server = MysqlServer::start(component);
    let (one, other) = (service(&addresses(&[&server]), ""), service(&addresses(&[&server]), ""));
    let (ours, theirs) = (MysqlStore::new(one.clone(), "a").unwrap(), MysqlStore::new(other, "b").unwrap());
    let visitor = MysqlStore::visitor(one, "a").unwrap();
    for store in [&visitor, &ours, &theirs] {
        answered(store.probe(&node(&server)).await);
    }
    let seen =
        super::setup::answer_until(&ours, &node(&server), "a sees b", |seen| !seen.other_managers.is_empty()).await;
    assert_eq!(seen.other_managers, ["b"]);
    let seen =
        super::setup::answer_until(&theirs, &node(&server), "b sees a", |seen| !seen.other_managers.is_empty()).await;
    assert_eq!((seen.other_managers, seen.yields), (vec!["a".to_owned()], true));
    drop(theirs);
    super::setup::answer_until(&ours, &node(&server), "b is gone", |seen| seen.other_managers.is_empty()).await;
}

#[tokio::test]
async fn managers_at_mysql_9() {
    require_server!("mysql9");
    managers("mysql9").await;
}

#[tokio::test]
async fn managers_at_mariadb() {
    require_server!("mariadb");
    managers("mariadb").await;
}
