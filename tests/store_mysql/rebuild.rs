//! The way back of a node that holds what nobody else has: the commands that are printed are run as they stand.

use super::setup::{answer_until, fence, node, store_of};
use crate::{
    common::{
        PATIENCE,
        mysql_server::{MysqlServer, PASSWORD},
        servers_folder, wait_for,
    },
    require_server,
};
use pointsman::{
    model::{action::Action, observation::Part},
    store::Store,
};
use std::process::Command;

fn shell(component: &str, command: &str) -> String {
    // Root has no password here, and the replication user's is known.
    let command = command.replace(" --user=root -p", " --user=root").replace("PASSWORD-OF-repl", PASSWORD);
    let command = command.replace(" --user=repl -p", &format!(" --user=repl --password={PASSWORD}"));
    let path = format!("{}:/usr/bin:/bin", servers_folder().join(component).display());
    let output = Command::new("bash").args(["-o", "pipefail", "-c", &command]).env("PATH", path).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    // A cloned server ends itself, and its client hears of it.
    assert!(output.status.success() || command.contains("CLONE INSTANCE"), "{command}\n{text}");
    text.into_owned()
}

async fn rebuilt(component: &str) {
    let (mut old, new) = MysqlServer::pair(component);
    let store = store_of(&[&old, &new]);
    let (left, primary) = (node(&old), node(&new));
    old.query("CREATE TABLE shop.t (n INT PRIMARY KEY, word TEXT)");
    new.wait_synced(&old);
    store.act(&Action::Park { node: primary.clone() }).await.unwrap();
    old.query("INSERT INTO shop.t VALUES (1, 'only here')");
    store.act(&Action::Promote { node: primary.clone() }).await.unwrap();
    new.query("INSERT INTO shop.t VALUES (2, 'served')");
    fence(&store, &left).await.unwrap();
    let demoted = store.act(&Action::Demote { node: left.clone(), to: primary.clone() }).await.unwrap_err();

    let found = store.rebuild(&left, &primary).await.unwrap();
    assert!(!found.holds.is_empty() && demoted.detail.ends_with(&found.holds), "{found:?} {demoted}");
    for command in &found.look {
        let text = shell(component, command);
        assert!(text.contains("only here"), "{command}\n{text}");
    }
    let folder = tempfile::tempdir().unwrap();
    for command in &found.commands {
        println!("{command}");
        // There is no Pointsman here that could be paused; and the server is started below.
        if !command.starts_with("pointsman ") && !command.starts_with('#') {
            shell(component, &format!("cd {} && {command}", folder.path().display()));
        }
        if command.contains("CLONE INSTANCE") {
            wait_for("the cloned server ends itself", PATIENCE, || !old.runs());
            old.restart();
        }
    }
    // What a Pointsman does by itself when it goes on.
    store.act(&Action::Demote { node: left.clone(), to: primary.clone() }).await.unwrap();
    let standby = |part: &Part| matches!(part, Part::Standby { of, link_up: true, .. } if *of == primary);
    let seen = answer_until(&store, &left, "it is a standby", |seen| standby(&seen.part)).await;
    assert!(!seen.writable, "{seen:?}");
    old.wait_synced(&new);
    assert_eq!(old.query("SELECT n FROM shop.t"), [["2"]], "what it alone held is given up");
    assert_eq!(store.rebuild(&left, &primary).await.unwrap().holds, "");
}

#[tokio::test]
async fn a_mysql_9_by_clone() {
    require_server!("mysql9");
    rebuilt("mysql9").await;
}

#[tokio::test]
async fn a_mariadb_by_dump() {
    require_server!("mariadb");
    rebuilt("mariadb").await;
}
