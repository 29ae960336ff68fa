//! The network between every two: what a message meets on its way.

use super::{MS, Us};
use crate::decision::world::Dice;

/// Pointsman's place; node `n` stands at `n + 1`.
pub(super) const US: usize = 0;

/// What a message meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Path {
    Open,
    /// It vanishes.
    Cut,
    /// A firewall answers in the node's place: refused.
    Rejected,
}

#[derive(Clone, Copy, Debug)]
struct Way {
    path: Path,
    delay: Us,
    /// Percent of messages that must be sent again.
    drops: u64,
}

const CLEAR: Way = Way { path: Path::Open, delay: MS / 5, drops: 0 };

pub(super) struct Net {
    places: usize,
    ways: Vec<Way>,
}

impl Net {
    /// All open; the last place is that of a client beside Pointsman.
    pub(super) fn new(nodes: usize) -> Self {
        let places = nodes + 2;
        Self { places, ways: vec![CLEAR; places * places] }
    }

    /// The place of somebody beside Pointsman.
    pub(super) fn outside(&self) -> usize {
        self.places - 1
    }

    pub(super) fn heal(&mut self) {
        self.ways.fill(CLEAR);
    }

    fn way(&mut self, from: usize, to: usize) -> &mut Way {
        &mut self.ways[from * self.places + to]
    }

    pub(super) fn set(&mut self, from: usize, to: usize, path: Path) {
        self.way(from, to).path = path;
    }

    /// Slow and lossy, both ways.
    pub(super) fn worsen(&mut self, one: usize, other: usize, delay: Us, drops: u64) {
        for (from, to) in [(one, other), (other, one)] {
            let way = self.way(from, to);
            (way.delay, way.drops) = (delay, drops);
        }
    }

    pub(super) fn mend(&mut self, one: usize, other: usize) {
        for (from, to) in [(one, other), (other, one)] {
            *self.way(from, to) = CLEAR;
        }
    }

    pub(super) fn path(&self, from: usize, to: usize) -> Path {
        self.ways[from * self.places + to].path
    }

    /// A conversation is possible.
    pub(super) fn open(&self, one: usize, other: usize) -> bool {
        self.path(one, other) == Path::Open && self.path(other, one) == Path::Open
    }

    /// How long a message takes; what was dropped is sent again after a while, as TCP does.
    pub(super) fn travel(&self, from: usize, to: usize, dice: &mut Dice) -> Us {
        let way = &self.ways[from * self.places + to];
        let mut time = way.delay + dice.below(MS);
        let mut again = 200 * MS;
        while dice.below(100) < way.drops && again < 2000 * MS {
            time += again;
            again *= 2;
        }
        time
    }
}
