//! The rights that our login needs at a node.

/// What our login is granted at a MySQL server, as statements.
pub const MYSQL_GRANTS: [&str; 3] = [
    "GRANT REPLICATION CLIENT, RELOAD, PROCESS, REPLICATION_SLAVE_ADMIN, SYSTEM_VARIABLES_ADMIN, CONNECTION_ADMIN ON *.* TO 'pointsman'@'%'",
    "GRANT SELECT ON performance_schema.* TO 'pointsman'@'%'",
    "GRANT SELECT ON mysql.* TO 'pointsman'@'%'",
];

/// The same for MariaDB, from 10.5.
pub const MARIADB_GRANTS: [&str; 3] = [
    "GRANT BINLOG MONITOR, SLAVE MONITOR, RELOAD, PROCESS, REPLICATION SLAVE ADMIN, REPLICATION MASTER ADMIN, READ_ONLY ADMIN, \
     CONNECTION ADMIN ON *.* TO 'pointsman'@'%'",
    "GRANT SELECT ON performance_schema.* TO 'pointsman'@'%'",
    "GRANT SELECT ON mysql.* TO 'pointsman'@'%'",
];
