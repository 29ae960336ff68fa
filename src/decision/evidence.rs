//! What proves that the routed primary is gone, and what doesn't.
//!
//! Inputs: what probes found at the primary and at its standbys. Output: a verdict, with its evidence in words. What a failed
//! probe proves differs: *refused* (the host is up and nobody listens), *silent* (a hang, or a long script), *unreachable*
//! (the path is broken, and whose is unknown). None of them stands alone: a standby must have lost the primary too, and
//! one that still hears it is a veto. It never acts.

use super::{Now, health::NodeState, machine::Machine};
use crate::{
    config::{Replication, SecondOpinion},
    model::{
        name::NodeAddress,
        observation::{Answer, Part, Reach, SelfFence},
        state::Silenced,
        view::Health,
    },
};
use std::time::Duration;

/// How long an idle primary may say nothing where it doesn't tell: Redis's default ping period.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// How a primary is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// Nobody listens: it can't take writes from anybody.
    Refused,
    /// It hangs or can't be reached: others may still write there, now or when it wakes.
    Silent,
    /// It came back without the data that was served, and answers.
    Replaced,
}

/// What is known of the routed primary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It answers.
    Well,
    /// Something is wrong and nothing is proven.
    Suspect {
        /// What, and what is missing for a proof.
        words: String,
        /// Nobody listens at its address.
        refused: bool,
        /// What its standbys hear of it.
        hearing: Hearing,
    },
    /// It is gone.
    Dead {
        /// How.
        cause: Cause,
        /// The evidence.
        words: String,
    },
}

/// What the standbys of a suspect hear of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hearing {
    /// One hears it: the path from here is broken.
    Heard,
    /// One has heard nothing for two heartbeats, and none hears it.
    Unheard,
    /// None can tell, or they weren't asked yet.
    Untold,
}

/// What the standbys say of the primary.
enum Opinion {
    /// One lost its link to it.
    Lost(String),
    /// One has heard nothing for two heartbeats.
    Unheard(String),
    /// One hears it.
    Heard(String),
    /// None of them can tell.
    None,
}

/// What one standby says of the primary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hears {
    /// It lost its link to it.
    Lost,
    /// It has heard nothing for two heartbeats.
    Nothing,
    /// It hears it.
    All,
    /// It copies from it, and had no link to lose.
    Copies,
    /// It is parked and can't tell.
    Parked,
}

impl Machine {
    /// What is known of the routed primary now.
    pub(super) fn verdict(&self, now: Now) -> Verdict {
        let Some(target) = &self.route.target else { return Verdict::Well };
        let Some((address, node)) = self.nodes.get_key_value(&target.node) else {
            // A reload took it out of the list, and nobody asks it any more. Whatever was found before that still holds: a standby
            // that is parked would copy what the primary came back with.
            let words = format!("{} is routed and not configured: it isn't asked", target.node);
            return Verdict::Suspect { words, refused: false, hearing: Hearing::Untold };
        };
        let suspect = |words: String| Verdict::Suspect { words, refused: false, hearing: Hearing::Untold };
        let Some(reach) = node.failed() else {
            return match (&self.strange, node.fresh()) {
                // It loads, as a process that just started does, and may have little to load.
                (_, None) => {
                    let words = format!("{address} {}", node.failure(now.mono));
                    Verdict::Suspect { words, refused: true, hearing: Hearing::Untold }
                }
                (Some(strange), _) => Verdict::Dead { cause: Cause::Replaced, words: strange.text.clone() },
                (None, Some(answer)) if self.is_judging(answer) => Verdict::Suspect {
                    words: format!("{address} restarted: what it holds is compared"),
                    refused: true,
                    hearing: Hearing::Untold,
                },
                (None, _) => Verdict::Well,
            };
        };
        let failure = format!("{address} {}", node.failure(now.mono));
        match reach {
            Reach::Refused => self.judge(address, node, Cause::Refused, failure, now),
            Reach::Silent | Reach::Unreachable(_) => self.judge(address, node, Cause::Silent, failure, now),
            Reach::Rejected(_) | Reach::Answered(_) => suspect(failure),
        }
    }

    /// The process that answers as the routed primary isn't known to hold what was served.
    fn is_judging(&self, answer: &Answer) -> bool {
        let judged = self.served.as_ref().is_some_and(|served| served.run_id == answer.run_id);
        self.managed() && matches!(answer.part, Part::Primary { .. }) && !judged
    }

    fn judge(&self, address: &NodeAddress, node: &NodeState, cause: Cause, failure: String, now: Now) -> Verdict {
        let refused = cause == Cause::Refused;
        let suspect = |why: &str, hearing| Verdict::Suspect { words: format!("{failure}; {why}"), refused, hearing };
        if node.health != Health::Down {
            return Verdict::Suspect { words: failure, refused, hearing: Hearing::Untold };
        }
        let failing = node.failing_since.map_or(Duration::ZERO, |since| now.mono.saturating_sub(since));
        let hung = failing >= self.settings.health.hang_window;
        // Independent clusters have no standby that could be asked. One node that answers keeps a whole cluster alive, so that silence of
        // all of them is proof enough.
        let independent =
            self.settings.replication == Replication::None && (refused || self.settings.serves_as_whole());
        let alone = independent || self.settings.health.second_opinion == SecondOpinion::None;
        if alone {
            return if refused || hung {
                Verdict::Dead { cause, words: failure }
            } else {
                suspect("not yet for hang_window", Hearing::Untold)
            };
        }
        match self.opinion(address, node, refused) {
            Opinion::Heard(who) => suspect(&format!("{who} hears it: the path from here is broken"), Hearing::Heard),
            Opinion::Lost(who) => Verdict::Dead { cause, words: format!("{failure}; {who} lost its link to it") },
            Opinion::Unheard(who) if hung => {
                Verdict::Dead { cause, words: format!("{failure}; {who} has heard nothing from it either") }
            }
            Opinion::Unheard(_) => suspect("silence counts as a hang after hang_window", Hearing::Unheard),
            // The standbys that said so are parked since, so that it fences itself.
            Opinion::None if hung && self.alert.proven => {
                Verdict::Dead { cause, words: format!("{failure}; its standbys had lost it too, and are parked") }
            }
            Opinion::None => suspect("no standby can confirm that it is gone", Hearing::Untold),
        }
    }

    /// What the standbys of `primary` say of it, as of after its first failed probe.
    fn opinion(&self, primary: &NodeAddress, state: &NodeState, refused: bool) -> Opinion {
        let mut opinion = Opinion::None;
        for (address, node) in self.nodes.iter().filter(|(address, _)| *address != primary) {
            match self.hears(address, node, (primary, state), refused) {
                Some(Hears::Lost) => opinion = Opinion::Lost(address.to_string()),
                Some(Hears::Nothing) if !matches!(opinion, Opinion::Lost(_)) => {
                    opinion = Opinion::Unheard(address.to_string());
                }
                Some(Hears::All) => return Opinion::Heard(address.to_string()),
                Some(Hears::Nothing | Hears::Copies | Hears::Parked) | None => {}
            }
        }
        opinion
    }

    /// What one node says of the primary; nothing where it is no standby of it, or wasn't asked since.
    pub(super) fn hears(
        &self,
        address: &NodeAddress,
        node: &NodeState,
        (primary, state): (&NodeAddress, &NodeState),
        refused: bool,
    ) -> Option<Hears> {
        let since = state.failing_since.unwrap_or_default();
        let answer = node.fresh().filter(|_| node.seen >= since)?;
        let Part::Standby { link_up, silent_for, syncing, .. } = &answer.part else { return None };
        if self.is_parked(address, answer) {
            // Those that had lost their link to the primary when they were parked are recorded. That says nothing of a path,
            // and nothing against a standby that hears the primary.
            let lost = refused && self.durable.parked.contains_key(address);
            return Some(if lost { Hears::Lost } else { Hears::Parked });
        }
        if !self.follows(answer, primary) {
            return None;
        }
        // Whose setting it is depends on the store: the primary's (Redis), or that of each standby (MySQL).
        let heartbeat = state.answer.as_ref().and_then(|answer| answer.heartbeat);
        let heartbeat = heartbeat.or(answer.heartbeat).unwrap_or(HEARTBEAT);
        Some(match (link_up, silent_for) {
            // It had no link to lose yet, and is being served by the primary.
            (false, _) if *syncing => Hears::Copies,
            // Of one that hangs a standby that had lost its link before, and has tried in vain since, is no quicker proof than silence.
            (false, _) if refused || node.link_lost.is_some_and(|lost| lost >= state.asked) => Hears::Lost,
            (false, _) => Hears::Nothing,
            // Redis counts whole seconds, so that a second of silence may be told as two.
            (true, Some(silent)) if *silent > heartbeat * 2 => Hears::Nothing,
            (true, _) => Hears::All,
        })
    }

    /// How the silent primary stops by itself: by its last answer, else by what a restart of ours was left by the journal.
    pub(super) fn silence_of(&self, address: &NodeAddress, node: &NodeState) -> Option<Silenced> {
        let Some(answer) = &node.answer else {
            return self.durable.silenced.clone().filter(|silenced| silenced.node == *address);
        };
        let SelfFence { standbys, lag } = answer.self_fence?;
        let attached = match &answer.part {
            Part::Primary { standbys } => standbys.len() as u64,
            Part::Standby { .. } => 0,
        };
        let (node, received, lag_seconds) = (address.clone(), answer.received, lag.as_secs());
        Some(Silenced { node, attached, standbys, lag_seconds, received })
    }

    /// Whether the silent primary has stopped by itself: too few standbys are left that acknowledge anything to it, for its
    /// lag limit. Otherwise when it will have, in words.
    pub(super) fn fences_itself(&self, now: Now) -> Result<(), String> {
        let Some((address, node)) = self.route.target.as_ref().and_then(|to| self.nodes.get_key_value(&to.node)) else {
            return Err("no primary is known".into());
        };
        let Some(Silenced { attached, standbys, lag_seconds, .. }) = self.silence_of(address, node) else {
            return Err(format!(
                "{address} can't be fenced and doesn't stop by itself (it needs no standby to take writes): others may still \
                 write there; `failover.unfenced = \"promote\"` accepts that"
            ));
        };
        let cut = self.durable.parked.keys().filter_map(|node| self.parked_since.get(node));
        let mut cut: Vec<Duration> = cut.copied().collect();
        cut.sort_unstable();
        // So many must be cut off that fewer are left than it needs.
        let needed = usize::try_from((attached + 1).saturating_sub(standbys)).unwrap_or(usize::MAX);
        let Some(since) = needed.checked_sub(1).map_or(Some(Duration::ZERO), |last| cut.get(last).copied()) else {
            return Err(format!("{address} may still have {standbys} standbys that keep it writable"));
        };
        let left = (since + Duration::from_secs(lag_seconds)).saturating_sub(now.mono);
        if left.is_zero() {
            Ok(())
        } else {
            Err(format!("{address} stops by itself within {:.1} s", left.as_secs_f64()))
        }
    }
}
