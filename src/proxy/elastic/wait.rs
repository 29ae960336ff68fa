//! Waiting for what a request needs before it can be sent: the route, a connection, a node that takes it.
//!
//! Input: what the lane says is missing. Output: a connection, or what the client is told when the one clock of the outage has run out.
//! Never: a request sent for a client that has gone meanwhile.

use super::{
    ask::Ask,
    cluster::Lease,
    handle::Ending,
    lane::{Lane, Need},
    open,
    session::{Session, Stop},
};
use crate::protocol::elastic::refusal::Refusal;
use std::{
    future::{Future, poll_fn},
    pin::pin,
    rc::Rc,
    task::Poll,
    time::Duration,
};
use tokio::time::sleep;

/// From one attempt at nodes that can't be reached to the next.
const AGAIN: Duration = Duration::from_millis(50);

/// A request that waits in a hold.
struct Held<'a>(&'a Lane);

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.hold(false);
    }
}

impl Session {
    /// Waits for what the request needs before it can be sent.
    pub(super) async fn obtain(&mut self, ask: &mut Ask, mut need: Need) -> Result<Lease, Stop> {
        let lane = Rc::clone(&self.lane);
        let _waiting = lane.outage.wait();
        loop {
            let mut opened = None;
            match need {
                // What may have been executed already wasn't refused.
                Need::Refused(_) if ask.sent && ask.request.changes => return Err(Stop::lost(ask)),
                Need::Refused(refusal) => return Err(Stop::Refuse(refusal)),
                Need::Route => {
                    lane.hold(true);
                    let _held = Held(&lane);
                    self.for_change(ask, lane.patience()).await?;
                }
                Need::Connection(cluster, place) => match open::open(&lane, &cluster, &cluster.nodes[place]).await {
                    Some(fresh) => opened = Some(Lease::new(fresh, cluster, place, true)),
                    None => ask.note_tried(&cluster, place),
                },
                Need::Node(cluster) => {
                    let name = cluster.name.as_str();
                    if ask.cluster.is_some() {
                        return Err(if ask.sent { Stop::lost(ask) } else { Stop::Refuse(Refusal::cursor_gone(name)) });
                    }
                    lane.outage.began();
                    let patience = lane.patience();
                    if patience.is_zero() {
                        return Err(Stop::Refuse(Refusal::not_sent(name)));
                    }
                    ask.forget_tried();
                    self.for_change(ask, patience.min(AGAIN)).await?;
                }
            }
            match lane.admit(ask, opened) {
                Ok(lease) => return Ok(lease),
                Err(other) => need = other,
            }
        }
    }

    /// Waits until the route may have changed, at most so long.
    async fn for_change(&mut self, ask: &Ask, most: Duration) -> Result<(), Stop> {
        let seen = self.lane.version();
        let mut time = pin!(sleep(most));
        poll_fn(|cx| {
            self.handle.register(cx);
            // A client that is gone has asked somebody else by now, maybe: its request must not be executed later. While it still sends, it is there.
            if self.handle.ending() == Ending::Now || ask.left.is_nothing() && self.is_gone(cx) {
                return Poll::Ready(Err(Stop::Cut));
            }
            if self.lane.version() != seen {
                return Poll::Ready(Ok(()));
            }
            time.as_mut().poll(cx).map(Ok)
        })
        .await
    }
}
