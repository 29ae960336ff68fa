//! Drives one shared upstream: opens its connection wherever the route points to, reads the replies, opens the next one.
//!
//! One task an upstream, for as long as sessions use it. Reconnects are paced: 10 ms, doubled up to a second, with jitter.

use super::{
    busy::is_busy,
    client::Client,
    inbox::Inbox,
    key::Key,
    lane::Lane,
    open::{OpenError, Proof, Upstream, open},
    shared::{Shared, Standing},
};
use crate::{
    model::{name::NodeAddress, route::Mode, signal::Signal},
    protocol::redis::scan::ReplyScanner,
    proxy::conn::Reader,
};
use std::{
    future::poll_fn,
    rc::Rc,
    task::{Context, Poll},
    time::{Duration, Instant},
};
use tokio::{select, time::timeout};

/// The first pause between two attempts.
const PAUSE_FIRST: Duration = Duration::from_millis(10);
/// The longest.
const PAUSE_LONGEST: Duration = Duration::from_secs(1);
/// How long the old node may still answer after the route has moved.
const LAST_WORDS: Duration = Duration::from_millis(50);
/// How long a client may take for as many bytes as fit its buffer when there is no room left to keep more of its replies.
const PATIENCE: Duration = Duration::from_millis(200);
/// The same while replies to others are behind its own.
const PATIENCE_OF_OTHERS: Duration = Duration::from_millis(10);

/// Why a connection ended.
enum End {
    /// The other side closed or broke it, or sent nonsense.
    Lost,
    /// The server owed an answer and was silent for too long.
    Silent,
    /// The route points elsewhere.
    Moved,
}

/// Begins an upstream: its driver lives for as long as sessions use it.
pub fn begin(lane: &Rc<Lane>, key: Key, scripts: bool) -> Rc<Shared> {
    let shared = Shared::new(key, scripts);
    lane.shared.borrow_mut().push(Rc::clone(&shared));
    tokio::task::spawn_local(drive(Rc::clone(lane), Rc::clone(&shared)));
    shared
}

/// Waits until the upstream is connected; the server's error if it refused the login.
pub async fn wait_up(shared: &Shared) -> Result<(), Rc<[u8]>> {
    loop {
        let changed = shared.changed.notified();
        match shared.standing() {
            Standing::Up => return Ok(()),
            Standing::Dead(error) => return Err(error),
            Standing::Down => changed.await,
        }
    }
}

/// Ends the upstream whatever happens to its task, so that nobody waits for a task that is gone.
struct Leave(Rc<Lane>, Rc<Shared>);

impl Drop for Leave {
    fn drop(&mut self) {
        self.0.shared.borrow_mut().retain(|one| !Rc::ptr_eq(one, &self.1));
        if !matches!(self.1.standing(), Standing::Dead(_)) {
            self.1.die(b"-ERR pointsman: internal error on the shared upstream\r\n");
        }
    }
}

async fn drive(lane: Rc<Lane>, shared: Rc<Shared>) {
    let _leave = Leave(Rc::clone(&lane), Rc::clone(&shared));
    let mut pause = Duration::ZERO;
    loop {
        let kicked = shared.kick.notified();
        if shared.is_retired() {
            return;
        }
        let Some(target) = lane.seat.target() else {
            kicked.await;
            continue;
        };
        let warm = shared
            .take_warm(&target.node)
            .filter(|warm| lane.serves(warm.process.as_deref()))
            .and_then(Upstream::alive);
        let opened = if let Some(upstream) = warm {
            Ok(upstream)
        } else {
            select! {
                opened = attempt(&lane, &shared, &target.node) => opened,
                () = kicked => continue,
            }
        };
        match opened {
            Ok(upstream) => {
                let began = Instant::now();
                match carry(&lane, &shared, upstream, &target.node).await {
                    End::Lost => lane.seat.report(Signal::Reset, &target.node),
                    End::Silent => lane.seat.report(Signal::TimedOut, &target.node),
                    End::Moved => pause = Duration::ZERO,
                }
                if began.elapsed() > PAUSE_LONGEST {
                    pause = Duration::ZERO;
                }
                if pause.is_zero() {
                    pause = PAUSE_FIRST;
                    continue;
                }
            }
            Err(OpenError::Refused(error)) => {
                shared.die(&error);
                if !is_busy(&error) {
                    // The server has closed its side of theirs, or never let them in: nobody goes on as somebody else.
                    lane.end_sessions_of(shared.id());
                }
                return;
            }
            Err(_) => lane.outage_began(),
        }
        pause = (pause * 2).clamp(PAUSE_FIRST, PAUSE_LONGEST);
        select! {
            () = tokio::time::sleep(jitter(pause, lane.turn.tick())) => {}
            () = shared.kick.notified() => pause = Duration::ZERO,
        }
    }
}

pub(super) async fn attempt(lane: &Rc<Lane>, shared: &Rc<Shared>, node: &NodeAddress) -> Result<Upstream, OpenError> {
    let mut setup = Vec::new();
    let replies = shared.key.session().open(&mut setup);
    open(lane, node, &setup, replies, replies, Proof::Process).await
}

/// Between half and all of the pause, so that workers and clients don't come back in step.
pub(super) fn jitter(pause: Duration, seed: u32) -> Duration {
    pause / 2 + (pause / 2) * (seed.wrapping_mul(0x9E37_79B1) >> 24) / 256
}

/// Carries replies until the connection ends, or the route leads elsewhere.
async fn carry(lane: &Rc<Lane>, shared: &Rc<Shared>, upstream: Upstream, node: &NodeAddress) -> End {
    let Upstream { mut reader, writer, process } = upstream;
    let process = process.as_deref();
    if !lane.leads_to(node, process) {
        // The route moved while this was being opened: not one byte may go there.
        return End::Moved;
    }
    if lane.seat.mode() != Mode::Hold {
        lane.outage_ended();
    }
    shared.connected(lane, writer);
    let mut replies = Line { inbox: Inbox::default(), scanner: ReplyScanner::default() };
    let end = select! {
        biased;
        () = elsewhere(lane, shared, node, process) => End::Moved,
        () = shared.given_up.notified() => End::Silent,
        () = replies.read(lane, shared, &mut reader, || false) => End::Lost,
    };
    shared.freeze();
    if matches!(end, End::Moved) && shared.has_written() && !lane.seat.serves_nobody() {
        // What the old node still answers needn't be asked again, or be answered with "unknown". Not in a failover: a node that
        // wakes after its heir was promoted would run a write that nobody else has.
        let _ = timeout(LAST_WORDS, replies.read(lane, shared, &mut reader, || !shared.has_written())).await;
    }
    shared.lost(lane, replies.scanner.streaming());
    end
}

/// Ends when the route leads to another node, or to another process on it.
async fn elsewhere(lane: &Lane, shared: &Shared, node: &NodeAddress, process: Option<&str>) {
    loop {
        let kicked = shared.kick.notified();
        if shared.is_retired() || !lane.leads_to(node, process) {
            return;
        }
        shared.thaw();
        kicked.await;
    }
}

/// What is known of one connection's replies.
struct Line {
    inbox: Inbox,
    scanner: ReplyScanner,
}

impl Line {
    /// Reads and hands on replies until the connection ends, or `enough`.
    async fn read(&mut self, lane: &Lane, shared: &Shared, reader: &mut Reader, enough: impl Fn() -> bool) {
        while !enough() {
            if poll_fn(|cx| poll_chunk(shared, reader, cx, &mut self.inbox)).await.is_err() {
                return;
            }
            match shared.dispatch(lane, &mut self.scanner, self.inbox.unused()) {
                Err(error) => {
                    tracing::warn!(%error, "an upstream is given up");
                    return;
                }
                Ok(done) => {
                    self.inbox.used(done.used);
                    if let Some(client) = done.slow
                        && !lane.backlog.has_room(&client, lane.client_buffer())
                    {
                        let others = shared.owes_others(&client);
                        wait_for(&client, lane.client_buffer(), if others { PATIENCE_OF_OTHERS } else { PATIENCE })
                            .await;
                    }
                }
            }
            lane.quiet();
        }
    }
}

fn poll_chunk(
    shared: &Shared,
    reader: &mut Reader,
    cx: &mut Context<'_>,
    inbox: &mut Inbox,
) -> Poll<std::io::Result<()>> {
    shared.register_driver(cx.waker());
    if shared.is_blocked() {
        shared.poll_unblock(cx);
    }
    inbox.poll_fill(reader, cx)
}

/// Gives a client that keeps too much waiting a moment to take `room` bytes; then it alone is closed.
async fn wait_for(client: &Client, room: usize, patience: Duration) {
    let enough = client.waiting().saturating_sub(room);
    let taken = poll_fn(|cx| {
        if client.is_closed() || client.waiting() <= enough {
            return Poll::Ready(());
        }
        client.relieve(cx.waker());
        Poll::Pending
    });
    if timeout(patience, taken).await.is_err() {
        client.close();
    }
}
