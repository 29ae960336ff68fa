//! The rhythm in which a steward looks at its lane: at once when the board has changed or somebody calls, else in rounds.

use std::time::Duration;
use tokio::{
    select,
    sync::{Notify, watch},
    time::sleep,
};

/// From one look at counts and clocks to the next.
pub const ROUND: Duration = Duration::from_millis(20);

/// Waits for the next look; false when there is no board any more.
pub async fn next(changes: &mut watch::Receiver<()>, attend: &Notify) -> bool {
    let time = async {
        select! {
            () = attend.notified() => {}
            () = sleep(ROUND) => {}
        }
    };
    select! {
        told = changes.changed() => told.is_ok(),
        () = time => true,
    }
}
