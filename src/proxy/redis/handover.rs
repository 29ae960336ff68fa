//! The change of sides of a subscriber: the old node's messages to their end, then the new one's, none twice and none left out.
//!
//! Input: the order to hand over, given when the old node is fenced, keeps `PUBLISH` waiting, and the new one has caught up.
//! Output: [`Ready::HandedOver`]. Nothing is undone when the switch is aborted: the old upstream goes on where it stopped.
//! Never: a word of a client's own, or a blocked command that is given up before the route has moved.

use super::{client::Ready, pinned::Pinned, session::Session};
use std::{
    future::poll_fn,
    task::{Context, Poll},
    time::Duration,
};
use tokio::time::timeout;

/// How long the end of a blocked subscriber's old upstream is awaited after the route has moved: as a rule its node is demoted
/// some milliseconds later.
const END: Duration = Duration::from_secs(1);

/// How far a subscriber's change of sides is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handover {
    /// There is none.
    No,
    /// The upstreams were asked to end their parts.
    Fenced,
    /// They have: neither is read until the route says which of them goes on, but for an old one that is blocked.
    Done,
}

impl Session {
    /// A PING on the old upstream ends what it delivers, one on the new ends what is dropped there. A blocked upstream would
    /// answer none: it is read on instead, until its node is demoted, which ends blocked commands and their connections.
    pub(super) fn hand_over(&mut self) {
        if !self.state.subscribed() {
            self.handed_over();
            return;
        }
        if !self.twin_fits() {
            let Some(node) = self.twin.take().map(|twin| twin.pinned.node) else { return };
            self.client.set_ready(Ready::No);
            self.warm_up(node);
            return;
        }
        if let (Some(pinned), Some(twin)) = (&mut self.pinned, &mut self.twin) {
            twin.pinned.fence();
            if !pinned.is_blocked() {
                pinned.fence();
            }
            self.handover = Handover::Fenced;
        }
    }

    /// Nothing more is owed by the old upstream: a subscriber's is kept all the same, for the case that the switch is aborted.
    fn handed_over(&mut self) {
        if self.handover == Handover::Fenced {
            self.handover = Handover::Done;
        }
        self.client.set_ready(Ready::HandedOver);
        self.lane.attend.notify_one();
    }

    /// Moves bytes on the upstream that is being warmed up; what it delivers is dropped.
    pub(super) fn poll_twin(&mut self, cx: &mut Context<'_>) {
        let Some(twin) = self.twin.as_mut().filter(|_| self.handover != Handover::Done) else { return };
        // Answers to Pointsman's own requests change nothing, so the state is only looked at.
        let ended = twin.pinned.poll_write(cx).is_err()
            | twin.pinned.poll_read(cx, &self.lane, None, &mut self.state).is_ready();
        if ended {
            self.twin = None;
            self.handover = Handover::No;
            self.client.set_ready(Ready::No);
            return;
        }
        if !twin.pinned.queue.is_empty() {
            return;
        }
        if self.client.ready() == Ready::No {
            self.client.set_ready(Ready::Warm);
            self.lane.attend.notify_one();
        }
        // Of a client that doesn't read, the rest of the old messages may still lie in the node.
        let has_read = self.client.waiting() == 0;
        let is_over = |pinned: &Pinned| pinned.queue.is_empty() || (pinned.is_blocked() && has_read);
        if self.handover == Handover::Fenced && self.pinned.as_deref().is_some_and(is_over) {
            self.handed_over();
        }
    }

    /// Reads what is left in the old upstream of a blocked subscriber, until its command or its connection has ended.
    pub(super) async fn read_to_its_end(&mut self) {
        if self.handover != Handover::Done {
            return;
        }
        let Self { pinned: Some(pinned), lane, client, state, .. } = self else { return };
        let end = poll_fn(|cx| {
            let gone = !pinned.is_blocked() || pinned.poll_read(cx, lane, Some(client), state).is_ready();
            if gone || !pinned.is_blocked() { Poll::Ready(()) } else { Poll::Pending }
        });
        // A node that isn't demoted in time has nothing more to say either: it is fenced and PUBLISH is kept waiting.
        let _ = timeout(END, end).await;
    }
}
