//! MySQL and MariaDB.

mod rights;

pub use rights::{MARIADB_GRANTS, MYSQL_GRANTS};
