//! The operators' HTTP API on a Unix socket and over TCP, and the listener of metrics and health.
//!
//! Inputs: requests of operators and monitoring, and control's [`crate::control::Handle`]. Outputs: JSON views,
//! `application/problem+json` errors, Server-Sent Events, the metrics page. It decides nothing: an order goes to control
//! and its answer comes back. Everything that a caller can make it keep is bounded.

mod api;
mod body;
mod events;
mod gate;
mod groups;
mod hosts;
mod identity;
mod journal;
mod listener;
mod openapi;
mod operations;
mod orders;
mod page;
mod patience;
mod people;
mod problem;
mod serve;
mod tcp;
mod visitors;
mod watch;

pub use api::AdminApi;
pub use body::{ConsentBody, ModeBody, NamedBody, PauseBody, ResumeBody, SwitchBody};
pub use groups::GroupSwitchBody;
pub use listener::AdminSocket;
pub use problem::{PROBLEM, Problem};
pub use tcp::{AdminTcp, AdminTls};
pub use watch::{Sources, WatchListener};
