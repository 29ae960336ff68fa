//! The faults of MySQL and MariaDB services.

pub mod idle;
pub mod load;
pub mod scene;

mod crash;
mod hang;
mod kills;
mod orders;

pub use crash::{candidate_dies, kills, kills_by_default, returned_with_strays, within_the_hysteresis};
pub use hang::{hangs, unfenced_blocks};
pub use kills::{locked, moments};
pub use orders::{candidate_dies_in_catch_up, planned};
