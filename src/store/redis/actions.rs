//! The actions of a switch at one node.
//!
//! Input: an action. Output: what it achieved, or an error that says whether trying again can help and whether the node may
//! have done it all the same. Each action is idempotent. The order of actions is the decision core's business.

use super::{
    FENCE,
    client::Pipeline,
    node::Node,
    probe::lineage,
    reply::{Info, Reply, Role, config_value, error, role},
};
use crate::model::{action::Done, error::StoreError, observation::Lineage};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Ends by itself, should we crash. WRITE and never ALL, which would stop our own commands too.
const PAUSE: &str = "CLIENT PAUSE 5000 WRITE";
const UNPAUSE: &str = "CLIENT UNPAUSE";
const GET_FENCE: &str = "CONFIG GET min-replicas-to-write";
const REPLICATION: &str = "INFO replication";
const GET_LAG: &str = "CONFIG GET min-replicas-max-lag";
/// What the lag limit is set to where it is 0, since 0 switches the fence's setting off. Nobody's own choice of seconds, so it
/// tells by itself that there was 0, whatever crash comes between: no journal needs to know.
const LAG_WAS_ZERO: &str = "1001";
/// The bytes of the PING that a primary puts into its replication stream now and then, fenced or not. No write is so short,
/// but several may be as long as some PINGs.
const PING_BYTES: u64 = 14;
const LAG_BACK: &str = "CONFIG SET min-replicas-max-lag 0";
/// A candidate that takes longer to catch up is worth a line in the log: all clients wait for it.
const SLOW: Duration = Duration::from_millis(100);
/// Polls of a candidate before they are spaced out: most have caught up by then.
const EAGER_POLLS: u32 = 50;

/// Pause, fence, read the position: in one round trip, which a server runs in one go.
pub(super) async fn fence(node: &Node) -> Result<Done, StoreError> {
    let set = format!("CONFIG SET min-replicas-to-write {FENCE}");
    let commands = [PAUSE, GET_FENCE, GET_LAG, set.as_str(), REPLICATION];
    let result = fence_in_one(node, &commands).await;
    if result.is_err() {
        // Writes shall not wait for a fence that failed. If this fails too, the pause ends by itself.
        let _ = node.call(&Pipeline::of(&[UNPAUSE])).await;
    }
    result
}

async fn fence_in_one(node: &Node, commands: &[&str; 5]) -> Result<Done, StoreError> {
    let mut replies = node.call(&Pipeline::of(commands)).await.map_err(|error| node.failed(commands, &error))?;
    for (command, reply) in commands.iter().zip(&replies) {
        match error(reply) {
            Some(why) if *command == PAUSE && lacks_pause(why) => {}
            Some(why) => return Err(node.refused(command, why)),
            None => {}
        }
    }
    let value = |index: usize| replies.get(index).and_then(config_value);
    let (before, lag) = (value(1).unwrap_or_default(), value(2).unwrap_or_default());
    if lag == "0" {
        replies = node.run(&[&format!("CONFIG SET min-replicas-max-lag {LAG_WAS_ZERO}"), REPLICATION]).await?;
    }
    let replication = section(node, replies.last())?;
    if replication.get("role") != Some("master") {
        // The setting has no meaning on a standby, but must not wait there for its promotion.
        let back = format!("CONFIG SET min-replicas-to-write {before}");
        node.run(&[&back]).await?;
        if lag == "0" {
            node.run(&[LAG_BACK]).await?;
        }
        return Err(node.fatal("is no primary and can't be fenced"));
    }
    // A fence that is found set is one of ours, left by a crash: what was before it isn't known any more.
    let fenced_before = before.parse::<u64>().is_ok_and(|value| value >= FENCE);
    Ok(Done::Fenced {
        position: replication.number("master_repl_offset").unwrap_or(0),
        lineage: lineage(&replication),
        saved: (!fenced_before).then_some(before),
    })
}

/// Redis before 6.2 can't pause writes alone; there the durable setting stops them by itself.
fn lacks_pause(error: &str) -> bool {
    !error.starts_with("NOPERM") && !error.starts_with("LOADING")
}

/// Polls until the candidate has applied `position`, at most as long as `limit`.
pub(super) async fn catch_up(node: &Node, position: u64, of: &Lineage, limit: Duration) -> Result<Done, StoreError> {
    let started = Instant::now();
    let deadline = started + limit;
    let (mut polls, mut behind) = (0_u32, None);
    loop {
        let replies = node.run(&[REPLICATION]).await?;
        let replication = section(node, replies.last())?;
        if replication.get("role") != Some("slave") {
            return Err(node.fatal("is no standby any more, so it can't catch up"));
        }
        let applied = replication.number("slave_repl_offset").unwrap_or(0);
        let up = replication.get("master_link_status") == Some("up");
        let id = replication.get("master_replid").unwrap_or_default();
        if up && id != of.id {
            return Err(node.fatal(format!("follows another history ({id}) than the primary's ({})", of.id)));
        }
        // What was missing at first tells a standby that had much to apply from a machine that had no time for us.
        let behind = *behind.get_or_insert(position.saturating_sub(applied));
        if up && applied >= position {
            if started.elapsed() > SLOW {
                let (node, took) = (&node.address, started.elapsed());
                tracing::warn!(%node, ?took, behind, polls, "the candidate was slow to catch up");
            }
            return Ok(Done::CaughtUp);
        }
        if Instant::now() >= deadline {
            let link = if up { "up" } else { "down" };
            let detail = format!("applied {applied} of {position} within {limit:?}, its link is {link}");
            return Err(node.passing(detail));
        }
        polls += 1;
        if polls > EAGER_POLLS {
            sleep(Duration::from_millis(1)).await;
        }
    }
}

/// Reads the fenced primary again. Renews the pause, so that what follows has all of it.
pub(super) async fn confirm(node: &Node, position: u64) -> Result<Done, StoreError> {
    let commands = [PAUSE, GET_FENCE, REPLICATION];
    let replies = node.call(&Pipeline::of(&commands)).await.map_err(|error| node.failed(&commands, &error))?;
    for (command, reply) in commands.iter().zip(&replies).skip(1) {
        if let Some(why) = error(reply) {
            return Err(node.refused(command, why));
        }
    }
    let fence = replies.get(1).and_then(config_value).and_then(|value| value.parse::<u64>().ok());
    let replication = section(node, replies.last())?;
    let now = replication.number("master_repl_offset").unwrap_or(0);
    if replication.get("role") != Some("master") || fence.is_none_or(|value| value < FENCE) {
        return Err(node.fatal("is not fenced any more"));
    }
    match now.checked_sub(position) {
        Some(0 | PING_BYTES) => Ok(Done::Confirmed),
        Some(grown) if grown % PING_BYTES == 0 => Ok(Done::Grown { position: now }),
        _ => Err(node.fatal(format!("moved from {position} to {now} although it is fenced"))),
    }
}

/// Makes the node a primary.
pub(super) async fn promote(node: &Node) -> Result<Done, StoreError> {
    let replies = node.run(&["REPLICAOF NO ONE", "ROLE"]).await?;
    match replies.last().and_then(role) {
        Some(Role::Primary) => Ok(Done::Promoted),
        other => Err(node.passing(format!("REPLICAOF NO ONE: its role is {other:?} afterwards"))),
    }
}

/// Makes the node follow `host:port`, and sees that it says so.
pub(super) async fn repoint(node: &Node, host: &str, port: u16) -> Result<Done, StoreError> {
    follow(node, &[], host, port).await?;
    Ok(Done::Repointed)
}

/// Makes the old primary follow the new one while writes are paused, then lets them go and cuts every client there.
pub(super) async fn demote(node: &Node, host: &str, port: u16) -> Result<Done, StoreError> {
    // The pause is renewed: what it holds back would be answered by the old primary in the moment before its demotion.
    follow(node, &[PAUSE], host, port).await?;
    let cut = [UNPAUSE, "CLIENT KILL TYPE normal SKIPME yes", "CLIENT KILL TYPE pubsub SKIPME yes"];
    let replies = node.call(&Pipeline::of(&cut)).await.map_err(|error| node.failed(&cut, &error))?;
    for (command, reply) in cut.iter().zip(&replies).skip(1) {
        if let Some(why) = error(reply) {
            return Err(node.refused(command, why));
        }
    }
    Ok(Done::Demoted)
}

/// Sends `first` (whose errors don't matter), REPLICAOF, and ROLE.
async fn follow(node: &Node, first: &[&str], host: &str, port: u16) -> Result<(), StoreError> {
    let point = format!("REPLICAOF {host} {port}");
    let mut commands = first.to_vec();
    commands.extend([point.as_str(), "ROLE"]);
    let replies = node.call(&Pipeline::of(&commands)).await.map_err(|error| node.failed(&commands, &error))?;
    for (command, reply) in commands.iter().zip(&replies).skip(first.len()) {
        if let Some(why) = error(reply) {
            return Err(node.refused(command, why));
        }
    }
    match replies.last().and_then(role) {
        Some(Role::Standby { host: seen, port: at }) if seen == host && at == port => Ok(()),
        other => Err(node.passing(format!("{point}: its role is {other:?} afterwards"))),
    }
}

/// Puts the settings back, if they are still the fence's; a value that somebody set since is left alone.
pub(super) async fn unfence(node: &Node, saved: Option<&str>) -> Result<Done, StoreError> {
    let replies = node.run(&[GET_FENCE, GET_LAG]).await?;
    let fenced = replies.first().and_then(config_value).and_then(|value| value.parse::<u64>().ok());
    if fenced.is_some_and(|value| value >= FENCE) {
        let saved = saved.and_then(|value| value.parse::<u64>().ok()).unwrap_or(0);
        node.run(&[&format!("CONFIG SET min-replicas-to-write {saved}")]).await?;
    }
    if replies.get(1).and_then(config_value).as_deref() == Some(LAG_WAS_ZERO) {
        node.run(&[LAG_BACK]).await?;
    }
    match node.run(&[UNPAUSE]).await {
        Err(error) if error.maybe_done || error.detail.contains("NOPERM") => Err(error),
        // Redis before 6.2 has no pause to end.
        _ => Ok(Done::Unfenced),
    }
}

/// Lets the node write its configuration file, if it has one. Refused while a fence is set, which would be written too.
pub(super) async fn persist(node: &Node) -> Result<Done, StoreError> {
    let replies = node.run(&[GET_FENCE]).await?;
    let value = replies.first().and_then(config_value).and_then(|value| value.parse::<u64>().ok());
    if value.is_some_and(|value| value >= FENCE) {
        return Err(node.passing("CONFIG REWRITE: not while the fence is set, the file would keep it"));
    }
    let command = ["CONFIG REWRITE"];
    let replies = node.call(&Pipeline::of(&command)).await.map_err(|error| node.failed(&command, &error))?;
    match replies.first().and_then(error) {
        Some(why) if !why.contains("without a config file") => Err(node.refused("CONFIG REWRITE", why)),
        _ => Ok(Done::Persisted),
    }
}

fn section(node: &Node, reply: Option<&Reply>) -> Result<Info, StoreError> {
    reply.and_then(Info::read).ok_or_else(|| node.fatal("INFO replication answers no text"))
}
