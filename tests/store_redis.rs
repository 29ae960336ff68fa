//! The Redis store on real servers: probes and what their failures prove, actions, a whole switch, rights, advice.

#[path = "store_redis/actions.rs"]
mod actions;
mod common;
#[path = "store_redis/fitness.rs"]
mod fitness;
#[path = "store_redis/probes.rs"]
mod probes;
#[path = "store_redis/setup.rs"]
mod setup;
#[path = "store_redis/switch.rs"]
mod switch;
