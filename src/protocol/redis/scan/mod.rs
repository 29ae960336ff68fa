//! Boundary scanners for RESP2, RESP3 and inline requests.
//!
//! Both scanners are fed the unconsumed bytes of a connection, starting at the first byte of the current request or reply,
//! and say how long it is. They keep their place between calls (a byte is never looked at twice, but for a header line that
//! was cut), need no memory beyond their own few words however deep or long the value is, and never copy a byte.
//!
//! How a reader loop uses them (the reply scanner differs only in having no head and no inline form):
//! 1. `next(&buf[at..], limits)`; on `Complete` use `buf[at..at + len]`, add `len` to `at`, call again.
//! 2. On `NeedMore` read more and call again with the *same start* and more bytes.
//! 3. If the buffer has grown larger than the caller wants to keep, `head(&buf[at..])` tells what is known of the request so
//!    far, and `take(have)` says how many of the bytes can be passed on and dropped at once. The next call of `next` then
//!    starts behind them; its `Complete` has the length of what remains, and no arguments.
//!
//! After an error the connection can't be used again: where the next request would start is unknown.

mod inline;
mod number;
mod reply;
mod request;

#[cfg(test)]
mod reply_tests;
#[cfg(test)]
mod request_tests;

pub use inline::expand_inline;
pub(in crate::protocol::redis) use number::strict;
pub use reply::{Reply, ReplyError, ReplyKind, ReplyScanner};
pub use request::{HEAD_ARGS, Head, Limits, RequestError, RequestScanner, Scan};
