//! The fence: a primary that takes no writes any more, by a setting that outlives us.
//!
//! MySQL: `super_read_only`, which nobody's rights pass. MariaDB: `read_only`, and since privileged logins pass that, the global read lock
//! on a connection that is kept until the node is demoted or the fence is lifted. Setting either waits for statements under way, and
//! new writes queue behind it, so a watchdog ends the attempt: a fence that can't be set at once is not set. Sessions that wait for a
//! standby's acknowledgement, which may never come, are ended instead, while new writes queue: none slips in.

use super::{
    actions::{executed, flavour, replica},
    client::{CallError, Connection},
    flavour::Flavour,
    node::{Control, Node, first},
    probe::lineage,
    roles,
    rows::{Row, Rows},
    sessions,
};
use crate::model::{action::Done, error::StoreError};
use std::{sync::atomic::Ordering, time::Duration};
use tokio::{
    sync::Notify,
    time::{Instant, sleep, timeout},
};

/// How long it is waited for others before it is asked for what they wait.
const SOON: Duration = Duration::from_millis(50);
/// How long writes may queue behind an attempt to set the fence.
const WATCHDOG: Duration = Duration::from_millis(200);
/// The same where nobody holds it up: the server itself is slow then (it writes out and closes its tables), and giving up helps nobody.
const SLOW: Duration = Duration::from_millis(600);
/// Errors of a statement that the watchdog ended, or that waited in vain for a lock.
const ENDED: [u16; 3] = [1205, 1317, 3024];

/// Sets the fence and reads what the primary has executed.
pub(super) async fn fence(node: &Node) -> Result<Done, StoreError> {
    let mut control = node.control.lock().await;
    let flavour = flavour(node, &mut control).await?;
    if replica(node, &mut control, flavour).await?.is_some() {
        return Err(node.fatal("is no primary and can't be fenced"));
    }
    let answers = node.run_on(&mut control, "SELECT @@GLOBAL.read_only", node.limit).await?;
    let before = first(&answers).is_some_and(|row| row.at(0) != "0");
    let closed = set(node, &mut control, flavour).await;
    let fenced = match closed {
        Ok(()) => executed(node, &mut control, flavour).await,
        Err(error) => Err(error),
    };
    match fenced {
        Ok(executed) => {
            control.fenced_at = Some(executed.clone());
            Ok(Done::Fenced {
                position: executed.count(),
                lineage: lineage(executed),
                // A fence that is found set may be ours, left by a crash: what was before it isn't known any more.
                saved: (!before).then(|| "OFF".to_owned()),
            })
        }
        Err(error) => {
            // Writes shall not wait for a fence that failed.
            if !before {
                let _ = node.run_on(&mut control, "UNLOCK TABLES; SET GLOBAL read_only=OFF", node.limit).await;
            }
            control.locked = None;
            Err(error)
        }
    }
}

async fn set(node: &Node, control: &mut Control, flavour: Flavour) -> Result<(), StoreError> {
    if flavour == Flavour::Mysql {
        return watched(node, control, "SET GLOBAL super_read_only=ON").await;
    }
    watched(node, control, "SET GLOBAL read_only=ON").await?;
    watched(node, control, "FLUSH TABLES WITH READ LOCK").await?;
    control.locked = control.kept.as_ref().map(Connection::id);
    // They hold no lock and wait for ours; killed, they know it, and don't write when it is gone.
    cut_privileged(node, control).await
}

/// Runs a statement that may wait for others: sessions that wait for an acknowledgement are ended for it after [`SOON`], and it is killed
/// after [`WATCHDOG`] if it waits for anybody else, after [`SLOW`] at the latest.
async fn watched(node: &Node, control: &mut Control, statement: &str) -> Result<(), StoreError> {
    node.connected(control).await?;
    let Some(mut connection) = control.kept.take() else { return Err(node.passing("lost its connection")) };
    let (id, deadline) = (connection.id(), Instant::now() + node.limit);
    let mut blockers = None;
    let outcome = {
        let run = connection.run(statement, deadline);
        tokio::pin!(run);
        tokio::select! {
            outcome = &mut run => outcome,
            () = sleep(SOON) => {
                // In the meantime the statement may still succeed.
                let ended = Notify::new();
                let run = async {
                    let outcome = run.await;
                    ended.notify_one();
                    outcome
                };
                let (outcome, named) = tokio::join!(run, make_way(node, id, &ended));
                blockers = named;
                outcome
            }
        }
    };
    if matches!(outcome, Ok(_) | Err(CallError::Refused { .. })) {
        control.kept = Some(connection);
    }
    match (outcome, blockers) {
        (Ok(_), _) => Ok(()),
        (Err(error), Some(blockers)) if ENDED.contains(&error.number()) => {
            let waited = format!("{statement}: waited in vain{blockers}; given up");
            Err(node.passing(waited))
        }
        (Err(error), _) => Err(node.failed(statement, &error)),
    }
}

/// Connection `id` waits for others, until `ended`. If these wait for an acknowledgement, they are ended; otherwise its statement is
/// killed, and who holds it up is named.
async fn make_way(node: &Node, id: u32, ended: &Notify) -> Option<String> {
    let Ok(other) = node.open().await else {
        // The session's own lock_wait_timeout ends it then.
        return Some(String::new());
    };
    let mut beside = Control { kept: Some(other), ..Control::default() };
    match end_waiting(node, &mut beside).await {
        Ok(true) => return None,
        Ok(false) => {}
        Err(error) => {
            tracing::warn!(node = %node.address, %error, "sessions that wait for an acknowledgement could not be ended");
        }
    }
    if timeout(WATCHDOG.saturating_sub(SOON), ended.notified()).await.is_ok() {
        return None;
    }
    let mut named = name_blockers(node, &mut beside, id).await;
    if named.is_empty() {
        if timeout(SLOW.saturating_sub(WATCHDOG), ended.notified()).await.is_ok() {
            return None;
        }
        named = name_blockers(node, &mut beside, id).await;
    }
    if let Err(error) = node.run_on(&mut beside, &format!("KILL QUERY {id}"), node.limit).await {
        tracing::warn!(node = %node.address, %error, "a fence that waits could not be given up");
    }
    Some(named)
}

/// Ends sessions that hang in a commit for want of a standby's acknowledgement, if there are any: no fence can be set before they end,
/// which they don't by themselves where semi-synchronous replication never falls back. Their transactions are in the binary log already:
/// they can't be kept from being committed here, only from being reported. A server lets them wait on although they are cut, until it
/// waits for nobody.
async fn end_waiting(node: &Node, beside: &mut Control) -> Result<bool, StoreError> {
    let flavour = flavour(node, beside).await?;
    let question = "SHOW GLOBAL STATUS LIKE 'Rpl\\_semi\\_sync\\_%\\_wait\\_sessions'";
    let answers = node.run_on(beside, question, node.limit).await?;
    if first(&answers).is_none_or(|row| row.at(1) == "0") {
        return Ok(false);
    }
    roles::cut_sessions(node, beside, flavour).await?;
    node.semi_sync_owed.store(true, Ordering::Relaxed);
    roles::switch_semi_sync(node, beside, false).await
}

/// Who holds connection `id` up, in words that follow "waited"; empty if nobody is known to.
async fn name_blockers(node: &Node, beside: &mut Control, id: u32) -> String {
    let named = match flavour(node, beside).await {
        Ok(Flavour::Mysql) => mysql_blockers(node, beside, id).await,
        Ok(Flavour::MariaDb) => mariadb_blockers(node, beside).await,
        Err(error) => Err(error),
    };
    let named = named.unwrap_or_default();
    if named.is_empty() { String::new() } else { format!(" for {}", named.join("; ")) }
}

fn blocker([id, user, host, time, what]: [&str; 5]) -> String {
    let what: String = what.chars().take(60).collect();
    format!("{id} of {user} from {host}, {time} s: {what:?}")
}

/// MySQL knows who has the locks that connection `id` waits for.
async fn mysql_blockers(node: &Node, beside: &mut Control, id: u32) -> Result<Vec<String>, StoreError> {
    let question = format!(
        "SELECT DISTINCT t.PROCESSLIST_ID, t.PROCESSLIST_USER, t.PROCESSLIST_HOST, t.PROCESSLIST_TIME, \
         LEFT(COALESCE(t.PROCESSLIST_INFO, t.PROCESSLIST_COMMAND), 60) FROM performance_schema.metadata_locks m \
         JOIN performance_schema.threads t ON t.THREAD_ID = m.OWNER_THREAD_ID \
         WHERE m.LOCK_STATUS = 'GRANTED' AND m.OBJECT_TYPE IN ('GLOBAL', 'COMMIT') AND t.PROCESSLIST_ID <> {id} \
         ORDER BY t.PROCESSLIST_TIME DESC LIMIT 3"
    );
    let answers = node.run_on(beside, &question, node.limit).await?;
    let rows = answers.iter().flat_map(Rows::iter);
    Ok(rows.map(|row| blocker([0, 1, 2, 3, 4].map(|column| row.at(column)))).collect())
}

/// MariaDB only knows what runs for how long.
async fn mariadb_blockers(node: &Node, beside: &mut Control) -> Result<Vec<String>, StoreError> {
    let answers = node.run_on(beside, sessions::QUESTION, node.limit).await?;
    let mut busy = sessions::of_others(&answers);
    busy.retain(|session| session.get("Command") != "Sleep" && !sessions::is_standby(session));
    busy.sort_by_key(|session| std::cmp::Reverse(session.number("Time")));
    let words = |session: &Row<'_>| {
        let what = [session.get("Info"), session.get("State")].into_iter().find(|text| !text.is_empty());
        let [id, user, host, time] = ["Id", "User", "Host", "Time"].map(|name| session.get(name));
        blocker([id, user, host, time, what.unwrap_or_default()])
    };
    Ok(busy.iter().take(3).map(words).collect())
}

/// MariaDB: kills the sessions that `read_only` doesn't stop, but for ours and those of standbys.
async fn cut_privileged(node: &Node, control: &mut Control) -> Result<(), StoreError> {
    let privileged = "SELECT DISTINCT GRANTEE FROM information_schema.USER_PRIVILEGES \
                      WHERE PRIVILEGE_TYPE IN ('READ_ONLY ADMIN', 'READ ONLY ADMIN', 'SUPER')";
    let answers = node.run_on(control, &format!("{}; {privileged}", sessions::QUESTION), node.limit).await?;
    let privileged: Vec<&str> = answers.get(2).into_iter().flat_map(Rows::iter).map(|row| row.at(0)).collect();
    for session in sessions::of_others(&answers) {
        // A right is somebody's from some host: `'shop'@'%'`.
        let account = format!("'{}'@", session.get("User"));
        if sessions::is_standby(&session) || !privileged.iter().any(|grantee| grantee.starts_with(&account)) {
            continue;
        }
        // One that ended by itself is no error.
        match node.try_on(control, &format!("KILL SOFT CONNECTION {}", session.get("Id")), node.limit).await {
            Ok(_) | Err(CallError::Refused { .. }) => {}
            Err(error) => return Err(node.failed("KILL SOFT CONNECTION", &error)),
        }
    }
    Ok(())
}

/// Reads the fenced primary again: it must be fenced, and have executed nothing since.
pub(super) async fn confirm(node: &Node, position: u64) -> Result<Done, StoreError> {
    let mut control = node.control.lock().await;
    let flavour = flavour(node, &mut control).await?;
    let setting = flavour.pick("SELECT @@GLOBAL.super_read_only", "SELECT @@GLOBAL.read_only");
    let answers = node.run_on(&mut control, setting, node.limit).await?;
    let closed = first(&answers).is_some_and(|row| row.at(0) != "0");
    let locked = control.locked.is_some() && control.locked == control.kept.as_ref().map(Connection::id);
    if !closed || (flavour == Flavour::MariaDb && !locked) {
        return Err(node.fatal("is not fenced any more"));
    }
    let now = executed(node, &mut control, flavour).await?;
    let more = control.fenced_at.as_ref().map(|before| now.subtract(before));
    match more {
        Some(more) if !more.is_empty() => Err(node.fatal(format!("executed {more} although it is fenced"))),
        _ if now.count() != position => {
            Err(node.fatal(format!("moved from {position} to {} although it is fenced", now.count())))
        }
        _ => Ok(Done::Confirmed),
    }
}

/// Lets a primary take writes again. A standby stays read-only: that is what it is anyway.
pub(super) async fn unfence(node: &Node, saved: Option<&str>) -> Result<Done, StoreError> {
    let mut control = node.control.lock().await;
    let flavour = flavour(node, &mut control).await?;
    if control.locked.take().is_some() {
        node.run_on(&mut control, "UNLOCK TABLES", node.limit).await?;
    }
    control.fenced_at = None;
    if saved != Some("ON") && replica(node, &mut control, flavour).await?.is_none() {
        node.run_on(&mut control, "SET GLOBAL read_only=OFF", node.limit).await?;
    }
    Ok(Done::Unfenced)
}
