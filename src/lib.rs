//! Pointsman: a protocol-aware sidecar proxy that switches Redis, MySQL and Elasticsearch clusters under running
//! applications. The floors are listed in `docs/ARCHITECTURE.md`; `tests/layers.rs` proves that nothing imports upward.

pub mod admin;
pub mod app;
pub mod cli;
pub mod config;
pub mod control;
pub mod coord;
pub mod decision;
pub mod demo;
pub mod model;
pub mod net;
pub mod protocol;
pub mod proxy;
pub mod route;
pub mod store;
pub mod telemetry;
pub mod tell;
