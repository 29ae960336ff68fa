//! Control: the drivers that feed the decision cores and carry out what they decide, on one thread of their own.
//!
//! Inputs: probes, the workers' signals, operators' orders, a changed configuration file. Outputs: routes on the boards,
//! records in the journal, actions at nodes, and the [`Handle`] that the admin floor asks. It never touches the data
//! path, and it never decides: that is `decision`'s.

mod crash;
mod desk;
mod driver;
mod effective;
mod effects;
mod feed;
mod groups;
mod handle;
mod history;
mod keeping;
mod operations;
mod orders;
mod peers;
mod reads;
mod recorder;
mod reload;
mod said;
mod supervisor;
mod watch;
mod workshop;

#[cfg(debug_assertions)]
pub use crash::CRASH_POINTS;
pub use feed::{Event, Follower, Next};
pub use groups::{GroupConsent, GroupOrder, GroupReply, Of, To};
pub use handle::{Handle, Key, OrderReply, RebuildReply};
pub use history::{JOURNAL_LIMIT, JournalFilter, JournalPage, TimelineReply};
pub use supervisor::{Parts, start};
pub use workshop::{Commit, Workshop};
