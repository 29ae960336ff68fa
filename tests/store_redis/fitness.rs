//! What replication doesn't carry, which rights are missing, and what `check --connect` says of it.

use super::setup::{addresses, node, service, store_as, store_of};
use crate::{
    common::{PATIENCE, redis_server::RedisServer, wait_for},
    require_server,
};
use pointsman::{
    model::guard::Guard,
    store::{Finding, Store, redis::RedisStore},
};

#[tokio::test]
async fn each_difference_is_named_with_both_values_and_no_password_is() {
    require_server!("redis7");
    let primary = RedisServer::builder("redis7")
        .set("maxmemory", "100mb")
        .user("app on >topsecret ~* +@all")
        .user("batch on nopass ~* +@read")
        .start();
    let candidate = RedisServer::builder("redis7")
        .set("maxmemory", "50mb")
        .set("maxmemory-policy", "allkeys-lru")
        .set("notify-keyspace-events", "KEA")
        .user("app on >othersecret ~* +@all")
        .start();
    let store = store_of(&[&primary, &candidate]);
    let (ours, theirs) =
        (store.fitness(&node(&primary)).await.unwrap(), store.fitness(&node(&candidate)).await.unwrap());
    let refusals = store.compare(&ours, &theirs);
    assert!(refusals.iter().all(|refusal| refusal.name == Guard::Fit), "{refusals:?}");
    let text = format!("{refusals:?}");
    for name in ["maxmemory:", "maxmemory-policy", "notify-keyspace-events", "acl user app", "acl user batch"] {
        assert!(text.contains(name), "{name} in {text}");
    }
    assert_eq!(refusals.len(), 5, "{text}");
    assert!(text.contains("104857600") && text.contains("52428800"));
    assert!(!format!("{ours:?}{theirs:?}{text}").contains("secret"));
    assert!(store.compare(&ours, &ours).is_empty());
}

/// Older servers list a user's commands in an order that differs from process to process: the same rights fit all the same.
async fn the_same_rights_fit(component: &str, rules: &str) {
    let servers = [(); 3].map(|()| RedisServer::builder(component).user(rules).start());
    let store = store_of(&servers.iter().collect::<Vec<_>>());
    let first = store.fitness(&node(&servers[0])).await.unwrap();
    for server in &servers[1..] {
        let other = store.fitness(&node(server)).await.unwrap();
        assert_eq!(store.compare(&first, &other), [], "{component}");
    }
}

#[tokio::test]
async fn the_same_rights_fit_in_any_order() {
    require_server!("redis7");
    let rules = "app on >word resetkeys -@all +info +role +config|get +config|set +config|rewrite +client|list +client|kill \
                 +get +set +del +acl|list +acl|dryrun +replicaof";
    the_same_rights_fit("redis7", rules).await;
    require_server!("redis6");
    the_same_rights_fit(
        "redis6",
        "app on >word ~* -@all +info +role +config +client +get +set +del +@list -lpush -rpush",
    )
    .await;
}

async fn missing_rights(component: &str) {
    let server = RedisServer::builder(component).user("weak on >word ~* +@all -replicaof -client").start();
    let store = store_as(&[&server], "weak", "word");
    let fitness = store.fitness(&node(&server)).await.unwrap();
    assert!(fitness.missing_rights.contains(&"ACL SETUSER weak +replicaof".to_owned()), "{fitness:?}");
    assert!(fitness.missing_rights.contains(&"ACL SETUSER weak +client|pause".to_owned()), "{fitness:?}");
    assert!(!format!("{:?}", fitness.missing_rights).contains("config"));
    let refusals = store.compare(&fitness, &fitness);
    assert!(refusals.iter().any(|refusal| refusal.name == Guard::Rights && refusal.detail.contains("replicaof")));

    // The statements are what the server itself takes, and mend it.
    for statement in &fitness.missing_rights {
        let words: Vec<&str> = statement.split_whitespace().collect();
        assert_eq!(server.command(&words).text(), "OK", "{statement}");
    }
    let mended = store.fitness(&node(&server)).await.unwrap();
    assert_eq!(mended.missing_rights, [""; 0]);
}

#[tokio::test]
async fn missing_rights_are_named_by_redis_7() {
    require_server!("redis7");
    missing_rights("redis7").await;
}

#[tokio::test]
async fn missing_rights_are_named_by_redis_6() {
    require_server!("redis6");
    missing_rights("redis6").await;
}

#[tokio::test]
async fn missing_rights_are_named_without_the_right_to_ask() {
    require_server!("redis7");
    let server = RedisServer::builder("redis7").user("weak on >word ~* +@all -acl -config|set").start();
    let store = store_as(&[&server], "weak", "word");
    let fitness = store.fitness(&node(&server)).await.unwrap();
    let wanted = ["+config|set", "+acl|list", "+acl|dryrun"].map(|right| format!("ACL SETUSER weak {right}"));
    assert_eq!(fitness.missing_rights, wanted);
}

fn mends(findings: &[Finding]) -> Vec<&str> {
    findings.iter().map(|finding| finding.mend.as_str()).collect()
}

#[tokio::test]
async fn inspection_advises_and_its_advice_silences_it() {
    require_server!("redis7");
    let server = RedisServer::builder("redis7").with_file().set("repl-diskless-sync-max-replicas", "1").start();
    // With two standbys, so that a primary which stops by itself serves.
    let nodes = [server.address(), "127.0.0.1:3".to_owned(), "127.0.0.1:4".to_owned()];
    let service = service(&nodes, "max_connections = 15000", "");
    let store = RedisStore::new(service, "us").unwrap();
    let found = store.inspect(&node(&server)).await;
    assert!(found.version.is_some_and(|version| version.starts_with("7.")));
    assert!(found.findings.iter().all(|finding| !finding.error), "{:?}", found.findings);
    let mends = mends(&found.findings);
    for wanted in [
        "CONFIG SET repl-ping-replica-period 1",
        "CONFIG SET repl-backlog-size 64mb",
        "CONFIG SET repl-diskless-sync yes repl-diskless-sync-delay 5 repl-diskless-sync-max-replicas 0",
        "CONFIG SET min-replicas-to-write 1",
        "CONFIG SET appendonly yes",
        "CONFIG SET maxclients 15032",
    ] {
        let mend = mends.iter().find(|mend| mend.starts_with(wanted)).unwrap_or_else(|| panic!("{wanted}: {mends:?}"));
        let words: Vec<&str> = mend.split(',').next().unwrap_or_default().split(' ').collect();
        assert_eq!(server.command(&words).text(), "OK", "{mend}");
    }
    let after = store.inspect(&node(&server)).await;
    let alone = |finding: &Finding| finding.message.contains("(NOREPLICAS)");
    assert!(after.findings.iter().all(alone), "but for the standby that it hasn't: {:?}", after.findings);
}

#[tokio::test]
async fn of_a_pair_no_node_is_advised_to_stop_without_a_standby() {
    require_server!("redis7");
    let (primary, standby) = RedisServer::pair("redis7");
    let advised = async |settings: &str| {
        let service = service(&addresses(&[&primary, &standby]), "", settings);
        let found = RedisStore::new(service, "us").unwrap().inspect(&node(&primary)).await.findings;
        found.into_iter().map(|finding| finding.mend).filter(|mend| mend.contains("min-replicas")).collect::<Vec<_>>()
    };
    let [mend] = &advised("").await[..] else { panic!("one finding") };
    assert!(mend.starts_with("a third node and CONFIG SET min-replicas-to-write 1"), "{mend}");
    assert!(advised("[services.cart.failover]\nunfenced = \"promote\"").await.is_empty());
    primary.command(&["CONFIG", "SET", "min-replicas-to-write", "1"]);
    // The server counts those that are good enough once a second.
    wait_for("a standby that counts", PATIENCE, || primary.info("min_slaves_good_slaves") == "1");
    assert_eq!(advised("").await, ["a third node, or CONFIG SET min-replicas-to-write 0"]);
}

#[tokio::test]
async fn inspection_names_what_blocks_a_switch() {
    require_server!("redis7");
    let server = RedisServer::builder("redis7").set("requirepass", "word").set("min-replicas-to-write", "1000").start();
    let store = store_as(&[&server], "default", "word");
    let found = store.inspect(&node(&server)).await;
    let errors: Vec<_> = found.findings.into_iter().filter(|finding| finding.error).collect();
    let mends = mends(&errors).join("\n");
    assert!(mends.contains("CONFIG SET min-replicas-to-write 0") && mends.contains("masterauth"), "{mends}");

    let wrong = store_as(&[&server], "default", "nope").inspect(&node(&server)).await;
    assert_eq!(wrong.version, None);
    assert!(wrong.findings[0].error && wrong.findings[0].message.contains("WRONGPASS"));
}

#[tokio::test]
async fn tuning_is_done_where_it_is_allowed_only() {
    require_server!("redis7");
    let server = RedisServer::start("redis7");
    let at = node(&server);
    let period = || format!("{:?}", server.command(&["CONFIG", "GET", "repl-ping-replica-period"]));
    let before = period();
    let store = store_of(&[&server]);
    store.tune(&at).await.unwrap();
    assert_eq!(period(), before);
    store.configure(service(&addresses(&[&server]), "tune = true", "")).unwrap();
    store.tune(&at).await.unwrap();
    assert_ne!(period(), before);
}
