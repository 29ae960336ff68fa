//! Somebody else who moves the roles, where the service says so: it promotes, and turns returning primaries into standbys.

use super::{
    Item, MS, SECOND, Storm, Us,
    node::{Follows, Proc},
};

#[derive(Default)]
pub(super) struct Sentinel {
    gone_since: Option<Us>,
    primary: usize,
}

/// How long a primary must be gone.
const PATIENCE: Us = 2 * SECOND;

impl Storm {
    pub(super) fn watch_as_sentinel(&mut self) {
        self.at(200 * MS, Item::Sentinel);
        let outside = self.net.outside();
        let well = |storm: &Self, n: usize| {
            let node = &storm.nodes[n];
            node.proc == Proc::Up && node.host && storm.net.open(outside, n + 1)
        };
        let primary = self.sentinel.primary;
        if well(self, primary) && self.nodes[primary].is_primary() {
            self.sentinel.gone_since = None;
            for n in (0..self.nodes.len()).filter(|n| *n != primary) {
                if well(self, n) && self.nodes[n].follows != Follows::Node(primary) {
                    self.nodes[n].follow(Follows::Node(primary), self.now);
                    self.broken_connections(n);
                }
            }
            return;
        }
        let since = *self.sentinel.gone_since.get_or_insert(self.now);
        if self.now < since + PATIENCE {
            return;
        }
        let standbys = (0..self.nodes.len()).filter(|n| *n != primary && well(self, *n));
        let Some(heir) = standbys.max_by_key(|n| self.nodes[*n].offset) else {
            if well(self, primary) {
                self.promote_as_sentinel(primary);
            }
            return;
        };
        self.promote_as_sentinel(heir);
    }

    fn promote_as_sentinel(&mut self, n: usize) {
        self.say(|storm| format!("somebody else promotes {}", storm.nodes[n].name));
        let lost = self.ledger.missing(&self.nodes[n].data);
        self.ledger.excuse(&lost);
        self.runs += 1;
        let replid = (self.runs << 8) + 3;
        self.nodes[n].promote(replid);
        self.sentinel.primary = n;
        self.sentinel.gone_since = None;
    }
}
