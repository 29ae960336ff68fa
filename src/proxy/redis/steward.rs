//! Carries out on one worker what the board of a service says, and keeps its counts.

use super::lane::{Gate, Lane};
use std::{
    rc::{Rc, Weak},
    time::Duration,
};
use tokio::{select, time::sleep};

/// From one look at counts and clocks to the next.
const ROUND: Duration = Duration::from_millis(20);

/// Follows the lane's board for as long as the lane lives.
pub fn follow(lane: &Rc<Lane>) {
    tokio::task::spawn_local(run(Rc::downgrade(lane)));
}

async fn run(lane: Weak<Lane>) {
    let Some(mut changes) = lane.upgrade().map(|lane| lane.board.changes()) else { return };
    loop {
        let Some(strong) = lane.upgrade() else { return };
        look(&strong);
        drop(strong);
        select! {
            changed = changes.changed() => if changed.is_err() { return },
            () = sleep(ROUND) => {}
        }
    }
}

fn look(lane: &Rc<Lane>) {
    let before = lane.view();
    let view = lane.refresh();
    if before.route != view.route {
        for shared in lane.shared.borrow().iter() {
            shared.kick.notify_waiters();
        }
    }
    if lane.gate() != Gate::Hold {
        lane.unpark();
    }
    lane.publish_counts();
}
