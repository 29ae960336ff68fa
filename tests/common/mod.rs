//! What tests on real servers share: starting and ending servers and Pointsman, raw connections, waiting, skipping.
//!
//! Servers come from `target/servers` (`tests/servers/install` puts them there; `POINTSMAN_SERVERS` names another folder).
//! Everything started here ends when its handle is dropped, also when a test panics or its process is killed. Nothing here
//! sleeps for a fixed time to let something happen: [`wait_for`] waits for the condition, with a deadline.
#![allow(dead_code, reason = "every test program compiles this module and uses a part of it")]
#![allow(unreachable_pub, reason = "a module of test programs: its `pub` is for its siblings")]

pub mod admin_rig;
pub mod certificates;
pub mod data_path;
pub mod elastic_path;
pub mod http;
pub mod instance;
pub mod mock_node;
pub mod mysql_orders;
pub mod mysql_path;
pub mod mysql_raw;
pub mod mysql_server;
pub mod mysql_wire;
pub mod netns;
pub mod ports;
pub mod process;
pub mod raw;
pub mod redis_server;
pub mod relay;
pub mod search_load;
pub mod search_server;
pub mod search_service;
pub mod skip;
pub mod terminal;
pub mod volume;
pub mod yaml;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// The limit for what takes milliseconds when it works: long, so that a busy machine fails no test.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Waits until `condition` holds, and panics with `what` when it does not within `limit`.
#[track_caller]
pub fn wait_for(what: &str, limit: Duration, mut condition: impl FnMut() -> bool) {
    assert!(holds_within(limit, &mut condition), "not within {limit:?}: {what}");
}

/// Whether `condition` comes to hold within `limit`; asked every two milliseconds.
pub fn holds_within(limit: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + limit;
    loop {
        if condition() {
            return true;
        }
        if Instant::now() >= end {
            return false;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Tells threads to stop when it is dropped: a scope waits for all of its threads, for ever if a test fails before it tells them.
pub struct Stop<'flag>(pub &'flag AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

/// The folder of the installed servers.
pub fn servers_folder() -> PathBuf {
    std::env::var_os("POINTSMAN_SERVERS")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/servers"), PathBuf::from)
}
