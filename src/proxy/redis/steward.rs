//! Carries out on one worker what the board of a service says: hold, warm up, hand over, move, release; and keeps its counts.
//!
//! Input: the board's view, and the lane's sessions and upstreams. Output: orders to them by wake-ups, signals to control. It
//! repeats its answers each round until the view changes, so that a lost signal is harmless. Never: a decision.

use super::{
    client::Ready,
    idle,
    join::are_writes_stopped,
    lane::{Gate, Lane},
    warm,
};
use crate::{
    model::{
        name::NodeAddress,
        route::{Mode, Readying},
        signal::Signal,
    },
    proxy::pace,
    route::View,
};
use std::{
    rc::{Rc, Weak},
    time::Duration,
};
use tokio::sync::watch;

/// Follows the lane's board for as long as the lane lives.
pub fn follow(lane: &Rc<Lane>) {
    tokio::task::spawn_local(run(Rc::downgrade(lane), lane.seat.board.changes()));
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
    if view.route.mode == Mode::Hold {
        lane.outage_began();
    }
    let target = |view: &View| view.route.target.as_ref().map(|target| target.node.clone());
    let moved = target(&before) != target(&view) || before.process != view.process;
    if moved || before.route.mode == Mode::Closed {
        for shared in lane.shared.borrow().iter() {
            // At once, and not when its driver has its turn: sessions are let go below.
            shared.freeze();
            shared.kick.notify_waiters();
        }
        lane.spares.sweep(target(&view).as_ref());
    }
    if target(&before).is_some() && target(&before) != target(&view) {
        lane.moved();
    }
    let next = |view: &View| view.next.as_ref().map(|(target, _)| target.node.clone());
    if next(&before) != next(&view) {
        // What was ready for another move says nothing about this one.
        lane.pinned.borrow().values().for_each(|client| client.set_ready(Ready::No));
    }
    if view.next.is_none() {
        for shared in lane.shared.borrow().iter() {
            shared.cool(target(&view).as_ref());
        }
    }
    lane.changed.notify_waiters();
    lane.wake_pinned();
    if view.route.mode != Mode::Hold {
        let longest = lane.unpark();
        if before.route.mode == Mode::Hold {
            let longest_us = u64::try_from(longest.as_micros()).unwrap_or(u64::MAX);
            lane.seat.board.report(Signal::Stalled { worker: lane.seat.worker, epoch: view.route.epoch, longest_us });
        }
        if lane.shared.borrow().iter().all(|shared| shared.is_up()) {
            lane.outage_ended();
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
        if *readying == Readying::HandOver && lane.lagging(Ready::HandedOver) == 0 {
            lane.seat.board.report(Signal::HandedOver { worker, epoch });
        }
    }
    if view.route.mode == Mode::Hold {
        let drained = lane.in_flight() == 0;
        lane.seat.board.report(if drained {
            Signal::Drained { worker, epoch }
        } else {
            Signal::Held { worker, epoch }
        });
    }
    run_out(lane, &view);
    // Behind it: what is given up here is down by the next round, and not taken to be well again before.
    give_up_silent(lane, &view);
    lane.writes_stopped.set(are_writes_stopped(lane));
    lane.spares.sweep(None);
    idle::retire_idle(lane);
    lane.backlog.sweep(view.settings.client_buffer);
    lane.publish_counts();
}

/// Opens what is missing on the next node; true when nothing is.
fn is_warm(lane: &Rc<Lane>, node: &NodeAddress) -> bool {
    let shared: Vec<_> = lane.shared.borrow().iter().map(Rc::clone).collect();
    for one in &shared {
        warm::warm_up(lane, one, node);
    }
    shared.iter().all(|one| one.is_warm(node)) && lane.lagging(Ready::Warm) == 0
}

/// Gives up connections whose server takes requests and says nothing: as hung after `hang_window`, and then no request waits
/// longer than `hold_timeout`. Blocked readers are left to keep-alive.
fn give_up_silent(lane: &Rc<Lane>, view: &View) {
    let now = lane.turn.tick();
    let (window, limit) = (view.settings.health.hang_window, view.settings.failover.hold_timeout);
    let pause_over = lane.seat.board.pause.over_for();
    let over = |silent: Duration| {
        // A node that was told to keep writes waiting doesn't hang.
        let over = silent.min(pause_over) > window + limit;
        if over {
            lane.outage_began_before(silent.saturating_sub(window));
        }
        over
    };
    lane.shared
        .borrow()
        .iter()
        .filter(|shared| over(shared.silent_for(now)))
        .for_each(|one| one.given_up.notify_waiters());
    for client in lane.pinned.borrow().values().filter(|client| client.waiting() == 0) {
        let silent = client.pinned_silent().map_or(0, |since| now.wrapping_sub(since));
        if over(Duration::from_micros(silent.into())) {
            client.give_pinned_up();
        }
    }
}

/// When requests have waited for too long, they and those that follow are refused at once.
fn run_out(lane: &Rc<Lane>, view: &View) {
    let limit = view.settings.failover.hold_timeout;
    let over = lane.outage().is_some_and(|outage| outage > limit);
    // Nothing below opens or ends an upstream: tasks do, and they have their turn later.
    let shared = lane.shared.borrow();
    shared.iter().for_each(|shared| shared.look_after(lane, over));
    if !over {
        return;
    }
    if view.route.mode != Mode::Hold && !lane.is_wrong_role() && shared.iter().all(|shared| shared.is_up()) {
        lane.outage_ended();
        return;
    }
    if view.route.mode == Mode::Hold && lane.gate() == Gate::Hold {
        lane.set_gate(Gate::Guarded);
        lane.changed.notify_waiters();
        lane.wake_pinned();
        lane.unpark();
    }
    let text = format!(
        "ERR pointsman: no node of service {} could be reached for longer than {} ms (hold_timeout)",
        view.settings.name,
        limit.as_millis()
    );
    for shared in shared.iter().filter(|shared| !shared.is_up()) {
        shared.refuse_waiting(lane, &text);
    }
}
