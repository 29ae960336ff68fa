//! The APIs of Elasticsearch and OpenSearch as a proxy sees them.
//!
//! [`classify`] says by method, path and query what a request may do, where it may be sent again, and whether it carries or asks
//! for something that has to be changed on its way: [`cursor`] puts the cluster's name in front of ids that only their own cluster
//! knows and takes it off again, [`sniff`] shows clients that ask for the nodes the listener alone, [`refusal`] writes Pointsman's
//! own answers in the servers' form. Both products are served by one set of rules: where their APIs differ, paths do.
//! Inputs are slices that the caller owns; nothing here does I/O, and nothing allocates for a plain request.

mod api;
pub mod cursor;
mod json;
mod path;
pub mod refusal;
pub mod sniff;

#[cfg(test)]
mod api_tests;
#[cfg(test)]
mod cursor_tests;

pub use api::{Class, Request, Retry, Special, classify};
