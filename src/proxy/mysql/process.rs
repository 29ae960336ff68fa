//! Which server process is at the other end of a connection: two facts that the store writes into the board's view, and the data path compares.
//!
//! The first is who the server is (`server_uuid`, or MariaDB's host, port and server id), the second when it started, in whole seconds by its own
//! clock, so that it comes out a second or two differently from one question to the next.

/// How far two answers of the same process lie apart at most, in seconds.
const SLACK: u64 = 2;

/// Who the server is: the first fact alone, which it has at hand.
pub fn identity(mariadb: bool) -> &'static str {
    if mariadb { "SELECT CONCAT(@@hostname, ':', @@port, ':', @@server_id)" } else { "SELECT @@server_uuid" }
}

/// The question for both. A server gathers all its status variables to answer it.
pub fn question(mariadb: bool) -> &'static str {
    if mariadb {
        "SELECT CONCAT(@@hostname, ':', @@port, ':', @@server_id), UNIX_TIMESTAMP() - VARIABLE_VALUE \
         FROM information_schema.GLOBAL_STATUS WHERE VARIABLE_NAME = 'UPTIME'"
    } else {
        "SELECT @@server_uuid, UNIX_TIMESTAMP() - VARIABLE_VALUE \
         FROM performance_schema.global_status WHERE VARIABLE_NAME = 'Uptime'"
    }
}

/// True if the answer to [`identity`] is that of the process which is served, `WHO/START`.
pub fn is_identity(served: &str, row: &[Option<Vec<u8>>]) -> bool {
    let served = served.rsplit_once('/').map(|(who, _)| who);
    served.is_some() && text(row, 0) == served
}

/// True if the answer to [`question`] is that of the process which is served.
pub fn is_served(served: &str, row: &[Option<Vec<u8>>]) -> bool {
    let (Some(start), Some((_, served_start))) = (text(row, 1), served.rsplit_once('/')) else { return false };
    // MariaDB and MySQL both calculate with the text of the status variable as a number with a fraction.
    let seconds = |text: &str| text.split('.').next().and_then(|whole| whole.parse::<u64>().ok());
    let near = seconds(start).zip(seconds(served_start)).is_some_and(|(a, b)| a.abs_diff(b) <= SLACK);
    near && is_identity(served, row)
}

fn text(row: &[Option<Vec<u8>>], column: usize) -> Option<&str> {
    row.get(column)?.as_deref().and_then(|bytes| std::str::from_utf8(bytes).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(who: &str, start: &str) -> Vec<Option<Vec<u8>>> {
        vec![Some(who.into()), Some(start.into())]
    }

    #[test]
    fn the_same_process_is_known_again_and_no_other() {
        let served = "c0ffee/1700000000";
        assert!(is_served(served, &row("c0ffee", "1700000002")) && is_served(served, &row("c0ffee", "1699999999.0")));
        assert!(!is_served(served, &row("c0ffee", "1700000003")) && !is_served(served, &row("decaf", "1700000000")));
        assert!(!is_served("", &row("", "0")) && !is_served(served, &[]) && !is_served(served, &[None, None]));
        assert!(is_served("host:3306:1/5", &row("host:3306:1", "5")));
        assert!(is_identity(served, &row("c0ffee", "0")) && !is_identity(served, &row("decaf", "1700000000")));
        assert!(!is_identity("", &row("", "0")) && !is_identity("/5", &[None]) && !is_identity(served, &[]));
    }
}
