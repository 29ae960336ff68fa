//! The operators' HTTP API on a Unix socket, and the listener of metrics and health.
//!
//! Inputs: requests of operators and monitoring, and control's [`crate::control::Handle`]. Outputs: JSON views,
//! `application/problem+json` errors, Server-Sent Events, the metrics page. It decides nothing: an order goes to control
//! and its answer comes back. Everything that a caller can make it keep is bounded.

mod api;
mod body;
mod events;
mod listener;
mod openapi;
mod operations;
mod orders;
mod problem;
mod serve;
mod watch;

pub use body::{ConsentBody, ModeBody, NamedBody, PauseBody, ResumeBody, SwitchBody};
pub use listener::AdminSocket;
pub use problem::{PROBLEM, Problem};
pub use watch::{Sources, WatchListener};
