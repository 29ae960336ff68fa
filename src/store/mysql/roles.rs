//! Roles: promoting a standby, demoting a primary, pointing a standby elsewhere.
//!
//! Input: a node, and whom it shall follow. Output: what it is now. A node that holds transactions which its new primary doesn't have is
//! never made to follow it: they are named instead.

use super::{
    actions::{executed, flavour, replica},
    client::{CallError, quoted_secret},
    flavour::{Flavour, Receiving, SemiSync},
    node::{Control, Node, first},
    rows::Rows,
    sessions,
};
use crate::model::{action::Done, error::StoreError, secret::Secret};
use std::{
    collections::BTreeSet,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};
use tokio::time::{Instant, sleep, timeout};

/// How long a standby may take to say that it is connected, before that is left to the probes.
const ATTACH: Duration = Duration::from_millis(500);

/// How long a standby that acknowledges nothing is left alone.
const AGAIN: Duration = Duration::from_secs(10);
/// Asks for the settings of semi-synchronous replication, by whichever names.
const SEMI_SYNC_SETTINGS: &str = "SHOW GLOBAL VARIABLES LIKE 'rpl\\_semi\\_sync\\_%'";

/// Where to replicate from, and as whom.
#[derive(Debug)]
pub(super) struct From {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) user: String,
    pub(super) password: Secret,
    /// Whether TLS is asked for where the server doesn't ask for it by itself.
    pub(super) tls: bool,
}

/// Makes the node a primary. A semi-synchronous one would wait for standbys that it doesn't have yet, so that is switched off, and on again
/// when the first one follows it
/// that was semi-synchronous before ([`acknowledge`]).
pub(super) async fn promote(node: &Node) -> Result<Done, StoreError> {
    let mut control = node.control.lock().await;
    let flavour = flavour(node, &mut control).await?;
    switch_semi_sync(node, &mut control, false).await?;
    let stop = flavour.stop();
    let reset = flavour.pick("RESET REPLICA ALL", "RESET SLAVE ALL");
    let statements = match replica(node, &mut control, flavour).await? {
        Some(_) => format!("{stop}; {reset}; SET GLOBAL read_only=OFF"),
        None => "SET GLOBAL read_only=OFF".to_owned(),
    };
    // Stopping may wait for a transaction that is being applied.
    node.run_on(&mut control, &statements, node.limit * 2).await?;
    let answers = node.run_on(&mut control, "SELECT @@GLOBAL.read_only", node.limit).await?;
    let open = first(&answers).is_some_and(|row| row.at(0) == "0");
    if open && replica(node, &mut control, flavour).await?.is_none() {
        return Ok(Done::Promoted);
    }
    Err(node.passing("still follows another node, or is still read-only, after it was promoted"))
}

/// Makes the fenced old primary follow the new one, and cuts the sessions that are left there.
pub(super) async fn demote(node: &Node, primary: &Node, from: &From) -> Result<Done, StoreError> {
    let mut control = node.control.lock().await;
    let flavour = flavour(node, &mut control).await?;
    let missing = strays(node, &mut control, flavour, primary).await?;
    if !missing.is_empty() {
        // It stays out, read-only. An operator who mends it shall not wait for our lock.
        if control.locked.take().is_some() {
            node.run_on(&mut control, "UNLOCK TABLES", node.limit).await?;
        }
        return Err(refused(node, primary, &missing));
    }
    if flavour == Flavour::Mysql {
        node.run_on(&mut control, "SET GLOBAL super_read_only=ON", node.limit).await?;
        cut_sessions(node, &mut control, flavour).await?;
    } else {
        node.run_on(&mut control, "SET GLOBAL read_only=ON", node.limit).await?;
        cut_sessions(node, &mut control, flavour).await?;
        control.locked = None;
        node.run_on(&mut control, "UNLOCK TABLES", node.limit).await?;
    }
    // What a standby applies would wait for standbys of its own.
    switch_semi_sync(node, &mut control, false).await?;
    let was_primary = replica(node, &mut control, flavour).await?.is_none();
    follow(node, &mut control, flavour, from, was_primary).await?;
    control.fenced_at = None;
    Ok(Done::Demoted)
}

/// Makes a standby follow another primary, or its parked self follow the same one again.
pub(super) async fn repoint(node: &Node, primary: &Node, from: &From) -> Result<Done, StoreError> {
    let mut control = node.control.lock().await;
    let flavour = flavour(node, &mut control).await?;
    let now = replica(node, &mut control, flavour).await?;
    // A primary that can't be asked may be away: what it holds is seen when it is back.
    if let Ok(missing) = strays(node, &mut control, flavour, primary).await
        && !missing.is_empty()
    {
        return Err(refused(node, primary, &missing));
    }
    let closed = flavour.pick("SET GLOBAL super_read_only=ON", "SET GLOBAL read_only=ON");
    node.run_on(&mut control, closed, node.limit).await?;
    match now {
        // What it has received and not applied yet is kept.
        Some(now) if now.host == from.host && now.port == from.port && now.by_gtid => {
            if now.receiving == Receiving::No || !now.applies {
                node.run_on(&mut control, flavour.start(), node.limit).await?;
            }
        }
        now => follow(node, &mut control, flavour, from, now.is_none()).await?,
    }
    Ok(Done::Repointed)
}

/// What `node` has executed and `primary` hasn't, as text; empty if nothing.
async fn strays(node: &Node, control: &mut Control, flavour: Flavour, primary: &Node) -> Result<String, StoreError> {
    let ours = executed(node, control, flavour).await?;
    let theirs = primary.run(flavour.executed()).await?;
    let theirs = primary.transactions(first(&theirs).map(|row| row.at(0)).unwrap_or_default())?;
    Ok(ours.subtract(&theirs).to_string())
}

fn refused(node: &Node, primary: &Node, missing: &str) -> StoreError {
    node.fatal(format!(
        "holds transactions that {} doesn't have, so it isn't made its standby: {missing}",
        primary.address
    ))
}

async fn follow(
    node: &Node,
    control: &mut Control,
    flavour: Flavour,
    from: &From,
    was_primary: bool,
) -> Result<(), StoreError> {
    let tls = if from.tls { flavour.pick(", SOURCE_SSL=1", ", MASTER_SSL=1") } else { "" };
    let demoted = if was_primary { flavour.pick("", ", MASTER_DEMOTE_TO_SLAVE=1") } else { "" };
    let extra = format!("{tls}{demoted}");
    let change = flavour.follow((&from.host, from.port), &from.user, &quoted_secret(&from.password), &extra);
    let (stop, start) = (flavour.stop(), flavour.start());
    let statements = if was_primary { format!("{change}; {start}") } else { format!("{stop}; {change}; {start}") };
    node.run_on(control, &statements, node.limit * 2).await?;
    let end = Instant::now() + ATTACH;
    loop {
        let now = replica(node, control, flavour).await?;
        match now {
            Some(now) if now.host != from.host || now.port != from.port => {
                return Err(node.passing(format!("follows {}:{} after it was pointed elsewhere", now.host, now.port)));
            }
            Some(now) if now.receiving == Receiving::No && now.receive_errno != 0 => {
                return Err(node.fatal(format!("can't follow {}:{}: {}", from.host, from.port, now.error)));
            }
            Some(now) if now.receiving == Receiving::Yes || Instant::now() > end => return Ok(()),
            Some(_) => sleep(Duration::from_millis(5)).await,
            None => return Err(node.passing("follows nobody after it was pointed to a primary")),
        }
    }
}

/// Ends the sessions of applications: at MySQL all that have no right to stay, in one statement; at MariaDB those of every user but ours
/// and the ones that standbys use.
pub(super) async fn cut_sessions(node: &Node, control: &mut Control, flavour: Flavour) -> Result<(), StoreError> {
    if flavour == Flavour::Mysql {
        node.run_on(control, "SET GLOBAL offline_mode=ON; SET GLOBAL offline_mode=OFF", node.limit).await?;
        return Ok(());
    }
    let answers = node.run_on(control, sessions::QUESTION, node.limit).await?;
    let (standbys, others): (Vec<_>, Vec<_>) =
        sessions::of_others(&answers).into_iter().partition(sessions::is_standby);
    let standbys: BTreeSet<&str> = standbys.iter().map(|session| session.get("User")).collect();
    let users: BTreeSet<&str> = others.iter().map(|session| session.get("User")).collect();
    for user in users.difference(&standbys) {
        let statement = format!("KILL CONNECTION USER {}", super::client::quoted(user));
        match node.try_on(control, &statement, node.limit).await {
            Ok(_) | Err(CallError::Refused { .. }) => {}
            Err(error) => return Err(node.failed(&statement, &error)),
        }
    }
    Ok(())
}

/// Switches a primary's semi-synchronous replication, where it has it. Returns whether it is as asked for.
pub(super) async fn switch_semi_sync(node: &Node, control: &mut Control, on: bool) -> Result<bool, StoreError> {
    let answers = node.run_on(control, SEMI_SYNC_SETTINGS, node.limit).await?;
    let Some(variables) = answers.first() else { return Ok(!on) };
    let Some(switch) = SemiSync::switch(variables) else { return Ok(!on) };
    if SemiSync::read(variables, &Rows::default()).enabled != on {
        let value = if on { "ON" } else { "OFF" };
        node.run_on(control, &format!("SET GLOBAL {switch}={value}"), node.limit).await?;
        tracing::info!(node = %node.address, %value, "semi-synchronous replication was switched");
    }
    Ok(true)
}

/// Makes `primary`, which was promoted in the place of a semi-synchronous one, wait for acknowledgements, and its new standby give them: a
/// standby says only when it connects that it will. If it doesn't, the primary goes on without rather than wait for ever. Nobody waits
/// for this; it is tried again while it is owed, but not at once.
pub(super) async fn acknowledge(standby: Arc<Node>, primary: Arc<Node>) {
    let Ok(mut tried) = primary.semi_sync_tried.try_lock() else { return };
    if tried.is_some_and(|at| at + AGAIN > Instant::now()) {
        return;
    }
    *tried = Some(Instant::now());
    let limit = standby.limit * 2;
    let outcome = timeout(limit, try_acknowledge(&standby, &primary)).await;
    let outcome = outcome.unwrap_or_else(|_| Err(primary.passing(format!("not within {limit:?}"))));
    match outcome {
        Ok(()) => primary.semi_sync_owed.store(false, Ordering::Relaxed),
        Err(error) => tracing::warn!(node = %primary.address, %error, "semi-synchronous replication is still off"),
    }
}

async fn try_acknowledge(standby: &Node, primary: &Node) -> Result<(), StoreError> {
    let mut ours = standby.control.lock().await;
    let mut theirs = primary.control.lock().await;
    let flavour = flavour(standby, &mut ours).await?;
    let clients = "SHOW GLOBAL STATUS LIKE 'Rpl\\_semi\\_sync\\_%\\_clients'";
    if !switch_semi_sync(primary, &mut theirs, true).await? {
        return Ok(());
    }
    let again = format!("{}; {}", flavour.stop_receiving(), flavour.start());
    let asked = standby.run_on(&mut ours, &again, standby.limit).await;
    let end = Instant::now() + ATTACH;
    while asked.is_ok() && Instant::now() < end {
        let answers = primary.run_on(&mut theirs, clients, primary.limit).await?;
        if first(&answers).is_some_and(|row| row.at(1) != "0") {
            return Ok(());
        }
        sleep(Duration::from_millis(5)).await;
    }
    switch_semi_sync(primary, &mut theirs, false).await?;
    Err(standby.passing("acknowledges nothing: is it a semi-synchronous standby?"))
}
