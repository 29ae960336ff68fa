//! The differential engine: the same exchange of bytes with a Redis server and with a Pointsman in front of its twin.
//!
//! Scripts (`scripts/*.txt`, see [`script`]) or generated commands run against both sides, each with fresh servers; what comes
//! back must be the same bytes, but for what a script masks in plain sight. `POINTSMAN_BEHAVIOUR=direct` puts a second server
//! in Pointsman's place: that shows whether a script is deterministic at all.
#![allow(dead_code, reason = "every test program compiles this module and uses a part of it")]

pub mod mask;
pub mod play;
pub mod script;
pub mod side;
pub mod wire;
