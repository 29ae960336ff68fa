//! A command at which a debug build can be told to panic, so that tests prove what is left of a session's neighbours.
//!
//! `POINTSMAN_PANIC_ON="GET boom"` panics in the session that sends a command which begins with these two words, each time. In a
//! release build the function is empty and the environment is never read.

use crate::protocol::redis::scan::Head;

/// The command to panic at.
#[cfg(debug_assertions)]
static ON: std::sync::LazyLock<Option<String>> = std::sync::LazyLock::new(|| std::env::var("POINTSMAN_PANIC_ON").ok());

/// Panics if this is the command.
pub fn point(head: &Head, request: &[u8]) {
    #[cfg(debug_assertions)]
    if let Some((name, argument)) = ON.as_deref().and_then(|on| on.split_once(' ')) {
        let is = |index, word: &str| head.arg(request, index) == Some(word.as_bytes());
        assert!(!(is(0, name) && is(1, argument)), "POINTSMAN_PANIC_ON");
    }
    #[cfg(not(debug_assertions))]
    let _ = (head, request);
}
