//! What a client has said that a fresh upstream doesn't know.
//!
//! [`Change::read`] says what a request would change; once the server (or Pointsman itself) has accepted it,
//! [`Session::apply`] remembers it. [`Session::replay`] writes the commands that bring a new connection into the same state.
//! A plain session is small; what few clients use is boxed. Passwords are [`Secret`](crate::model::secret::Secret)s.

mod change;
mod login;
mod replay;
mod state;

#[cfg(test)]
mod tests;

pub use change::{Change, Channel};
pub use login::{Hello, Login, Refusal, arity, parse_auth, parse_hello, parse_select, parse_setinfo, parse_setname};
pub use replay::Replay;
pub use state::{Label, QUEUE_MAX, ReplyMode, Selector, Session, Tracking};
