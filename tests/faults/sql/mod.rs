//! The faults of MySQL and MariaDB services.

<<<<<<< HEAD
=======
pub mod idle;
>>>>>>> faults
pub mod load;
pub mod scene;

mod crash;
mod hang;
<<<<<<< HEAD
=======
mod kills;
>>>>>>> faults
mod orders;

pub use crash::{candidate_dies, kills, kills_by_default, returned_with_strays, within_the_hysteresis};
pub use hang::{hangs, unfenced_blocks};
<<<<<<< HEAD
=======
pub use kills::{locked, moments};
>>>>>>> faults
pub use orders::{candidate_dies_in_catch_up, planned};
