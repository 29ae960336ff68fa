//! Named points of a switch at which a debug build can be told to die, so that tests prove what a restart makes of it.
//!
//! `POINTSMAN_CRASH_AT=before_act_promote` aborts the process (no destructor, no flush) the first time it gets there. A
//! point's name is `before_` or `after_`, then `write_`, `publish_` or `act_`, then what is written, shown or done. In a
//! release build the function is empty and the environment is never read.

#[cfg(debug_assertions)]
use std::sync::LazyLock;

/// Where the process is to die.
#[cfg(debug_assertions)]
static CRASH_AT: LazyLock<Option<String>> = LazyLock::new(|| std::env::var("POINTSMAN_CRASH_AT").ok());

/// Dies here, if this is the point the environment names. `what` is built only in debug builds.
pub(super) fn point(when: &str, act: &str, what: impl FnOnce() -> String) {
    #[cfg(debug_assertions)]
    {
        let name = format!("{when}_{act}_{}", what());
        tracing::trace!(point = name, "crash point");
        if CRASH_AT.as_deref() == Some(name.as_str()) {
            tracing::error!(point = name, "dying at the crash point that POINTSMAN_CRASH_AT names");
            std::process::abort();
        }
    }
    #[cfg(not(debug_assertions))]
    let _ = (when, act, what);
}
