//! The words of Pointsman as plain types: names, routes, observations, actions, guards, operations, journal records.
//!
//! Floor 0: imported by every other floor, imports none. It holds data and the small pure functions that belong to a
//! word (parsing its name, folding a record into the state). It never does I/O, never reads a clock.

pub mod action;
pub mod error;
pub mod group;
pub mod guard;
pub mod lineage;
pub mod name;
pub mod narrative;
pub mod observation;
pub mod operation;
pub mod person;
pub mod record;
pub mod route;
pub mod secret;
pub mod signal;
pub mod state;
pub mod suspicion;
pub mod timeline;
pub mod transactions;
pub mod view;
