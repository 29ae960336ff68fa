//! Waiting for the route, within the one clock of an outage; and what an application is told when that has run out.

use super::{lane::Lane, manners::Manners, open};
use crate::model::route::Mode;
use std::{rc::Rc, time::Duration};
use tokio::time::timeout;

/// From one attempt at a node that can't be reached to the next.
const AGAIN: Duration = Duration::from_millis(50);

/// How the routed node greets; asks it if nobody knows yet. Nothing if it can't be reached for as long as requests may wait.
pub async fn for_manners(lane: &Rc<Lane>) -> Option<Rc<Manners>> {
    loop {
        if let Some(manners) = lane.manners() {
            return Some(manners);
        }
        if lane.seat.mode() == Mode::Closed || lane.is_run_out() {
            return None;
        }
        match lane.seat.target() {
            Some(target) if open::introduce(lane, &target.node).await => {}
            _ => {
                lane.outage.began();
                for_change(lane).await;
            }
        }
    }
}

/// Waits until the route may have changed, or it is time to try again.
pub async fn for_change(lane: &Lane) {
    // Running into the limit is as good a reason to look again as a change.
    let _ = timeout(AGAIN, lane.changed.notified()).await;
}

/// Why a command or a login is refused, in words for the application.
pub fn excuse(lane: &Lane) -> String {
    let settings = lane.seat.settings();
    if lane.seat.mode() == Mode::Closed {
        return format!("pointsman: service {} is closed", settings.name);
    }
    format!(
        "pointsman: no node of service {} could be reached for longer than {} ms (hold_timeout)",
        settings.name,
        settings.failover.hold_timeout.as_millis()
    )
}
