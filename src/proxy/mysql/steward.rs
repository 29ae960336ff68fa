//! Carries out on one worker what the board of a service says: hold, warm up, move, release; and keeps its counts.
//!
//! Input: the board's view, and the lane's sessions. Output: orders to them by wake-ups, signals to control. It repeats its answers each round
//! until the view changes, so that a lost signal is harmless. Never: a decision.

use super::{
    handle::{Ending, Handle},
    lane::{Gate, Lane},
    open, wait,
};
use crate::{
    model::{
        name::NodeAddress,
        route::{Mode, Readying},
        signal::{Signal, StuckSession},
    },
    proxy::pace,
    route::View,
};
use std::{
    rc::{Rc, Weak},
    time::Duration,
};
use tokio::{sync::watch, time::sleep};

/// How often the nodes that aren't served are logged in at: a server forgets its users' passwords when it restarts or privileges are flushed.
const ACQUAINTED: Duration = Duration::from_mins(1);
/// A transaction that is open for longer keeps a planned switch waiting.
const LONG: Duration = Duration::from_secs(1);

/// Follows the lane's board for as long as the lane lives.
pub fn follow(lane: &Rc<Lane>) {
    tokio::task::spawn_local(run(Rc::downgrade(lane), lane.seat.board.changes()));
    tokio::task::spawn_local(get_acquainted(Rc::downgrade(lane)));
}

/// Learns how the routed node greets, so that the first application needn't wait for it; and has the other nodes remember the users.
async fn get_acquainted(lane: Weak<Lane>) {
    if let Some(lane) = lane.upgrade() {
        wait::for_manners(&lane).await;
    }
    while let Some(lane) = lane.upgrade() {
        let settings = lane.seat.settings();
        // One worker is enough for that.
        let others = settings.nodes().filter(|(_, node)| lane.seat.worker == 0 && !lane.seat.leads_to(&node.address));
        for (_, node) in others {
            open::be_remembered(&lane, &node.address).await;
        }
        drop(lane);
        sleep(ACQUAINTED).await;
    }
}

async fn run(lane: Weak<Lane>, mut changes: watch::Receiver<()>) {
    loop {
        let Some(strong) = lane.upgrade() else { return };
        take_view(&strong);
        round(&strong);
        if !pace::next(&mut changes, &strong.attend).await {
            return;
        }
    }
}

/// Acts on a view that is new.
fn take_view(lane: &Rc<Lane>) {
    let before = lane.seat.view();
    let view = lane.refresh();
    let same = before.route == view.route && before.process == view.process;
    if same && before.next == view.next && before.cut_sessions == view.cut_sessions {
        return;
    }
    if before.route.target != view.route.target || before.process != view.process {
        lane.witness.dismiss();
    }
    if view.route.mode == Mode::Hold {
        lane.outage.began();
    }
    let next = |view: &View| view.next.as_ref().map(|(target, _)| target.node.clone());
    let target = view.route.target.as_ref().map(|target| target.node.clone());
    if view.next.is_none() {
        lane.for_each(|handle| handle.cool(target.as_ref()));
    } else if next(&before) != next(&view) {
        lane.for_each(|handle| handle.cool(next(&view).as_ref()));
    }
    if view.route.mode != Mode::Hold && before.route.mode == Mode::Hold {
        lane.outage.ended();
    }
    lane.wake_all();
    if view.route.mode != Mode::Hold {
        let longest = lane.unpark();
        if before.route.mode == Mode::Hold {
            let longest_us = u64::try_from(longest.as_micros()).unwrap_or(u64::MAX);
            lane.seat.board.report(Signal::Stalled { worker: lane.seat.worker, epoch: view.route.epoch, longest_us });
        }
    }
}

/// Warms up, answers, counts, and looks at the clock.
fn round(lane: &Rc<Lane>) {
    let view = lane.seat.view();
    let (worker, epoch) = (lane.seat.worker, view.route.epoch);
    if let Some((next, readying)) = &view.next {
        if is_warm(lane, &next.node) {
            lane.seat.board.report(Signal::Warm { worker, epoch });
        }
        if *readying == Readying::HandOver {
            // Nothing is ever pushed to an application of MySQL, so there is nothing to hand over.
            lane.seat.board.report(Signal::HandedOver { worker, epoch });
        }
    }
    if view.route.mode == Mode::Hold {
        let drained = lane.is_drained();
        lane.seat.board.report(if drained {
            Signal::Drained { worker, epoch }
        } else {
            Signal::Held { worker, epoch }
        });
    }
    look_at_transactions(lane, &view);
    run_out(lane, &view);
    lane.publish_counts();
}

/// Opens what is missing on the next node; true when nothing is.
fn is_warm(lane: &Rc<Lane>, node: &NodeAddress) -> bool {
    let mut missing = 0;
    lane.for_each(|handle| {
        if !handle.is_warm(node) {
            missing += 1;
            warm_up(lane, handle, node);
        }
    });
    missing == 0
}

/// Opens a connection for a session on the node that the route will move to, beside the one in use.
fn warm_up(lane: &Rc<Lane>, handle: &Rc<Handle>, node: &NodeAddress) {
    if handle.warming.replace(true) {
        return;
    }
    let (lane, handle, node) = (Rc::clone(lane), Rc::clone(handle), node.clone());
    tokio::task::spawn_local(async move {
        let login = handle.login.borrow().clone();
        match open::open(&lane, &node, &login).await {
            Ok(twin) => handle.set_twin(Some(twin)),
            Err(error) => {
                tracing::debug!(%node, ?error, "no connection could be warmed up");
                sleep(pace::ROUND).await;
            }
        }
        handle.warming.set(false);
        lane.attend.notify_one();
    });
}

/// Tells operators which transactions keep a switch waiting, and ends those that were idle for too long.
fn look_at_transactions(lane: &Lane, view: &View) {
    let limit = view.settings.idle_in_transaction;
    lane.for_each_busy(|handle| {
        if limit.is_some_and(|limit| handle.idle_for().is_some_and(|idle| idle > limit)) {
            tracing::warn!(
                service = %view.settings.name, client = %handle.peer,
                "a session ends because its transaction was idle for longer than idle_in_transaction"
            );
            handle.end(Ending::Idle);
        }
        let Some(open) = handle.busy_for() else { return };
        if view.cut_sessions && view.route.mode == Mode::Hold && open > LONG.min(view.settings.failover.drain_timeout / 2) {
            tracing::info!(client = %handle.peer, "a session is cut because of what is open in it and the operator said so");
            handle.end(Ending::Now);
        }
        if open <= LONG || handle.named.get() {
            return;
        }
        let why = format!("transaction open for {} s", open.as_secs());
        lane.seat.set_stuck(handle.id().into(), Some(StuckSession { client: handle.peer.to_string(), why }));
    });
}

/// When commands have waited for too long, they and those that follow are refused at once.
fn run_out(lane: &Rc<Lane>, view: &View) {
    lane.look_at_outage();
    if lane.is_run_out() && view.route.mode == Mode::Hold && lane.gate() == Gate::Hold {
        lane.set_gate(Gate::Guarded);
        lane.wake_all();
        lane.unpark();
    }
}
