//! Values written as text: durations, sizes, addresses, names.
//!
//! Input: one string. Output: the value, or the reason as a sentence and how to mend it. Never: I/O or name resolution.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use jiff::SignedDuration;

use super::schema::Listen;

/// The longest path that fits a Unix socket's address on Linux (108 bytes with the ending zero).
const SOCKET_PATH: usize = 107;
/// What the address of a node looks like.
const FORM: &str = "a host and a port, as in \"10.0.0.5:6379\", \"cache-1.example:6379\" or \"[fd00::5]:6379\"";
/// The longest DNS name.
const HOST_NAME: usize = 253;
/// The longest name of a service or cluster.
const NAME: usize = 63;

/// Why a text is not the value it should be.
#[derive(Debug, PartialEq, Eq)]
pub struct Invalid {
    /// What is wrong, as the end of a sentence: `… is not a duration`.
    pub message: String,
    /// How to mend it.
    pub help: String,
}

impl Invalid {
    pub(super) fn new(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { message: message.into(), help: help.into() }
    }
}

/// A text from the file as it may stand in a message: control characters escaped, and cut after 60 characters.
pub(super) fn shown(text: &str) -> String {
    let cut: String = text.chars().take(60).collect();
    let more = if cut.len() < text.len() { "…" } else { "" };
    format!("`{}{more}`", cut.escape_debug())
}

/// A duration with its unit: `200ms`, `10s`, `1m30s`, `1h`. Never negative.
pub fn parse_duration(text: &str) -> Result<Duration, Invalid> {
    let bad = || {
        Invalid::new(
            format!("{} is not a duration", shown(text)),
            "a number and its unit, as in \"200ms\", \"10s\", \"5m\", \"1h\" or \"90d\"",
        )
    };
    let days = text.trim().strip_suffix('d').and_then(|days| days.parse::<u32>().ok());
    if let Some(days) = days {
        return Ok(Duration::from_secs(u64::from(days) * 24 * 60 * 60));
    }
    let signed: SignedDuration = text.trim().parse().map_err(|_| bad())?;
    Duration::try_from(signed).map_err(|_| bad())
}

/// A duration as it is written in the file.
pub fn show_duration(duration: Duration) -> String {
    SignedDuration::try_from(duration)
        .map_or_else(|_| format!("{duration:?}"), |signed| format!("{signed:#}").replace(' ', ""))
}

/// A size with its unit, in bytes: `64MiB`; KiB, MiB and GiB count by 1024, kB, MB and GB by 1000.
pub fn parse_size(text: &str) -> Result<u64, Invalid> {
    let bad = || {
        Invalid::new(
            format!("{} is not a size", shown(text)),
            "a whole number and its unit: B, KiB, MiB or GiB, as in \"64MiB\"",
        )
    };
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(digits).ok_or_else(bad)?;
    let factor: u64 = match unit.trim() {
        "B" => 1,
        "kB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return Err(bad()),
    };
    number.parse::<u64>().ok().and_then(|number| number.checked_mul(factor)).ok_or_else(bad)
}

/// A size as it is written in the file.
pub fn show_size(bytes: u64) -> String {
    [(30, "GiB"), (20, "MiB"), (10, "KiB")]
        .into_iter()
        .find(|(shift, _)| bytes > 0 && bytes.trailing_zeros() >= *shift)
        .map_or_else(|| format!("{bytes}B"), |(shift, unit)| format!("{}{unit}", bytes >> shift))
}

/// `ip:port` or `unix:/path`.
pub fn parse_listen(text: &str) -> Result<Listen, Invalid> {
    if let Some(path) = text.strip_prefix("unix:") {
        return parse_socket_path(path).map(Listen::Unix);
    }
    parse_ip_port(text).map(Listen::Tcp)
}

/// `ip:port`, the port not 0: what a listener can be bound to without resolving a name.
pub fn parse_ip_port(text: &str) -> Result<SocketAddr, Invalid> {
    let address: SocketAddr = text.parse().map_err(|_| {
        let help = match text.rsplit_once(':') {
            Some(("localhost" | "", port)) if port.parse::<u16>().is_ok() => format!("write \"127.0.0.1:{port}\""),
            _ => "an IP address and a port, as in \"127.0.0.1:6379\" or \"[::1]:6379\"".to_owned(),
        };
        Invalid::new(format!("{} is not an address to listen on", shown(text)), help)
    })?;
    if address.port() == 0 {
        return Err(Invalid::new("port 0 is not allowed", "applications need a port that stays the same"));
    }
    Ok(address)
}

/// An absolute path short enough for a Unix socket.
pub fn parse_socket_path(path: &str) -> Result<PathBuf, Invalid> {
    if !path.starts_with('/') {
        return Err(Invalid::new(format!("the socket's path {} is not absolute", shown(path)), "begin it with `/`"));
    }
    if path.len() > SOCKET_PATH {
        return Err(Invalid::new(
            format!("the socket's path is {} bytes long", path.len()),
            format!("the operating system allows {SOCKET_PATH}"),
        ));
    }
    Ok(PathBuf::from(path))
}

/// The canonical form of a node's `host:port`, for comparing: host in lower case, an IPv6 address shortened, in brackets.
pub fn parse_node_address(text: &str) -> Result<String, Invalid> {
    let bad = |help: &str| Invalid::new(format!("{} is not the address of a node", shown(text)), help);
    let (host, port) = text.rsplit_once(':').ok_or_else(|| bad(FORM))?;
    let port: u16 = port.parse().map_err(|_| bad(FORM))?;
    if port == 0 {
        return Err(Invalid::new("port 0 is not allowed", FORM));
    }
    if let Some(inner) = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        let ip: std::net::Ipv6Addr = inner.parse().map_err(|_| bad(FORM))?;
        return Ok(format!("[{ip}]:{port}"));
    }
    if host.contains(':') {
        return Err(bad("put an IPv6 address in brackets, as in \"[fd00::5]:6379\""));
    }
    let fits = !host.is_empty()
        && host.len() <= HOST_NAME
        && host.chars().all(|c| c.is_ascii_alphanumeric() || "-._".contains(c));
    if fits { Ok(format!("{}:{port}", host.to_ascii_lowercase())) } else { Err(bad(FORM)) }
}

/// The name of a service or cluster: it stands in metrics, URLs, file names and connection names.
pub fn parse_name(text: &str) -> Result<String, Invalid> {
    let first = text.chars().next().is_some_and(|c| c.is_ascii_alphanumeric());
    let all = text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
    if first && all && text.len() <= NAME {
        return Ok(text.to_owned());
    }
    Err(Invalid::new(
        format!("{} can't be a name", shown(text)),
        format!("1 to {NAME} letters, digits, `-` and `_`, beginning with a letter or digit"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_need_a_unit_and_may_be_compound() {
        for (text, millis) in
            [("200ms", 200), ("10s", 10_000), ("1m30s", 90_000), ("1.5s", 1500), ("2h", 7_200_000), ("0s", 0)]
        {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "200", "ms", "-1s", "1 fortnight", "1s1", "99999999999999999999h"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn durations_and_sizes_are_shown_as_they_are_read() {
        for text in ["200ms", "10s", "1m30s", "24h", "0s"] {
            assert_eq!(parse_duration(text).map(show_duration).as_deref(), Ok(text));
        }
        for text in ["64MiB", "1GiB", "3KiB", "1000B", "0B"] {
            assert_eq!(parse_size(text).map(show_size).as_deref(), Ok(text));
        }
    }

    #[test]
    fn sizes_have_one_of_the_units_and_fit() {
        assert_eq!(parse_size("1 MB"), Ok(1_000_000));
        for text in ["", "1", "MiB", "-1B", "1.5MiB", "1mib", "18446744073709551615KiB"] {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn node_addresses_compare_in_one_form() {
        for (text, canonical) in [
            ("Cache-1.Example:6379", "cache-1.example:6379"),
            ("[FD00:0:0::5]:6379", "[fd00::5]:6379"),
            ("10.0.0.5:06379", "10.0.0.5:6379"),
        ] {
            assert_eq!(parse_node_address(text).as_deref(), Ok(canonical));
        }
        for text in ["", ":1", "a:", "a:0", "a:65536", "a b:1", "::1:6379", "[::1:6379", "[nonsense]:1", "a:+1x"] {
            assert!(parse_node_address(text).is_err(), "{text}");
        }
    }

    #[test]
    fn socket_paths_fit_the_operating_system() {
        assert!(parse_listen(&format!("unix:/{}", "x".repeat(106))).is_ok());
        assert!(parse_listen(&format!("unix:/{}", "x".repeat(107))).is_err());
        assert!(parse_listen("unix:").is_err());
    }

    #[test]
    fn names_stand_in_urls_and_metrics() {
        for text in ["a", "cart-2", "0_x", &"x".repeat(63)] {
            assert!(parse_name(text).is_ok(), "{text}");
        }
        for text in ["", "-a", "_a", "a.b", "a b", "caf\u{e9}", &"x".repeat(64)] {
            assert!(parse_name(text).is_err(), "{text}");
        }
    }
}
