//! Moves a pinned session to another node: with what it has warmed up there, or with a new upstream after a loss.
//!
//! Input: the lane's view, the session's state, what was unanswered. Output: the session on an upstream of the new node, in the
//! same state; the client notices nothing but time, a lost race (WATCH) or an honest error. Never: a move on a guess.

use super::{
    ask::{Answer, Ask},
    client::Ready,
    handover::Handover,
    lane::Gate,
    open::{Proof, open},
    pinned::{Pinned, Twin},
    resend::{Left, Race, Sorted, race, sort},
    script::Script,
    session::Session,
};
use crate::{
    model::{
        name::NodeAddress,
        route::{Mode, Readying},
    },
    protocol::redis::{
        Protocol,
        command::{Remaining, Retry, block_timeout, rewrite_timeout},
        reply,
        session::Change,
    },
    proxy::counters::Outcome,
};
use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    time::{Duration, Instant},
};
use tokio::time::{sleep, timeout};

/// What clients are told whose request may or may not have run.
pub const LOST: &str = "connection to the node was lost, the outcome is unknown";

/// What takes EXEC's place when the race is lost.
pub const DISCARD: &[u8] = b"*1\r\n$7\r\nDISCARD\r\n";

/// How long after a failure a twin is tried again.
const WARM_AGAIN: Duration = Duration::from_millis(100);
/// How long after a refusal the same node is asked again.
const ROLE_AGAIN: Duration = Duration::from_millis(100);
/// Losses closer to each other than this are paced.
const OFTEN: Duration = Duration::from_secs(1);

/// A twin that is being opened.
pub(super) struct Warming {
    node: NodeAddress,
    twin: RefCell<Option<Box<Twin>>>,
    ended: Cell<Option<Instant>>,
}

impl Session {
    /// What the lane's view asks of a session with an upstream of its own.
    pub(super) fn wants_move(&mut self) -> Option<Move> {
        let pinned = self.pinned.as_ref()?;
        let view = self.lane.seat.view();
        if view.route.mode == Mode::Hold && view.cut_sessions && self.is_stuck() && pinned.in_flight() == 0 {
            return Some(Move::Cut);
        }
        // A change of sides ends with the switch that it was for, even if another one was ordered meanwhile.
        let sides = self.handover != Handover::No;
        let readied = view.next.as_ref().is_some_and(|(_, readying)| !sides || *readying == Readying::HandOver);
        let arriving = view.route.target.as_ref().is_some_and(|to| self.twin_is_on(&to.node));
        if !readied && !arriving && (self.twin.is_some() || self.warming.is_some()) {
            self.stay();
        }
        let pinned = self.pinned.as_ref()?;
        if let Some((next, readying)) = view.next.as_ref().filter(|(next, _)| next.node != pinned.node) {
            let fits = self.twin.as_ref().is_some_and(|twin| twin.pinned.node == next.node);
            if !fits && !self.is_warming(&next.node) {
                return Some(Move::WarmUp(next.node.clone()));
            }
            let warm = fits && self.client.ready() == Ready::Warm && pinned.in_flight() == 0;
            if *readying == Readying::HandOver && warm && self.handover == Handover::No {
                return Some(Move::HandOver);
            }
        }
        let open = matches!(view.route.mode, Mode::Open | Mode::ReadOnly);
        let elsewhere = view.route.target.is_some() && !self.lane.leads_to(&pinned.node, pinned.process.as_deref());
        (open && elsewhere && pinned.in_flight() == 0).then_some(Move::Go)
    }

    /// Forgets what was ready for a move; a subscriber's upstream goes on where it stopped.
    fn stay(&mut self) {
        self.twin = None;
        self.warming = None;
        self.handover = Handover::No;
        self.client.set_ready(Ready::No);
        self.client.wake();
    }

    fn twin_is_on(&self, node: &NodeAddress) -> bool {
        self.twin.as_ref().is_some_and(|twin| twin.pinned.node == *node)
    }

    pub(super) async fn make(&mut self, step: Move) {
        match step {
            Move::WarmUp(node) => self.warm_up(node),
            Move::HandOver => self.hand_over(),
            Move::Go => {
                self.read_to_its_end().await;
                self.relocate(false).await;
            }
            Move::Cut => {
                self.client.close();
                // Without it nothing more is asked of this session, and no switch waits for it.
                self.forget_pinned();
            }
        }
    }

    /// Has an upstream opened on the next node, in this session's state, by a task of its own: a node that doesn't answer must
    /// not keep this session from its work.
    pub(super) fn warm_up(&mut self, node: NodeAddress) {
        let script = Script::of(self);
        let monitoring = self.state.monitoring();
        let warming = Rc::new(Warming { node: node.clone(), twin: RefCell::default(), ended: Cell::new(None) });
        self.warming = Some(Rc::clone(&warming));
        let (lane, client) = (Rc::clone(&self.lane), Rc::clone(&self.client));
        tokio::task::spawn_local(async move {
            let (login, replies) = (script.login(), script.replies);
            if let Ok(upstream) = open(&lane, &node, login, replies, replies, Proof::Process).await {
                let mut pinned = Pinned::new(upstream, node);
                script.play(&mut pinned, monitoring);
                *warming.twin.borrow_mut() = Some(Box::new(Twin { pinned, bytes: script.bytes.into() }));
            }
            warming.ended.set(Some(Instant::now()));
            client.wake();
        });
    }

    /// Takes the twin when it has been opened.
    pub(super) fn collect_twin(&mut self) {
        if let Some(twin) = self.warming.as_ref().and_then(|warming| warming.twin.take()) {
            self.warming = None;
            self.twin = Some(twin);
            self.client.set_ready(Ready::No);
        }
    }

    /// True when a twin is being opened there, or failed to be a moment ago.
    fn is_warming(&self, node: &NodeAddress) -> bool {
        self.warming.as_ref().is_some_and(|warming| {
            warming.node == *node && warming.ended.get().is_none_or(|ended| ended.elapsed() < WARM_AGAIN)
        })
    }

    /// True when the twin was given the state that the session has now.
    pub(super) fn twin_fits(&self) -> bool {
        self.twin.as_ref().is_some_and(|twin| *twin.bytes == *Script::of(self).bytes)
    }

    /// Goes on with an upstream on the route's node, as soon as there is one, after a move or a loss.
    /// After a move nothing was under way, so that a blocked pop has taken nothing.
    pub(super) async fn relocate(&mut self, lost: bool) {
        // A transaction too large to be kept is told below.
        let stuck = self.is_stuck() && self.state.queued().is_some();
        let Some(mut old) = self.pinned.take() else { return };
        self.handover = Handover::No;
        // Nothing of it holds a switch up while it is on its way.
        self.client.set_ready(Ready::HandedOver);
        self.client.set_pinned_in_flight(0);
        if self.relocated.replace(Instant::now()).is_some_and(|before| before.elapsed() < OFTEN) {
            sleep(super::act::PAUSE).await;
        }
        if old.is_cut() || self.is_streaming() || stuck {
            self.client.close();
            return;
        }
        if self.break_redirect() {
            self.client.end();
            return;
        }
        let asks = self.unanswered(&mut old).await;
        let mut asks = self.sort(asks, lost);
        if self.client.is_ending() {
            return;
        }
        if self.state.in_multi() && self.state.queued().is_none() {
            self.client.say(|out| reply::refusal(out, LOST));
            self.client.end();
            return;
        }
        let Some(mut pinned) = self.arrive().await else { return };
        if self.state.watching() {
            self.lose_watch(&mut asks);
        }
        if self.state.in_multi() {
            self.requeue(&mut pinned);
        }
        for (request, ask) in asks {
            pinned.queue.push(&request, ask);
        }
        if self.state.hears_invalidations() {
            let protocol = self.state.protocol();
            self.client.say(|out| reply::invalidate_all(out, protocol));
            self.client.flush();
        }
        pinned.forever = old.forever;
        pinned.doubtful = old.doubtful;
        self.pinned = Some(pinned);
        self.client.set_ready(Ready::No);
    }

    /// What the old upstream leaves unanswered, each with whether it may have run. What was refused is among it if the time for that
    /// has not run out and nothing was sent behind it.
    async fn unanswered(&mut self, old: &mut Pinned) -> Vec<Left> {
        let asks: Vec<_> = old.queue.take_all().collect();
        if old.refused.is_empty() {
            return asks;
        }
        if asks.is_empty() && self.wait_for_role(&old.node).await {
            // Proven not to have run: as good as never sent.
            return old.refused.drain(..).map(|refusal| (refusal.request, false, refusal.ask)).collect();
        }
        let in_multi = self.state.in_multi();
        old.deliver_refusals(Some(&self.client), &mut self.state);
        self.client.flush();
        if in_multi {
            self.client.end();
        }
        asks
    }

    /// Tracking whose messages go to another connection ends: that one's id is another one by now, and perhaps somebody else's.
    /// RESP3 has a word for it. With RESP2 the session has to end, or its client would go on to trust what it has cached; true then.
    fn break_redirect(&mut self) -> bool {
        let Some(id) = self.state.break_redirect() else { return false };
        let told = self.state.protocol() == Protocol::Resp3;
        if told {
            self.client.say(|out| reply::redirect_broken(out, id));
            self.client.flush();
        }
        !told
    }

    /// Waits until the route leads elsewhere, or for a moment after which the same node may be asked again. False when requests
    /// have waited for too long.
    async fn wait_for_role(&self, node: &NodeAddress) -> bool {
        let moved = async {
            loop {
                let changed = self.lane.changed.notified();
                if self.lane.seat.target().is_some_and(|target| target.node != *node) {
                    return;
                }
                changed.await;
            }
        };
        // Whether it moved or the moment has passed, it is tried again.
        let _ = timeout(ROLE_AGAIN, moved).await;
        self.lane.outage().is_none_or(|outage| outage < self.lane.seat.settings().failover.hold_timeout)
    }

    /// EXEC is answered as if a watched key had changed.
    pub(super) fn lose_race(&mut self) {
        self.lost_race = false;
        self.state.exec_failed();
        let protocol = self.state.protocol();
        self.client.say(|out| reply::null_exec(out, protocol));
        self.client.flush();
    }

    /// The upstream to go on with: the twin, if it is where the route points to and fits, or a new one.
    async fn arrive(&mut self) -> Option<Box<Pinned>> {
        self.until_open().await;
        let fits = self.twin_fits();
        let leads = |twin: &Twin| self.lane.leads_to(&twin.pinned.node, twin.pinned.process.as_deref());
        if let Some(twin) = self.twin.take().filter(|twin| fits && leads(twin)) {
            return Some(Box::new(twin.pinned));
        }
        loop {
            match self.open_pinned().await {
                // The route may have moved while it was being opened: not one byte may go there then.
                Ok(pinned)
                    if self.lane.gate() != Gate::Hold
                        && self.lane.leads_to(&pinned.node, pinned.process.as_deref()) =>
                {
                    return Some(Box::new(pinned));
                }
                Ok(_) => self.until_open().await,
                Err(error) => {
                    self.client.say(|out| out.extend_from_slice(&error));
                    self.client.end();
                    return None;
                }
            }
        }
    }

    /// Waits for the end of a hold, or for its time to run out.
    async fn until_open(&self) {
        loop {
            let changed = self.lane.changed.notified();
            if self.lane.gate() != Gate::Hold {
                return;
            }
            changed.await;
        }
    }

    /// The transaction that was queued so far, sent again; nobody gets the answers.
    fn requeue(&self, pinned: &mut Pinned) {
        let Some((frames, many)) = self.state.queued() else { return };
        let mut bytes = Vec::new();
        reply::request(&mut bytes, &[b"MULTI"]);
        bytes.extend_from_slice(frames);
        pinned.queue.push(&bytes, Ask::OWN);
        for _ in 0..many {
            pinned.queue.push(b"", Ask::OWN);
        }
    }

    /// What of the unanswered requests is sent again; the others are answered with an honest error.
    fn sort(&mut self, asks: Vec<Left>, after_loss: bool) -> Vec<(Vec<u8>, Ask)> {
        let Sorted { failed, again, torn } = sort(asks, self.state.in_multi());
        for ask in failed {
            self.lane.counters.count(Outcome::Unknown, 1);
            if ask.answer != Answer::Silence {
                self.client.say(|out| reply::refusal(out, LOST));
            }
            if matches!(ask.change.as_deref(), Some(Change::Exec | Change::Discard)) {
                self.state.exec_failed();
            }
        }
        self.client.flush();
        if torn {
            self.client.end();
        }
        let again = again.into_iter().map(|(request, sent, ask)| {
            let popped = after_loss && sent && ask.retry != Retry::Read && ask.takes();
            self.lane.counters.count(if popped { Outcome::Reissued } else { Outcome::Retried }, 1);
            (shortened(request, &ask), ask)
        });
        again.collect()
    }

    /// Keys were watched on a connection that is gone: EXEC is answered as if one of them had changed, now or when it comes.
    fn lose_watch(&mut self, asks: &mut [(Vec<u8>, Ask)]) {
        match race(asks.iter().map(|(_, ask)| ask), self.state.in_multi()) {
            Race::Over => {}
            Race::Open => self.lost_race = true,
            Race::Lost(exec) => {
                self.lost_race = false;
                if let Some(exec) = asks.get_mut(exec) {
                    // What was queued stays queued until then, so that nothing of it runs.
                    *exec = (
                        DISCARD.into(),
                        Ask { change: None, retry: Retry::Read, answer: Answer::LostRace, ..Ask::OWN },
                    );
                }
            }
        }
    }

    /// Opens an upstream of its own in the session's state.
    pub(super) async fn open_pinned(&mut self) -> Result<Pinned, Box<[u8]>> {
        let script = Script::of(self);
        let mut pinned = self.open_somewhere(script.login(), script.replies, script.replies, Proof::Process).await?;
        script.play(&mut pinned, self.state.monitoring());
        self.lane.pinned.borrow_mut().insert(self.id, Rc::clone(&self.client));
        Ok(pinned)
    }
}

/// What a session has to do about the view.
pub enum Move {
    /// Open an upstream there.
    WarmUp(NodeAddress),
    /// Fence both upstreams.
    HandOver,
    /// Go to the route's node.
    Go,
    /// End: it can't move and the operator said so.
    Cut,
}

/// A blocking request with the time that it has left.
fn shortened(bytes: Vec<u8>, ask: &Ask) -> Vec<u8> {
    let Some((block, since)) = ask.block.as_deref() else { return bytes };
    match block_timeout(&bytes, block.timeout) {
        Some(Remaining::For(limit)) => {
            rewrite_timeout(&bytes, block.timeout, Remaining::For(limit.saturating_sub(since.elapsed())))
        }
        _ => bytes,
    }
}
