//! The Elasticsearch store on real clusters of both products: what probes find in each state, what a comparison names, what is advised.

mod common;
#[path = "store_elastic/fitness.rs"]
mod fitness;
#[path = "store_elastic/inspect.rs"]
mod inspect;
#[path = "store_elastic/setup.rs"]
mod setup;
#[path = "store_elastic/stand_in.rs"]
mod stand_in;
#[path = "store_elastic/states.rs"]
mod states;
