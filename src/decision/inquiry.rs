//! What is found about a primary that may be gone, kept until it is written down: why something was done, or nothing.
//!
//! Inputs: verdicts, what standbys say, signs of live traffic. Output: at most one record when a suspicion has lasted for a while and
//! one at its end, with each finding once. It never decides, and its records are bounded in size and number: a primary that
//! fails a probe now and then leaves one a minute, which counts the others.

use super::{Now, evidence::Hears, machine::Machine, pending::Then};
use crate::model::{
    guard::{Guard, Refusal},
    name::NodeAddress,
    record::{Change, Draft, RecordKind},
    signal::Signal,
    suspicion::{Ending, Evidence, Source, Suspicion},
    view::Health,
};
use jiff::Timestamp;
use std::{collections::BTreeMap, time::Duration};

/// So many findings are kept of one suspicion.
const MOST: usize = 48;
/// One that lasts so long is written down before its end.
const LASTS: Duration = Duration::from_secs(2);
/// Between two suspicions that are written down;
const APART: Duration = Duration::from_secs(10);
/// the same of one that ended before the primary was down or anything was done.
const BRIEF_APART: Duration = Duration::from_mins(1);
/// A sign of live traffic belongs to a suspicion that begins within this time.
const FRESH: Duration = Duration::from_secs(2);
/// So many sorts of signs there are.
const SIGNS: usize = 5;

/// What is shown of a primary that isn't well.
#[derive(Debug, Default)]
pub(super) struct Alert {
    /// What is wrong, with its evidence.
    pub(super) words: String,
    /// A standby still hears the primary.
    pub(super) heard: bool,
    /// It was proven gone, before a restart of ours perhaps, and hasn't answered since: its witnesses may be parked now.
    pub(super) proven: bool,
    /// Why nothing was done about it.
    pub(super) refusals: Vec<Refusal>,
    /// The guards that were recorded last.
    pub(super) recorded: Vec<Guard>,
    /// When a failover may be tried again.
    pub(super) again: Duration,
    /// What was found.
    pub(super) inquiry: Inquiry,
}

/// The findings of a suspicion, and what bounds their records.
#[derive(Debug, Default)]
pub(super) struct Inquiry {
    /// The primary, and since when it is suspect.
    of: Option<(NodeAddress, Duration, Timestamp)>,
    /// What isn't written yet.
    found: Vec<Evidence>,
    left_out: u64,
    /// What each said last.
    said: BTreeMap<(Source, String), String>,
    /// Signs of live traffic, with their time.
    signs: Vec<(Duration, Evidence)>,
    /// A part of it is in the journal.
    written: bool,
    /// The primary was down, or something was done.
    serious: bool,
    /// When a record was written last.
    written_at: Option<Duration>,
    /// Suspicions without a record since.
    brief: u64,
}

impl Inquiry {
    /// Notes a finding, unless the same was said last; `sense` is what makes it the same.
    fn note(&mut self, evidence: Evidence, sense: String) {
        let of = if evidence.source == Source::Signal { &evidence.words } else { &evidence.who };
        let key = (evidence.source, of.clone());
        if self.said.get(&key) == Some(&sense) {
            return;
        }
        self.said.insert(key, sense);
        if self.found.len() < MOST {
            self.found.push(evidence);
        } else {
            self.left_out += 1;
        }
    }

    /// Whether a record may be written now.
    fn may_write(&self, apart: Duration, now: Now) -> bool {
        self.written_at.is_none_or(|at| now.mono >= at + apart)
    }

    /// What is to be written, which is forgotten then.
    fn take(&mut self, end: Ending, words: String, now: Now) -> Option<Suspicion> {
        let (node, _, began) = self.of.clone()?;
        self.written_at = Some(now.mono);
        let (evidence, left_out) = (std::mem::take(&mut self.found), std::mem::take(&mut self.left_out));
        let brief = std::mem::take(&mut self.brief);
        Some(Suspicion { node, began, end, words, evidence, left_out, brief })
    }

    /// The next suspicion begins with nothing; how many had no record is kept.
    fn end(&mut self) {
        let (written_at, brief) = (self.written_at, self.brief);
        *self = Self { written_at, brief, ..Self::default() };
    }
}

fn wall(at: Duration, now: Now) -> Timestamp {
    let passed = jiff::SignedDuration::try_from(now.mono.saturating_sub(at)).unwrap_or_default();
    now.wall.checked_sub(passed).unwrap_or(now.wall)
}

impl Machine {
    /// Takes down what is found about the routed primary, which isn't well. `words` is the verdict, `sense` what makes it the same
    /// one as before.
    pub(super) fn inquire(&mut self, words: &str, sense: &str, now: Now) {
        let Some(routed) = self.route.target.as_ref().map(|target| target.node.clone()) else { return };
        if self.alert.inquiry.of.as_ref().is_some_and(|(node, ..)| *node != routed) {
            self.close_inquiry(now);
        }
        let mut inquiry = std::mem::take(&mut self.alert.inquiry);
        if inquiry.of.is_none() {
            self.open(&mut inquiry, &routed, now);
        }
        self.take_statements(&mut inquiry, &routed, now);
        let finding =
            |source, who: &str, words: &str| Evidence { time: now.wall, source, who: who.into(), words: words.into() };
        // What comes before that tells how long it lasts.
        let why = words.split_once("; ").map_or("", |(_, why)| why);
        inquiry.note(finding(Source::Verdict, "pointsman", words), format!("{sense} {why}"));
        if self.shielded.is_some() {
            inquiry.note(finding(Source::Action, "pointsman", "holds requests back"), String::new());
        }
        inquiry.serious |= self.shielded.is_some() || !self.durable.parked.is_empty();
        self.alert.inquiry = inquiry;
        self.write_down(words, now);
    }

    fn open(&self, inquiry: &mut Inquiry, routed: &NodeAddress, now: Now) {
        let since = self.nodes.get(routed).and_then(|node| node.failing_since).unwrap_or(now.mono);
        inquiry.of = Some((routed.clone(), since, wall(since, now)));
        let signs = std::mem::take(&mut inquiry.signs);
        for (_, sign) in signs.into_iter().filter(|(at, _)| *at + FRESH >= since) {
            let sense = sign.words.clone();
            inquiry.note(sign, sense);
        }
        if let Some(began) = inquiry.found.iter().map(|sign| sign.time).min() {
            inquiry.of = Some((routed.clone(), since, began.min(wall(since, now))));
        }
    }

    /// What the primary's probes and its standbys say.
    fn take_statements(&self, inquiry: &mut Inquiry, routed: &NodeAddress, now: Now) {
        let Some(primary) = self.nodes.get(routed) else { return };
        let first = inquiry.said.keys().all(|(source, _)| *source != Source::Probe);
        let since = primary.failing_since.filter(|_| first).unwrap_or(now.mono);
        let trouble = primary.trouble();
        if !trouble.is_empty() {
            let who = routed.to_string();
            let evidence = Evidence { time: wall(since, now), source: Source::Probe, who, words: trouble.clone() };
            inquiry.note(evidence, trouble);
        }
        let fall = self.settings.health.fall;
        if primary.health == Health::Down {
            inquiry.serious = true;
            let words = format!("is down: {fall} probes in a row failed");
            let evidence = Evidence { time: now.wall, source: Source::Verdict, who: routed.to_string(), words };
            inquiry.note(evidence, String::new());
        }
        let refused = matches!(primary.failed(), Some(crate::model::observation::Reach::Refused));
        for (address, node) in self.nodes.iter().filter(|(address, _)| *address != routed) {
            let words = match self.hears(address, node, (routed, primary), refused) {
                Some(Hears::Lost) => "lost its link to the primary".to_owned(),
                Some(Hears::Nothing) => "has heard nothing from the primary for two heartbeats".to_owned(),
                Some(Hears::All) => "hears the primary".to_owned(),
                Some(Hears::Copies) => "copies from the primary, and can't tell".to_owned(),
                Some(Hears::Parked) => "is parked, and can't tell".to_owned(),
                None if node.seen >= since && node.fresh().is_none() => node.trouble(),
                None => continue,
            };
            let evidence = Evidence {
                time: wall(node.seen, now),
                source: Source::Witness,
                who: address.to_string(),
                words: words.clone(),
            };
            inquiry.note(evidence, words);
        }
    }

    /// Live traffic met a node. Of the routed one that is noted, once for each sort.
    pub(super) fn hear(&mut self, signal: &Signal, now: Now) {
        let (node, words) = match signal {
            Signal::Refused(node) => (node, "refused a client's connection"),
            Signal::Reset(node) => (node, "closed a client's connection"),
            Signal::TimedOut(node) => (node, "took no client's connection in time"),
            Signal::WrongRole(node) => (node, "told a client that it takes no writes"),
            Signal::Stranger(node) => (node, "answered as another process than the one that is served"),
            _ => return,
        };
        let endpoint = self.settings.endpoint_of(node).unwrap_or_else(|| node.clone());
        if self.route.target.as_ref().is_none_or(|target| target.node != endpoint) {
            return;
        }
        let sign = Evidence { time: now.wall, source: Source::Signal, who: node.to_string(), words: words.into() };
        let inquiry = &mut self.alert.inquiry;
        if inquiry.of.is_some() {
            return inquiry.note(sign, words.into());
        }
        // The first of each sort, unless that was long ago.
        inquiry.signs.retain(|(at, _)| *at + FRESH >= now.mono);
        if inquiry.signs.len() < SIGNS && inquiry.signs.iter().all(|(_, known)| known.words != words) {
            inquiry.signs.push((now.mono, sign));
        }
    }

    /// One that lasts is written down, so that a crash of ours doesn't lose it.
    fn write_down(&mut self, words: &str, now: Now) {
        let writing = self.is_writing() || self.disk.error.is_some();
        let inquiry = &mut self.alert.inquiry;
        let lasts = inquiry.of.as_ref().is_some_and(|(_, since, _)| now.mono >= *since + LASTS);
        if writing || !lasts || inquiry.written || !inquiry.serious || !inquiry.may_write(APART, now) {
            return;
        }
        inquiry.written = true;
        if let Some(suspicion) = inquiry.take(Ending::Open, words.to_owned(), now) {
            let change = Change::Suspected { suspicion: Box::new(suspicion) };
            let draft = self.draft(RecordKind::Decision, change, "");
            self.write(vec![draft], Then::Nothing);
        }
    }

    /// The primary answers again, or another one is routed: nothing was done, and that is written down.
    pub(super) fn close_inquiry(&mut self, now: Now) {
        let inquiry = &mut self.alert.inquiry;
        let Some((node, since, _)) = inquiry.of.clone() else { return };
        let apart = if inquiry.serious { APART } else { BRIEF_APART };
        let may = inquiry.written || inquiry.may_write(apart, now);
        if !may || self.disk.error.is_some() {
            inquiry.brief += 1;
            return inquiry.end();
        }
        let lasted = now.mono.saturating_sub(since).as_secs_f64();
        let routed = self.route.target.as_ref().is_some_and(|target| target.node == node);
        let what = if routed { "it answers again" } else { "the route left it" };
        let reasons = self.alert.refusals.iter().map(|refusal| refusal.detail.as_str());
        let reasons = std::iter::once(self.alert.words.as_str()).chain(reasons).collect::<Vec<_>>().join("; ");
        let words = format!("{what} after {lasted:.1} s; until then: {reasons}");
        let suspicion = inquiry.take(Ending::Cleared, words, now);
        inquiry.end();
        if let Some(suspicion) = suspicion {
            let change = Change::Suspected { suspicion: Box::new(suspicion) };
            let draft = self.draft(RecordKind::Refusal, change, "");
            self.write(vec![draft], Then::Nothing);
        }
    }

    /// What led to a failover, to be written with its beginning.
    pub(super) fn inquiry_of_failover(&mut self, now: Now) -> Option<Draft> {
        let words = self.alert.words.clone();
        let inquiry = &mut self.alert.inquiry;
        let suspicion = inquiry.take(Ending::Failover, words, now);
        inquiry.end();
        let change = Change::Suspected { suspicion: Box::new(suspicion?) };
        Some(self.draft(RecordKind::Decision, change, ""))
    }
}
