//! Replication: who copies what from whom, in steps of a beat.
//!
//! A standby copies whatever its primary has, emptiness too. It goes on where it stopped if the histories allow that.

use super::{
    MS, SECOND, Storm, Us,
    node::{Follows, Link, Proc},
};

pub(super) const BEAT: Us = 25 * MS;
/// After so much silence a link is given up.
const REPL_TIMEOUT: Us = 60 * SECOND;

impl Storm {
    pub(super) fn beat(&mut self) {
        let now = self.now;
        for n in 0..self.nodes.len() {
            if self.nodes[n].proc != Proc::Up {
                continue;
            }
            let attached = self.nodes[n].acks.iter().flatten().next().is_some();
            let node = &mut self.nodes[n];
            node.dump_now_and_then(now);
            if attached && node.is_primary() && now >= node.pinged_at + self.plan.heartbeat * SECOND {
                node.pinged_at = now;
                node.push(None, now);
            }
        }
        for n in 0..self.nodes.len() {
            let node = &self.nodes[n];
            if node.proc != Proc::Up {
                continue;
            }
            match node.follows {
                Follows::Nobody => {}
                Follows::Void => self.nodes[n].link.up = false,
                Follows::Node(of) => self.replicate(n, of),
            }
        }
        self.note_heard();
    }

    fn replicate(&mut self, n: usize, of: usize) {
        let now = self.now;
        let open = self.net.open(n + 1, of + 1) && self.nodes[of].host;
        let there = self.nodes[of].proc;
        if self.nodes[n].link.up {
            let restarted = self.nodes[of].acks[n].is_none();
            match (open, there) {
                (true, Proc::Down | Proc::Loading) => self.lose_link(n, of),
                (true, Proc::Up) if restarted => self.lose_link(n, of),
                (true, Proc::Up) => self.receive(n, of),
                _ if now >= self.nodes[n].link.last_io + REPL_TIMEOUT => self.lose_link(n, of),
                _ => {}
            }
            return;
        }
        if !open || there != Proc::Up {
            self.nodes[n].link.copied_at = None;
            return;
        }
        if now < self.nodes[n].link.retry_at {
            return;
        }
        // A standby without a primary of its own has nothing to give.
        if !self.nodes[of].is_primary() && !self.nodes[of].link.up {
            self.nodes[n].link.retry_at = now + SECOND;
            return;
        }
        self.synchronise(n, of);
    }

    fn lose_link(&mut self, n: usize, of: usize) {
        let now = self.now;
        let link = &mut self.nodes[n].link;
        // It connects again at once, in vain where nobody listens, then once a second.
        *link = Link { last_io: link.last_io, retry_at: now + SECOND / 2, ..Link::default() };
        self.nodes[of].acks[n] = None;
        let node = &mut self.nodes[n];
        node.received = node.offset;
    }

    fn synchronise(&mut self, n: usize, of: usize) {
        let now = self.now;
        if self.plan.named {
            return self.linked(n, of);
        }
        let (mine, theirs) = (&self.nodes[n], &self.nodes[of]);
        let kept = theirs.stream_from.max(theirs.offset.saturating_sub(self.plan.backlog));
        let within = mine.offset >= kept && mine.offset <= theirs.offset;
        let shared = mine.replid == theirs.replid
            || (theirs.previous != 0 && mine.replid == theirs.previous && mine.offset <= theirs.previous_until);
        if within && shared {
            let id = theirs.replid;
            let node = &mut self.nodes[n];
            if node.replid != id {
                (node.previous, node.previous_until, node.replid) = (node.replid, node.offset, id);
            }
            self.linked(n, of);
            return;
        }
        match mine.link.copied_at {
            None => self.nodes[n].link.copied_at = Some(now + self.plan.full_copy),
            Some(at) if now >= at => {
                let primary = self.nodes[of].clone();
                self.nodes[n].copy(&primary, now);
                self.excuse_own_file(n);
                self.say(|storm| {
                    let node = &storm.nodes[n];
                    format!("{} has a full copy of {}: {} writes", node.name, primary.name, node.data.len())
                });
                self.linked(n, of);
            }
            Some(_) => self.nodes[n].link.last_io = now,
        }
    }

    fn linked(&mut self, n: usize, of: usize) {
        let now = self.now;
        let node = &mut self.nodes[n];
        node.link = Link { up: true, last_io: now, retry_at: 0, copied_at: None, acked_at: now };
        let offset = node.offset;
        let primary = &mut self.nodes[of];
        primary.acks[n] = Some((now, offset));
        if primary.semi_sync && primary.to_write == 0 {
            // It was promoted in the place of one that waited.
            primary.to_write = self.plan.to_write;
        }
    }

    /// What the primary wrote a moment ago arrives, and is applied.
    fn receive(&mut self, n: usize, of: usize) {
        let now = self.now;
        let delay = self.net.travel(of + 1, n + 1, &mut self.dice);
        if self.plan.named {
            self.receive_named(n, of, delay);
        }
        let primary = &self.nodes[of];
        let is_new = primary.pinged_at >= self.nodes[n].link.last_io + BEAT || primary.offset > self.nodes[n].received;
        if is_new && !self.plan.named {
            let first = primary.stream.partition_point(|piece| piece.end <= self.nodes[n].offset);
            let pieces = &primary.stream[first.min(primary.stream.len())..];
            let arrived = pieces.iter().take_while(|piece| piece.at + delay <= now);
            let received = arrived.clone().last().map(|piece| piece.end);
            let applied: Vec<_> =
                arrived.copied().take_while(|piece| piece.at + delay + self.plan.apply_lag <= now).collect();
            let node = &mut self.nodes[n];
            if let Some(received) = received.filter(|received| *received > node.received) {
                node.received = received;
                node.link.last_io = now;
            }
            for piece in applied {
                node.offset = piece.end;
                node.stream.push(piece);
                node.data.extend(piece.write);
            }
            node.received = node.received.max(node.offset);
        }
        if now >= self.nodes[n].link.acked_at + SECOND {
            let node = &mut self.nodes[n];
            node.link.acked_at = now;
            let offset = node.offset;
            self.nodes[of].acks[n] = Some((now, offset));
        }
    }
}
