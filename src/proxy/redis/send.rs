//! Sends one request its way: to the shared upstream, to the pinned one, or to nobody.
//!
//! Input: a whole request and what is known of it. Output: bytes in an upstream's queue, or an answer of Pointsman's own, or
//! what the session has to wait for. Never: reads, or waits itself.

use super::{
    act::Act,
    ask::Ask,
    busy::is_busy,
    join::{join, join_for_script},
    key::Key,
    lane::Gate,
    local,
    moving::DISCARD,
    panic,
    session::{Flow, Session},
    shared::{Shared, Standing},
};
use crate::{
    protocol::redis::{
        command::{Class, DenyList, Kind, Local, Retry, Route, Why, classify},
        reply,
        scan::Head,
        session::ReplyMode,
    },
    proxy::counters::Outcome,
};
use std::rc::Rc;

impl Session {
    /// Sends one whole request its way.
    pub(super) fn request(&mut self, head: &Head, request: &[u8], deny: &DenyList) -> Flow {
        panic::point(head, request);
        let class = classify(head, request, deny);
        if (self.lane.gate() != Gate::Open || class.route == Route::Denied)
            && let Some(flow) = self.refused(&class, head, request)
        {
            return flow;
        }
        if self.lost_race
            && let Some(flow) = self.race(&class)
        {
            return flow;
        }
        let leaves = matches!(class.route, Route::Local(Local::Quit | Local::Abort));
        if self.pinned.is_some() && !leaves {
            self.ask(&class, request);
            return Flow::Done;
        }
        if let Some(flow) = self.busy(&class) {
            return flow;
        }
        match class.route {
            Route::Shared if self.lane.pauses_writes() && class.may_be_paused() => {
                // It would keep waiting what others read.
                if self.client.outstanding() > 0 { Flow::Quiet } else { Flow::Again(Act::Pin) }
            }
            Route::Shared if self.client.outstanding() == 0 && self.client.is_slow() => Flow::Again(Act::Pin),
            Route::Shared => self.share(class.retry, class.runs_script(), request),
            Route::Local(local) => self.local(local, head, request),
            _ if self.client.outstanding() > 0 => Flow::Quiet,
            Route::Pinned(Why::Once) if local::kills_script(&class, head, request) => {
                Flow::Then(Act::KillScript(request.into()))
            }
            _ => Flow::Again(Act::Pin),
        }
    }

    /// True when the shared upstream that it used last is one for scripts.
    fn shares_with_scripts(&self) -> bool {
        self.scripts.as_ref().is_some_and(|one| one.id() == self.client.shared_id())
    }

    /// The shared upstream that it used last.
    pub(super) fn current_shared(&self) -> Option<&Rc<Shared>> {
        if self.shares_with_scripts() { self.scripts.as_ref() } else { self.shared.as_ref() }
    }

    /// Forgets the shared upstreams: the session is somebody else.
    pub(super) fn forget_shared(&mut self) {
        self.shared = None;
        self.scripts = None;
        // Another upstream may get the same id once this one is gone.
        self.client.set_shared_id(0);
    }

    pub(super) fn share(&mut self, retry: Retry, script: bool, request: &[u8]) -> Flow {
        let mut script = script;
        let waits = self.client.outstanding() > 0;
        if waits {
            // What follows a script goes the same way; a script goes another way than what it follows.
            let with_scripts = self.shares_with_scripts();
            if script && !with_scripts {
                return Flow::Quiet;
            }
            script = with_scripts;
        }
        let slot = if script { &mut self.scripts } else { &mut self.shared };
        let shared = match slot {
            Some(shared) if waits || (script && shared.is_idle()) || !(script || shared.stands_still(&self.lane)) => {
                shared
            }
            _ if script => slot.insert(join_for_script(&self.lane, Key::of(&self.state, self.entry))),
            _ => slot.insert(join(&self.lane, Key::of(&self.state, self.entry))),
        };
        self.client.set_shared_id(shared.id());
        if self.client.is_owed_enough() || shared.is_full() {
            return Flow::Room;
        }
        if let Standing::Dead(error) = shared.standing() {
            self.client.say(|out| out.extend_from_slice(&error));
            if !is_busy(&error) {
                return self.end();
            }
            self.client.flush();
            *slot = None;
            self.client.set_shared_id(0);
            return Flow::Done;
        }
        shared.send(&self.lane, &self.client, request, retry);
        Flow::Done
    }

    /// A watch was lost by a move: EXEC answers what it answers when a watched key has changed. `None` for other commands.
    fn race(&mut self, class: &Class) -> Option<Flow> {
        let kind = class.spec?.kind;
        if !matches!(kind, Kind::Exec | Kind::Unwatch | Kind::Discard) {
            return None;
        }
        if !self.is_quiet() {
            // Whether a transaction is open, the answers tell.
            return Some(Flow::Quiet);
        }
        let (watching, in_multi) = (self.state.watching(), self.state.in_multi());
        let given_up = match kind {
            // In a transaction it is only queued.
            Kind::Unwatch => !in_multi,
            Kind::Discard => in_multi,
            _ => false,
        };
        self.lost_race = watching && !given_up;
        if !(self.lost_race && in_multi && kind == Kind::Exec) {
            return None;
        }
        if let Some(pinned) = &mut self.pinned {
            pinned.queue.push(DISCARD, Ask::OWN);
        }
        self.lose_race();
        Some(Flow::Done)
    }

    /// Sends a request on the pinned upstream.
    pub(super) fn ask(&mut self, class: &Class, request: &[u8]) {
        let Some(pinned) = &mut self.pinned else { return };
        match class.route {
            // It waits for what was written on its own connection, and nothing was yet: the server's offset stands for all.
            Route::Pinned(Why::Wait)
                if pinned.fresh && !self.state.in_multi() && self.state.reply_mode() == ReplyMode::On =>
            {
                pinned.queue.push(b"*1\r\n$4\r\nPING\r\n", Ask::OWN);
            }
            Route::Pinned(why @ (Why::Unknown | Why::Identity | Why::Cluster)) => {
                pinned.doubtful = why == Why::Unknown && pinned.forever.is_none();
                pinned.forever.get_or_insert_with(|| local::describe(why, class, request));
            }
            _ => {}
        }
        if matches!(class.route, Route::Local(_)) {
            // It may be somebody else afterwards.
            self.client.set_shared_id(0);
        }
        pinned.fresh = false;
        let ask = Ask::new(class, request, &mut self.state);
        // Counted anew once a turn; here, once a request, that would take ever longer the more are unanswered.
        self.client.set_pinned_in_flight(self.client.pinned_in_flight() + usize::from(ask.is_in_flight()));
        pinned.queue.push(request, ask);
    }

    fn local(&mut self, local: Local, head: &Head, request: &[u8]) -> Flow {
        if !self.is_quiet() {
            return Flow::Quiet;
        }
        self.lane.counters.count(Outcome::Local, 1);
        local::answer(self, local, head, request)
    }

    /// Says no to what the mode or the deny list doesn't let through; `None` if it may pass.
    pub(super) fn refused(&mut self, class: &Class, head: &Head, request: &[u8]) -> Option<Flow> {
        let text = local::refusal(&self.lane, class, head, request)?;
        if !self.is_quiet() {
            return Some(Flow::Quiet);
        }
        self.lane.counters.count(Outcome::Refused, 1);
        if self.state.reply_mode() == ReplyMode::On {
            self.client.say(|out| reply::error(out, &text));
            self.client.flush();
        }
        if self.state.in_multi() {
            return Some(self.spoil());
        }
        Some(Flow::Done)
    }
}
