//! One application's session: reads its requests and sends each the way it has to go.
//!
//! Input: the application's bytes. Output: requests on the shared upstream of its login, database and protocol, or on a pinned
//! one of its own; it never has requests unanswered on two upstreams. Replies don't come back through here, but straight from
//! the upstream's reader to [`Client`]. What needs waiting (a login, a new upstream) is in [`super::act`]. Never: a buffer of
//! its own while it is idle.

use super::{
    act::Act,
    busy::Busy,
    client::Client,
    handover::Handover,
    lane::{Gate, Lane},
    large::STREAM,
    moving::Warming,
    pinned::{Pinned, Twin},
    shared::Shared,
};
use crate::{
    protocol::redis::{
        command::DenyList,
        scan::{Limits, RequestError, RequestScanner, Scan, expand_inline},
        session::Session as State,
    },
    proxy::{conn::Reader, counters::Outcome},
};
use std::{
    future::poll_fn,
    rc::Rc,
    task::{Context, Poll},
    time::Instant,
};

/// What to do after looking at a request.
pub enum Flow {
    /// It was dealt with.
    Done,
    /// It has to wait until everything before it was answered.
    Quiet,
    /// It has to wait until the shared upstream has room, or owes the client less.
    Room,
    /// Do this, then look at it again.
    Again(Act),
    /// It was taken; do this.
    Then(Act),
    /// Nothing more is read; what is owed is still delivered.
    Last,
}

/// What the session's task does next.
enum Step {
    Act(Act),
    End,
}

/// A session.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own, and any of them may hold with any other")]
pub struct Session {
    pub(super) lane: Rc<Lane>,
    pub(super) client: Rc<Client>,
    pub(super) state: State,
    pub(super) shared: Option<Rc<Shared>>,
    /// The shared upstream that its last script took.
    pub(super) scripts: Option<Rc<Shared>>,
    pub(super) pinned: Option<Box<Pinned>>,
    /// An upstream on the next node, while a switch is prepared.
    pub(super) twin: Option<Box<Twin>>,
    /// Whether it changes sides.
    pub(super) handover: Handover,
    /// One that is being opened.
    pub(super) warming: Option<Rc<Warming>>,
    /// When the pinned upstream was last replaced.
    pub(super) relocated: Option<Instant>,
    /// How often the server's door had given another answer when it came in.
    pub(super) entry: u32,
    /// True when a watch was lost by a move: EXEC has to answer that the race was lost.
    pub(super) lost_race: bool,
    /// True when operators were told that it can't move.
    pub(super) told_stuck: bool,
    /// Whether a script kept the node too busy for an upstream of its own.
    pub(super) busy: Busy,
    pub(super) id: u64,
    pub(super) peer: Box<str>,
    reader: Reader,
    pub(super) scanner: RequestScanner,
    /// What was read and not used.
    input: Vec<u8>,
    /// True when `input` may hold a whole request.
    resume: bool,
    /// True when nothing more is read.
    over: bool,
}

impl Session {
    /// A session that has just begun.
    pub fn new(lane: Rc<Lane>, client: Rc<Client>, reader: Reader, peer: Box<str>) -> Self {
        let id = lane.next_id();
        lane.enter(id, &client);
        Self {
            id,
            lane,
            client,
            state: State::default(),
            shared: None,
            scripts: None,
            pinned: None,
            twin: None,
            handover: Handover::No,
            warming: None,
            relocated: None,
            entry: 0,
            lost_race: false,
            told_stuck: false,
            busy: Busy::No,
            peer,
            reader,
            scanner: RequestScanner::default(),
            input: Vec::new(),
            resume: false,
            over: false,
        }
    }

    /// Serves until the session ends.
    pub async fn run(mut self) {
        if !self.lane.door.is_fresh() {
            // Boxed, as below.
            Box::pin(self.lane.door.knock(&self.lane)).await;
        }
        self.entry = self.lane.door.answers();
        loop {
            match poll_fn(|cx| self.poll(cx)).await {
                Step::End => return,
                // Boxed, because few sessions act and all of them would pay for the room.
                Step::Act(act) => Box::pin(self.act(act)).await,
            }
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Step> {
        self.client.register(cx.waker());
        if matches!(self.client.poll_flush(cx), Poll::Ready(Err(_))) {
            return Poll::Ready(Step::End);
        }
        loop {
            if let Some(act) = self.poll_pinned(cx) {
                return Poll::Ready(Step::Act(act));
            }
            if self.client.is_closed() || self.is_over() {
                return Poll::Ready(Step::End);
            }
            if self.over || self.client.is_ending() || !self.may_read() {
                return Poll::Pending;
            }
            let flow = if self.resume { Some(self.resumed()) } else { self.poll_input(cx) };
            match flow {
                None => return Poll::Pending,
                Some(Flow::Done) => {}
                Some(Flow::Quiet) => {
                    self.resume = true;
                    if self.pinned.is_none() {
                        self.client.wake_when_quiet();
                    }
                    if !self.is_quiet() {
                        return match self.poll_pinned(cx) {
                            Some(act) => Poll::Ready(Step::Act(act)),
                            None if self.is_quiet() => continue,
                            None => Poll::Pending,
                        };
                    }
                }
                Some(Flow::Room) => {
                    self.resume = true;
                    if self.client.is_owed_enough() {
                        self.client.wake_when_owed_less();
                    } else if let Some(shared) = self.current_shared() {
                        shared.wake_when_room(&self.client);
                    }
                    return Poll::Pending;
                }
                Some(Flow::Again(act) | Flow::Then(act)) => {
                    self.resume = true;
                    return Poll::Ready(Step::Act(act));
                }
                Some(Flow::Last) => self.over = true,
            }
        }
    }

    /// True when everything that is owed was delivered and nothing more will be asked.
    fn is_over(&self) -> bool {
        if self.client.is_ending() {
            return self.client.outstanding() == 0 && self.client.waiting() == 0;
        }
        let pinned = self.pinned.as_ref();
        self.over
            && self.client.outstanding() == 0
            && self.client.waiting() == 0
            && pinned.is_none_or(|pinned| pinned.in_flight() == 0)
    }

    /// True when nothing is unanswered.
    pub(super) fn is_quiet(&self) -> bool {
        self.client.outstanding() == 0 && self.pinned.as_ref().is_none_or(|pinned| pinned.queue.is_empty())
    }

    fn may_read(&mut self) -> bool {
        if self.lane.gate() == Gate::Hold {
            self.lane.park(&self.client);
            return false;
        }
        match &self.pinned {
            // Who doesn't read has no more asked for: it would only keep the server busy.
            Some(pinned) => {
                // What was refused is asked again before anything new; a request that has begun goes on, since its answer decides.
                (pinned.refused.is_empty() || self.scanner.streaming())
                    && !pinned.is_full()
                    && self.client.waiting() <= super::inbox::CHUNK
            }
            None if self.client.is_held() => false,
            None if self.client.waiting() > super::inbox::CHUNK => {
                self.client.wake_when_quiet();
                self.client.outstanding() == 0
            }
            None => true,
        }
    }

    /// Reads once and deals with what came. `None`: nothing came.
    fn poll_input(&mut self, cx: &mut Context<'_>) -> Option<Flow> {
        if !self.input.is_empty() {
            return self.poll_more(cx);
        }
        let turn = Rc::clone(&self.lane.turn);
        let mut scratch = turn.scratch.borrow_mut();
        let read = match self.reader.poll_read(cx, &mut scratch) {
            Poll::Pending => return None,
            Poll::Ready(Ok(read)) if read > 0 => read,
            Poll::Ready(_) => return Some(self.hang_up()),
        };
        let bytes = scratch.get(..read).unwrap_or_default();
        let (used, flow) = self.feed(bytes);
        let rest = bytes.get(used..).unwrap_or_default();
        if !rest.is_empty() {
            let mut input = turn.pool.take();
            input.extend_from_slice(rest);
            self.input = input;
        }
        Some(flow)
    }

    /// Reads behind the beginning of a request that is there already.
    fn poll_more(&mut self, cx: &mut Context<'_>) -> Option<Flow> {
        let have = self.input.len();
        self.input.resize(have + STREAM, 0);
        let read = self.input.get_mut(have..).map(|room| self.reader.poll_read(cx, room));
        let many = if let Some(Poll::Ready(Ok(many))) = &read { *many } else { 0 };
        self.input.truncate(have + many);
        match read {
            None | Some(Poll::Pending) => None,
            Some(Poll::Ready(Ok(many))) if many > 0 => Some(self.resumed()),
            Some(Poll::Ready(_)) => Some(self.hang_up()),
        }
    }

    fn resumed(&mut self) -> Flow {
        self.resume = false;
        let mut input = std::mem::take(&mut self.input);
        let (used, flow) = self.feed(&input);
        input.drain(..used);
        if input.is_empty() {
            self.lane.turn.pool.give(input);
        } else {
            self.input = input;
        }
        flow
    }

    /// The application closed its side. What it asked for is still done, unless it blocks: nobody would get what it pops.
    fn hang_up(&mut self) -> Flow {
        if self.pinned.as_ref().is_some_and(|pinned| pinned.is_blocked()) {
            self.client.close();
        }
        Flow::Last
    }

    /// Deals with the requests in `buf`; returns how many bytes were used.
    fn feed(&mut self, buf: &[u8]) -> (usize, Flow) {
        let deny = self.lane.deny();
        let mut at = 0;
        loop {
            let rest = buf.get(at..).unwrap_or_default();
            let streaming = self.scanner.streaming();
            match self.scanner.next(rest, &Limits::default()) {
                Ok(Scan::NeedMore) => {
                    let (used, flow) = self.incomplete(rest, &deny);
                    return (at + used, flow);
                }
                Ok(Scan::Blank { len }) => at += len,
                Ok(Scan::Inline { len }) => match self.inline(rest.get(..len).unwrap_or_default(), &deny) {
                    Flow::Done => at += len,
                    flow @ (Flow::Then(_) | Flow::Last) => return (at + len, flow),
                    flow => return (at, flow),
                },
                Ok(Scan::Complete(head)) if streaming => {
                    self.stream_on(rest.get(..head.len).unwrap_or_default());
                    at += head.len;
                }
                Ok(Scan::Complete(head)) => {
                    match self.request(&head, rest.get(..head.len).unwrap_or_default(), &deny) {
                        Flow::Done => at += head.len,
                        flow @ (Flow::Then(_) | Flow::Last) => return (at + head.len, flow),
                        flow => return (at, flow),
                    }
                }
                Err(error) => {
                    // Scanning the same bytes again finds the same error.
                    self.scanner = RequestScanner::default();
                    return (at, self.nonsense(error));
                }
            }
        }
    }

    fn inline(&mut self, line: &[u8], deny: &DenyList) -> Flow {
        let mut request = Vec::new();
        match expand_inline(line, &mut request) {
            Err(error) => self.nonsense(error),
            Ok(0) => Flow::Done,
            Ok(_) => match RequestScanner::default().next(&request, &Limits::default()) {
                Ok(Scan::Complete(head)) => self.request(&head, &request, deny),
                _ => Flow::Last,
            },
        }
    }

    fn nonsense(&mut self, error: RequestError) -> Flow {
        if !self.is_quiet() {
            return Flow::Quiet;
        }
        self.client.say(|out| error.write(out));
        self.client.end();
        Flow::Last
    }

    pub(super) fn end(&mut self) -> Flow {
        self.client.end();
        Flow::Last
    }
}

impl Drop for Session {
    /// Also after a panic: upstreams must not write to a client that nobody serves.
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.lane.counters.count(Outcome::Fault, 1);
            tracing::error!(client = %self.peer, "a session panicked and is closed; please report what was logged before");
        }
        self.client.close();
        self.lane.leave(self.id);
    }
}
