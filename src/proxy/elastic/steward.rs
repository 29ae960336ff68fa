//! Carries out on one worker what the board of a service says: hold, warm up, move, release; and keeps its counts.
//!
//! Input: the board's view, the lane's nodes and sessions. Output: orders to sessions by wake-ups, signals to control. It repeats its answers
//! each round until the view changes, so that a lost signal is harmless. Never: a decision.

use super::{cluster::Cluster, lane::Lane, open};
use crate::{
    model::{
        route::{Mode, Readying},
        signal::Signal,
    },
    proxy::pace,
    route::View,
};
use std::{
    rc::{Rc, Weak},
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::watch;

/// From one look at slow clients and unused connections to the next.
const SECOND: Duration = Duration::from_secs(1);
/// Connections that are opened to each node of the next cluster: as many as the routed one has requests in flight, within these.
const WARM: (usize, usize) = (2, 32);

/// Follows the lane's board for as long as the lane lives.
pub fn follow(lane: &Rc<Lane>) {
    tokio::task::spawn_local(run(Rc::downgrade(lane), lane.seat.board.changes()));
}

async fn run(lane: Weak<Lane>, mut changes: watch::Receiver<()>) {
    let mut ticked = Instant::now();
    loop {
        let Some(strong) = lane.upgrade() else { return };
        take_view(&strong);
        round(&strong);
        if ticked.elapsed() >= SECOND {
            ticked = Instant::now();
            strong.tick();
            strong.for_each_node(|_, node| node.tidy(ticked));
        }
        if !pace::next(&mut changes, &strong.attend).await {
            return;
        }
    }
}

/// Acts on a view that is new.
fn take_view(lane: &Rc<Lane>) {
    let before = lane.seat.view();
    if Arc::ptr_eq(&before, &lane.seat.board.view()) {
        return;
    }
    let view = lane.refresh();
    let holds = |view: &View| view.route.mode == Mode::Hold;
    if before.route == view.route {
        return;
    }
    if holds(&view) {
        lane.outage.began();
    } else if holds(&before) {
        lane.outage.ended();
        let longest_us = u64::try_from(lane.release().as_micros()).unwrap_or(u64::MAX);
        lane.seat.board.report(Signal::Stalled { worker: lane.seat.worker, epoch: view.route.epoch, longest_us });
    }
    lane.wake_all();
}

/// Warms up, answers, counts, and gives nodes up that are gone.
fn round(lane: &Rc<Lane>) {
    let view = lane.seat.view();
    let (worker, epoch) = (lane.seat.worker, view.route.epoch);
    if let Some((_, readying)) = &view.next {
        if lane.next().is_none_or(|next| is_warm(lane, &next)) {
            lane.seat.board.report(Signal::Warm { worker, epoch });
        }
        if *readying == Readying::HandOver {
            // Nothing is ever pushed to a client, so there is nothing to hand over.
            lane.seat.board.report(Signal::HandedOver { worker, epoch });
        }
    }
    if view.route.mode == Mode::Hold {
        // Nothing begins any more; what is in flight ends where it is, which harms nobody: the clusters are independent.
        lane.seat.board.report(Signal::Drained { worker, epoch });
    }
    let (window, routed) = (view.settings.health.hang_window, lane.routed());
    let mut changed = false;
    lane.for_each_node(|cluster, node| {
        let left = routed.as_ref().is_some_and(|routed| !Rc::ptr_eq(routed, cluster));
        changed |= node.look(window, left);
    });
    if changed {
        lane.wake_all();
    }
    lane.publish_counts();
}

/// Opens what is missing to the nodes of the next cluster. True when nothing is, to those that can be reached.
fn is_warm(lane: &Rc<Lane>, next: &Rc<Cluster>) -> bool {
    let busy: usize = lane.routed().map_or(0, |routed| routed.nodes.iter().map(|node| node.busy()).sum());
    let wanted = busy.div_ceil(next.nodes.len().max(1)).clamp(WARM.0, WARM.1);
    let (mut warm, mut waiting) = (false, false);
    for (place, node) in next.nodes.iter().enumerate() {
        if node.kept() >= WARM.0 && !node.warming.get() {
            warm = true;
        } else if node.is_well() {
            waiting = true;
            if !node.warming.replace(true) {
                open::warm_up(lane, next, place, wanted);
            }
        }
    }
    warm && !waiting
}
