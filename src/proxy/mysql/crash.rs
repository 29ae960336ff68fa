//! What becomes of a session whose connection to the node broke.
//!
//! Input: a loss, and what was under way. Output: the command is sent again, or the application is told what is known of it: that its
//! transaction is gone, or that nobody knows. Never: a second execution of anything that may have been executed.

use super::{
    plan::{DOOMED, Retry},
    session::{Need, Phase, Session},
    wait,
};
use crate::{model::signal::Signal, protocol::mysql::error, proxy::counters::Outcome};
use std::sync::atomic::Ordering::Relaxed;

/// What the application is told that can't know whether its command was executed.
const UNKNOWN: &str = "pointsman: the connection to the node was lost, the outcome is unknown";

impl Session {
    /// Lets go of the connection to the node.
    pub(super) fn drop_backend(&mut self) {
        self.backend = None;
        self.handle.seat.borrow().thread.at_node.store(0, Relaxed);
        self.tail.clear();
        self.to_node.clear();
        self.state.forget_backend();
    }

    /// The connection broke with nothing under way, or the route has left it. Says what is needed now, if anything.
    pub(super) fn lost_idle(&mut self) -> Option<Need> {
        if let Some(backend) = &self.backend
            && self.lane.seat.leads_to(&backend.node)
        {
            self.lane.seat.report(Signal::Reset, &backend.node);
        }
        // What is open on the connection is forgotten with it, and is missed all the same.
        let survives = self.state.survives();
        self.drop_backend();
        if self.is_killed() || !survives {
            tracing::debug!(peer = %self.handle.peer, "a session ends with its node");
            return Some(Need::End);
        }
        self.state.transaction_lost();
        self.tell_lane();
        None
    }

    /// The connection broke with a command in flight. Returns false if the session ends without a word.
    pub(super) fn lost(&mut self) -> bool {
        let phase = std::mem::replace(&mut self.phase, Phase::Idle);
        if let Some(backend) = &self.backend
            && self.lane.seat.leads_to(&backend.node)
        {
            self.lane.seat.report(Signal::Reset, &backend.node);
            self.lane.outage.began();
        }
        let survives = self.state.survives() && !self.is_killed();
        self.drop_backend();
        let kept = std::mem::take(&mut self.kept);
        let answering = match phase {
            Phase::Answer(answering) => Some(answering),
            // A command that isn't wholly sent isn't executed; but the rest of it can't be told from the next one any more.
            Phase::Request { ended: true, answer, .. } => answer,
            Phase::Idle | Phase::Request { .. } | Phase::File(..) => None,
        };
        let go_on = match answering {
            Some(answering) if !answering.delivered && survives => match answering.retry {
                Retry::Reads if !kept.is_empty() => {
                    self.lane.counters.count(Outcome::Retried, 1);
                    self.inbox.splice(..0, kept.iter().copied());
                    true
                }
                Retry::InTransaction => {
                    self.state.transaction_lost();
                    self.state.take_doomed();
                    self.refuse(error::DEADLOCK, DOOMED);
                    true
                }
                Retry::Reads | Retry::Never => {
                    self.cut(UNKNOWN);
                    true
                }
            },
            Some(answering) if !answering.delivered => {
                self.cut(UNKNOWN);
                true
            }
            // Half of an answer is out, or of a command in: nothing that could follow would make sense.
            _ => {
                self.lane.counters.count(Outcome::Unknown, 1);
                self.ending = true;
                true
            }
        };
        self.lane.desk.pool.give(kept);
        self.idle_again();
        go_on
    }

    /// The node refused the command for its role or state, and executed nothing of it: it is sent again when the route may have moved.
    pub(super) async fn again_elsewhere(&mut self) -> bool {
        let kept = std::mem::take(&mut self.kept);
        self.inbox.splice(..0, kept.iter().copied());
        self.lane.desk.pool.give(kept);
        self.tail.clear();
        self.lane.counters.count(Outcome::Retried, 1);
        self.idle_again();
        if self.lane.version() == self.seen {
            wait::for_change(&self.lane).await;
        }
        true
    }
}
