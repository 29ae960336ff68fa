//! A node: a process that may be down or hang, its data, its history, and what a restart makes of them.

use super::{Item, SECOND, Storm, Us};
use crate::model::name::NodeAddress;

/// Bytes of the replication stream that one write takes, and a ping.
pub(super) const WRITE_BYTES: u64 = 40;
pub(super) const PING_BYTES: u64 = 14;
/// The fence's value of `min-replicas-to-write`.
pub(super) const FENCE: u64 = 1000;
/// What every node holds before the first write.
const ITEMS: u64 = 300;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Proc {
    Up,
    Down,
    /// SIGSTOP: the kernel accepts, nobody answers.
    Hung,
    Loading,
}

/// What a restart finds on its disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Disk {
    /// All of it, with the history's name.
    Whole,
    /// All of it, under a new name.
    Log,
    /// What an old dump held.
    Old,
    Nothing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Follows {
    Nobody,
    Node(usize),
    /// Parked: a port where nobody listens.
    Void,
}

/// One piece of the replication stream.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece {
    pub(super) end: u64,
    /// The write, if it isn't a ping.
    pub(super) write: Option<u32>,
    pub(super) at: Us,
}

/// A dump on disk.
#[derive(Clone, Debug, Default)]
struct Dump {
    data: usize,
    items: u64,
    offset: u64,
    replid: u64,
}

/// A standby's link to its primary.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Link {
    pub(super) up: bool,
    pub(super) last_io: Us,
    pub(super) retry_at: Us,
    pub(super) copied_at: Option<Us>,
    pub(super) acked_at: Us,
}

#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts of one node")]
pub(super) struct Node {
    pub(super) name: NodeAddress,
    pub(super) proc: Proc,
    /// Whether the host answers for a dead process.
    pub(super) host: bool,
    /// Since when the process is what it is.
    pub(super) since: Us,
    pub(super) run: u64,
    pub(super) follows: Follows,
    /// What its own file says of its role.
    pub(super) file: Follows,
    /// Its process is a primary because its file says so, and nobody chose it.
    pub(super) by_file: bool,
    pub(super) data: Vec<u32>,
    pub(super) items: u64,
    pub(super) stream: Vec<Piece>,
    /// Where the stream that is kept begins.
    pub(super) stream_from: u64,
    pub(super) offset: u64,
    pub(super) received: u64,
    pub(super) replid: u64,
    pub(super) previous: u64,
    pub(super) previous_until: u64,
    pub(super) to_write: u64,
    /// Without enough standbys writes aren't refused, they wait.
    pub(super) semi_sync: bool,
    pub(super) link: Link,
    /// When each other node acknowledged the last time, and up to where.
    pub(super) acks: Vec<Option<(Us, u64)>>,
    pub(super) pinged_at: Us,
    pub(super) sick: bool,
    pub(super) other_manager: bool,
    /// What lies in the socket buffers of a hung process.
    pub(super) inbox: Vec<Item>,
    dump: Dump,
    dumped_at: Us,
}

impl Node {
    pub(super) fn new(name: &str, index: usize, nodes: usize, follows: Follows, to_write: u64) -> Self {
        let replid = if follows == Follows::Nobody { 100 + index as u64 } else { 100 };
        Self {
            name: name.into(),
            proc: Proc::Up,
            host: true,
            since: 0,
            run: index as u64 + 1,
            follows,
            file: follows,
            by_file: false,
            data: Vec::new(),
            items: ITEMS,
            stream: Vec::new(),
            stream_from: 1000,
            offset: 1000,
            received: 1000,
            replid,
            previous: 0,
            previous_until: 0,
            to_write,
            semi_sync: false,
            link: Link { up: follows != Follows::Nobody, ..Link::default() },
            acks: vec![None; nodes],
            pinged_at: 0,
            sick: false,
            other_manager: false,
            inbox: Vec::new(),
            dump: Dump { items: ITEMS, offset: 1000, replid, ..Dump::default() },
            dumped_at: 0,
        }
    }

    pub(super) fn is_primary(&self) -> bool {
        self.follows == Follows::Nobody
    }

    /// Too few standbys keep up, or the fence is set.
    pub(super) fn starved(&self, now: Us) -> bool {
        if self.semi_sync {
            return self.to_write >= FENCE;
        }
        let good = self.acks.iter().flatten().filter(|(at, _)| now < at + 11 * SECOND).count();
        (good as u64) < self.to_write
    }

    /// Whether anybody's write would be taken now, or when it wakes.
    pub(super) fn takes_writes(&self, now: Us) -> bool {
        self.proc != Proc::Down && self.host && self.is_primary() && !self.sick && !self.starved(now)
    }

    pub(super) fn push(&mut self, write: Option<u32>, now: Us) {
        self.offset += if write.is_some() { WRITE_BYTES } else { PING_BYTES };
        self.received = self.offset;
        self.stream.push(Piece { end: self.offset, write, at: now });
        self.data.extend(write);
    }

    /// Takes everything that `primary` has.
    pub(super) fn copy(&mut self, primary: &Self, now: Us) {
        self.data.clone_from(&primary.data);
        self.stream.clone_from(&primary.stream);
        self.items = primary.items;
        (self.stream_from, self.offset, self.received) = (primary.stream_from, primary.offset, primary.offset);
        (self.replid, self.previous, self.previous_until) = (primary.replid, 0, 0);
        self.dump(now);
    }

    pub(super) fn dump(&mut self, now: Us) {
        self.dumped_at = now;
        self.dump = Dump { data: self.data.len(), items: self.items, offset: self.offset, replid: self.replid };
    }

    pub(super) fn dump_now_and_then(&mut self, now: Us) {
        if now >= self.dumped_at + 4 * SECOND {
            self.dump(now);
        }
    }

    /// A standby becomes a primary: a new history that continues the old one.
    pub(super) fn promote(&mut self, replid: u64) {
        if !self.is_primary() {
            (self.follows, self.by_file) = (Follows::Nobody, false);
            self.received = self.offset;
            (self.previous, self.previous_until) = (self.replid, self.offset);
            self.replid = replid;
            self.link = Link::default();
            self.acks.fill(None);
            if self.semi_sync {
                // It would wait for standbys that it doesn't have yet.
                self.to_write = 0;
            }
        }
    }

    pub(super) fn follow(&mut self, whom: Follows, now: Us) {
        if self.follows != whom {
            self.follows = whom;
            self.received = self.offset;
            self.link = Link { last_io: now, ..Link::default() };
            self.acks.fill(None);
        }
    }

    /// The process starts, with what its disk holds and the role that its file says.
    pub(super) fn start(&mut self, disk: Disk, run: u64, to_write: u64, now: Us) {
        let was = self.replid;
        self.by_file = (self.by_file || !self.is_primary()) && self.file == Follows::Nobody;
        self.follows = self.file;
        self.run = run;
        (self.to_write, self.sick) = (to_write, false);
        self.link = Link { last_io: now, ..Link::default() };
        self.acks.fill(None);
        self.inbox.clear();
        match disk {
            Disk::Whole => {}
            Disk::Log => (self.offset, self.replid) = (0, run << 8),
            Disk::Old => {
                self.data.truncate(self.dump.data);
                (self.items, self.offset, self.replid) = (self.dump.items, self.dump.offset, self.dump.replid);
            }
            Disk::Nothing => {
                self.data.clear();
                (self.items, self.offset, self.replid) = (0, 0, run << 8);
            }
        }
        (self.previous, self.previous_until) = (0, 0);
        if disk == Disk::Whole || disk == Disk::Old {
            let known = if disk == Disk::Whole { was } else { self.dump.replid };
            if self.is_primary() {
                (self.previous, self.previous_until, self.replid) = (known, self.offset, (run << 8) + 1);
            }
        }
        self.received = self.offset;
        self.stream.clear();
        self.stream_from = self.offset;
        self.dump(now);
    }
}

impl Storm {
    /// The process is killed.
    pub(super) fn kill(&mut self, n: usize) {
        self.say(|storm| format!("kill {}", storm.nodes[n].name));
        let node = &mut self.nodes[n];
        (node.proc, node.since) = (Proc::Down, self.now);
        node.inbox.clear();
        self.broken_connections(n);
    }

    pub(super) fn restart(&mut self, n: usize, disk: Disk, loading: Us) {
        let before = std::mem::take(&mut self.nodes[n].data);
        self.nodes[n].data.clone_from(&before);
        self.runs += 1;
        let (run, to_write, now) = (self.runs, self.plan.to_write, self.now);
        let node = &mut self.nodes[n];
        node.host = true;
        node.start(disk, run, to_write, now);
        (node.proc, node.since) = (if loading > 0 { Proc::Loading } else { Proc::Up }, now);
        self.say(|storm| {
            let node = &storm.nodes[n];
            format!("start {} {disk:?}, {:?}, {} writes, id {}", node.name, node.follows, node.data.len(), node.replid)
        });
        if loading > 0 {
            self.at(loading, Item::Loaded(n, run));
        }
        if disk == Disk::Old || disk == Disk::Nothing {
            self.data_went(n, &before);
        }
    }

    pub(super) fn hang(&mut self, n: usize) {
        if self.nodes[n].proc == Proc::Up {
            self.say(|storm| format!("stop {}", storm.nodes[n].name));
            (self.nodes[n].proc, self.nodes[n].since) = (Proc::Hung, self.now);
        }
    }

    /// It goes on, first with what lay in its buffers.
    pub(super) fn wake(&mut self, n: usize) {
        if self.nodes[n].proc == Proc::Hung {
            self.say(|storm| format!("wake {}", storm.nodes[n].name));
            (self.nodes[n].proc, self.nodes[n].since) = (Proc::Up, self.now);
            for item in std::mem::take(&mut self.nodes[n].inbox) {
                self.happen(item);
            }
        }
    }
}
