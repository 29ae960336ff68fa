//! What a probe finds in each state of a node.

use super::setup::{answer_until, answered, node, probe_until, store_of};
use crate::{common::mysql_server::MysqlServer, require_server};
use pointsman::{
    model::observation::{Part, Reach},
    store::Store,
};
use std::time::{Duration, Instant};

/// A pair in every state.
async fn states(component: &str) {
    let (mut primary, mut replica) = MysqlServer::pair(component);
    let store = store_of(&[&primary, &replica]);
    let (first, second) = (node(&primary), node(&replica));
    primary.query("CREATE TABLE shop.t (n INT PRIMARY KEY)");
    replica.wait_synced(&primary);

    let seen = answered(store.probe(&first).await);
    assert!(matches!(&seen.part, Part::Primary { standbys } if standbys.len() == 1), "{seen:?}");
    assert!(seen.writable && !seen.fenced && !seen.loading && seen.sick.is_empty() && seen.note.is_empty(), "{seen:?}");
    assert!(seen.version.contains(primary.pick("9.7", "mariadb 10.11")), "{}", seen.version);
    assert_eq!(seen.applied, 1);
    let same = answered(store.probe(&first).await);
    assert_eq!(seen.run_id, same.run_id);

    let standby = answered(store.probe(&second).await);
    let Part::Standby { of, link_up: true, silent_for: Some(_), syncing: false } = &standby.part else {
        panic!("{standby:?}")
    };
    assert_eq!(*of, first);
    assert!(!standby.writable && !standby.fenced, "{standby:?}");
    assert_eq!((standby.received, standby.applied), (1, 1));
    assert_eq!(standby.heartbeat, Some(Duration::from_secs(1)));
    assert_eq!(standby.lineage, seen.lineage);

    primary.freeze();
    let begun = Instant::now();
    let quiet = probe_until(&store, &first, "a stopped server is silent", |reach| matches!(reach, Reach::Silent)).await;
    assert_eq!(quiet, Reach::Silent);
    let heard = |answer: &pointsman::model::observation::Answer| matches!(answer.part, Part::Standby { silent_for: Some(silent), .. } if silent > Duration::from_secs(2));
    answer_until(&store, &second, "its standby hears nothing", heard).await;
    assert!(begun.elapsed() < Duration::from_secs(5));
    primary.thaw();
    let after = answer_until(&store, &first, "it answers again", |_| true).await;
    assert_eq!(after.run_id, seen.run_id);

    primary.kill();
    probe_until(&store, &first, "a killed server refuses", |reach| matches!(reach, Reach::Refused)).await;
    answer_until(&store, &second, "its standby lost its link", |answer| {
        matches!(answer.part, Part::Standby { link_up: false, .. })
    })
    .await;
    primary.restart();
    let again = answer_until(&store, &first, "it is back", |_| true).await;
    assert_ne!(again.run_id, seen.run_id, "another start is another process");

    replica.stop();
    probe_until(&store, &second, "a stopped server refuses", |reach| matches!(reach, Reach::Refused)).await;
    let nobody = store_of(&[&primary]).probe(&"nowhere.invalid:3306".into()).await;
    assert!(matches!(nobody.reach, Reach::Unreachable(_)), "{nobody:?}");
}

#[tokio::test]
async fn mysql_9_in_every_state() {
    require_server!("mysql9");
    states("mysql9").await;
}

#[tokio::test]
async fn mariadb_in_every_state() {
    require_server!("mariadb");
    states("mariadb").await;
}
