//! What the show needs of a kind of store: its servers, its load, and a writer for the crash.
//!
//! Each kind implements these two traits in a folder of its own; the show knows no kind by name.

use super::{Options, crash::Crash, scene::Scene, tally::Tally};
use std::{rc::Rc, time::Duration};

/// A kind of store under its load.
pub(super) trait Show: Sized {
    /// Its name in the lines for scripts.
    const STORE: &'static str;
    /// What is started, in words.
    const SERVERS: &'static str;
    /// Starts the servers `main` and its standby `spare`, and gives what the configuration's service says beside its listener and
    /// clusters.
    async fn set_up(scene: &mut Scene, options: &Options) -> Result<String, String>;

    /// Connects every client and starts them. Must run inside a `LocalSet`.
    async fn start(scene: &Scene, tally: &Rc<Tally>) -> Result<Self, String>;

    /// How many clients there are, and what they do.
    fn clients(&self) -> String;

    /// Reads back what was acknowledged; how much of it is gone or wrong, after so many planned switches.
    async fn lost(&self, switches: u64) -> Result<u64, String>;

    /// Stops the load; what is still on its way may arrive for at most `patience`.
    async fn stop(&mut self, patience: Duration);

    /// Kills the server called `main`, which must be the routed one, under a load of its own; what that load felt.
    async fn crash(scene: &mut Scene, options: &Options, tally: &Rc<Tally>) -> Result<Crash, String>;

    /// What was done, in words, for the end.
    fn summary(&self) -> String;

    /// The ordinary command of somebody who wants to look at `port`.
    fn by_hand(port: u16) -> String;
}

/// How a write ended that the application was told something of.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Written {
    /// It was acknowledged.
    Acknowledged,
    /// It was answered with "the outcome is unknown".
    Unknown,
}

/// One client that writes ids while the primary dies.
pub(super) trait Writer: Sized + 'static {
    /// Connects.
    async fn connect(port: u16) -> Result<Self, String>;

    /// Writes one id. An error is what no application should see.
    async fn write(&mut self, id: &str) -> Result<Written, String>;

    /// How many of these ids aren't there.
    async fn missing(&mut self, ids: &[String]) -> Result<u64, String>;
}
