//! The MySQL store on real servers of both flavours: probes and what their failures prove, actions, whole switches, rights, advice.

#[path = "store_mysql/actions.rs"]
mod actions;
mod common;
#[path = "store_mysql/fitness.rs"]
mod fitness;
#[path = "store_mysql/probes.rs"]
mod probes;
#[path = "store_mysql/rebuild.rs"]
mod rebuild;
#[path = "store_mysql/setup.rs"]
mod setup;
#[path = "store_mysql/switch.rs"]
mod switch;
#[path = "store_mysql/tls.rs"]
mod tls;
#[path = "store_mysql/writer.rs"]
mod writer;
