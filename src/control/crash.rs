//! Named points of a switch at which a debug build can be told to die, so that tests prove what a restart makes of it.
//!
//! `POINTSMAN_CRASH_AT=before_act_promote` aborts the process (no destructor, no flush) the first time it gets there after an
//! order was accepted. `POINTSMAN_STOP_AT` stops it there instead (SIGSTOP), so that a test can change the world at that
//! moment. A point's name is `before_` or `after_`, then `write_`, `publish_` or `act_`, then what is written, shown or done. In
//! a release build the functions are empty and the environment is never read.

#[cfg(debug_assertions)]
use std::sync::{
    LazyLock,
    atomic::{AtomicBool, Ordering::Relaxed},
};

/// The points of a planned switch ordered with an idempotency key, in their order.
#[cfg(debug_assertions)]
pub const CRASH_POINTS: &[&str] = &[
    "before_write_began+keyed",
    "after_write_began+keyed",
    "before_publish_open_warm",
    "after_publish_open_warm",
    "before_write_routed_hold+fence_intended+entered_close",
    "after_write_routed_hold+fence_intended+entered_close",
    "before_publish_hold_warm",
    "after_publish_hold_warm",
    "before_act_fence",
    "after_act_fence",
    "before_write_fenced",
    "after_write_fenced",
    "before_act_catch_up",
    "after_act_catch_up",
    "before_publish_hold_hand_over",
    "after_publish_hold_hand_over",
    "before_act_confirm",
    "after_act_confirm",
    "before_write_entered_promote",
    "after_write_entered_promote",
    "before_act_promote",
    "after_act_promote",
    "before_publish_open",
    "after_publish_open",
    "before_write_routed_open",
    "after_write_routed_open",
    "before_act_demote",
    "after_act_demote",
    "before_act_unfence",
    "after_act_unfence",
    "before_act_persist",
    "after_act_persist",
    "before_write_unfenced+ended",
    "after_write_unfenced+ended",
];

/// Where the process is to die, and where to stop.
#[cfg(debug_assertions)]
static AT: LazyLock<[Option<String>; 2]> =
    LazyLock::new(|| ["POINTSMAN_CRASH_AT", "POINTSMAN_STOP_AT"].map(|name| std::env::var(name).ok()));
/// Whether an order was accepted: a start passes some of the same points.
#[cfg(debug_assertions)]
static ARMED: AtomicBool = AtomicBool::new(false);

/// Whether it has stopped, which it does once.
#[cfg(debug_assertions)]
static STOPPED: AtomicBool = AtomicBool::new(false);

/// From now on the points count.
pub(super) fn arm() {
    #[cfg(debug_assertions)]
    ARMED.store(true, Relaxed);
}

/// Dies or stops here, if this is the point the environment names. `what` is built only in debug builds.
pub(super) fn point(when: &str, act: &str, what: impl FnOnce() -> String) {
    #[cfg(debug_assertions)]
    if ARMED.load(Relaxed) {
        let name = format!("{when}_{act}_{}", what());
        let [crash, stop] = &*AT;
        if crash.as_deref() == Some(name.as_str()) {
            tracing::error!(point = name, "dying at the crash point that POINTSMAN_CRASH_AT names");
            std::process::abort();
        }
        if stop.as_deref() == Some(name.as_str()) && !STOPPED.swap(true, Relaxed) {
            tracing::error!(point = name, "stopping at the point that POINTSMAN_STOP_AT names");
            // A test that can't stop the process finds it running, and fails there.
            let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::STOP);
            // Another thread may take the signal: this one must not run on until it is stopped with the others, on a busy machine too.
            std::thread::sleep(std::time::Duration::from_millis(500));
        }
    }
    #[cfg(not(debug_assertions))]
    let _ = (when, act, what);
}
