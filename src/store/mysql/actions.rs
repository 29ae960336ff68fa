//! The smaller actions at one node: catching up, parking, keeping settings, the heartbeat period.
//!
//! Input: an action. Output: what it achieved, or an error that says whether trying again can help and whether the node may have done it
//! all the same. Each action is idempotent. The order of actions is the decision core's business.

use super::{
    client::seconds,
    flavour::{Flavour, Receiving, Replica},
    node::{Control, Node, first},
};
use crate::model::{action::Done, error::StoreError, transactions::Transactions};
use std::time::Duration;
use tokio::time::Instant;

/// A candidate that takes longer to catch up is worth a line in the log: all clients wait for it.
const SLOW: Duration = Duration::from_millis(100);
/// How long one statement waits before it is looked whether applying goes on at all.
const STRETCH: Duration = Duration::from_millis(500);
/// The heartbeat period that detection wants.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// The flavour of the node at the other end of the connection for actions.
pub(super) async fn flavour(node: &Node, control: &mut Control) -> Result<Flavour, StoreError> {
    node.connected(control).await.map(|connection| connection.flavour())
}

/// How the node replicates; none if it follows nobody.
pub(super) async fn replica(
    node: &Node,
    control: &mut Control,
    flavour: Flavour,
) -> Result<Option<Replica>, StoreError> {
    let answers = node.run_on(control, flavour.replication(), node.limit).await?;
    let read = answers.first().map(|rows| Replica::read(flavour, rows, None)).transpose();
    Ok(read.map_err(|error| node.fatal(error))?.flatten())
}

/// What the node has executed.
pub(super) async fn executed(node: &Node, control: &mut Control, flavour: Flavour) -> Result<Transactions, StoreError> {
    let answers = node.run_on(control, flavour.executed(), node.limit).await?;
    node.transactions(first(&answers).map(|row| row.at(0)).unwrap_or_default())
}

/// Waits until the candidate has executed `wanted` (without: what it has received), at most as long as `limit`.
pub(super) async fn catch_up(
    node: &Node,
    position: u64,
    wanted: Option<&Transactions>,
    limit: Duration,
) -> Result<Done, StoreError> {
    let started = Instant::now();
    let deadline = started + limit;
    let mut control = node.control.lock().await;
    let flavour = flavour(node, &mut control).await?;
    let mut behind = None;
    loop {
        let now = executed(node, &mut control, flavour).await?;
        let received = replica(node, &mut control, flavour).await?;
        let Some(received) = received else {
            return Err(node.fatal("is no standby any more, so it can't catch up"));
        };
        let wanted = wanted.unwrap_or(&received.retrieved);
        if now.contains(wanted) {
            if started.elapsed() > SLOW {
                let (node, took) = (&node.address, started.elapsed());
                tracing::warn!(%node, ?took, behind, "the candidate was slow to catch up");
            }
            return Ok(Done::CaughtUp);
        }
        let missing = wanted.subtract(&now);
        behind.get_or_insert(missing.count());
        if received.apply_errno != 0 || !received.applies {
            let why = if received.error.is_empty() { "applying was stopped" } else { &received.error };
            return Err(node.fatal(format!("applies nothing any more, {} transactions short: {why}", missing.count())));
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            let held = now.union(&received.retrieved);
            let lacking = wanted.subtract(&held);
            let why =
                if lacking.is_empty() { String::new() } else { format!(", of which it never received {lacking}") };
            let detail = format!("executed {} of {position} within {limit:?}, {missing} are missing{why}", now.count());
            return Err(node.passing(detail));
        }
        let stretch = left.min(STRETCH);
        let (wait, set) = match flavour {
            Flavour::Mysql => ("WAIT_FOR_EXECUTED_GTID_SET", wanted.to_string()),
            Flavour::MariaDb => ("MASTER_GTID_WAIT", wanted.positions()),
        };
        let statement = format!("SELECT {wait}('{set}', {})", seconds(stretch));
        node.run_on(&mut control, &statement, stretch + node.limit).await?;
    }
}

/// Stops receiving, so that what it has can't grow any more; what was received is applied on, and writes are refused as before. A node
/// that somebody has promoted meanwhile is left alone.
pub(super) async fn park(node: &Node) -> Result<Done, StoreError> {
    let mut control = node.control.lock().await;
    let flavour = flavour(node, &mut control).await?;
    let Some(replica) = replica(node, &mut control, flavour).await? else {
        return Err(node.fatal("is no standby any more, so it isn't parked"));
    };
    if replica.receiving != Receiving::No {
        node.run_on(&mut control, flavour.stop_receiving(), node.limit).await?;
    }
    Ok(Done::Parked)
}

/// Keeps in MySQL's own file of persisted settings that a standby starts read-only, and that a primary doesn't. MariaDB has no such file.
pub(super) async fn persist(node: &Node) -> Result<Done, StoreError> {
    let mut control = node.control.lock().await;
    let flavour = flavour(node, &mut control).await?;
    if flavour == Flavour::MariaDb {
        return Ok(Done::Persisted);
    }
    let standby = replica(node, &mut control, flavour).await?.is_some();
    let statement = if standby {
        "SET PERSIST super_read_only=ON"
    } else {
        "RESET PERSIST IF EXISTS super_read_only; RESET PERSIST IF EXISTS read_only"
    };
    node.run_on(&mut control, statement, node.limit).await?;
    Ok(Done::Persisted)
}

/// Sets the heartbeat period of a standby whose primary may be silent for longer than a second.
pub(super) async fn tune(node: &Node) -> Result<(), StoreError> {
    let mut control = node.control.lock().await;
    let flavour = flavour(node, &mut control).await?;
    let period = match flavour {
        Flavour::Mysql => {
            let question = "SELECT HEARTBEAT_INTERVAL FROM performance_schema.replication_connection_configuration \
                            WHERE CHANNEL_NAME NOT LIKE 'group%'";
            let answers = node.run_on(&mut control, question, node.limit).await?;
            first(&answers).and_then(|row| row.at(0).parse::<f64>().ok())
        }
        Flavour::MariaDb => {
            let replica = replica(node, &mut control, flavour).await?;
            if replica.is_some() {
                // A semi-synchronous standby that is parked says goodbye to its primary first, for 5 s if that hangs.
                let quick = "SET GLOBAL rpl_semi_sync_slave_kill_conn_timeout=1";
                node.run_on(&mut control, quick, node.limit).await?;
            }
            replica.and_then(|replica| replica.heartbeat).map(|period| period.as_secs_f64())
        }
    };
    if period.is_none_or(|period| period > 0.0 && period <= HEARTBEAT.as_secs_f64()) {
        return Ok(());
    }
    let change = flavour.pick(
        "STOP REPLICA IO_THREAD; CHANGE REPLICATION SOURCE TO SOURCE_HEARTBEAT_PERIOD=1; START REPLICA IO_THREAD",
        // A change of MariaDB's wants both threads stopped.
        "STOP SLAVE; CHANGE MASTER TO MASTER_HEARTBEAT_PERIOD=1; START SLAVE",
    );
    node.run_on(&mut control, change, node.limit).await.map(drop)
}
