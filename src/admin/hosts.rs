//! Which hosts a request may name: the defence against pages that reach this API through somebody's browser.
//!
//! Input: the head of a request. Output: whether `Host` and `Origin` are ours. A page of another site can make a browser send
//! requests here (to a forwarded socket, or by pointing its own name at a loopback address); it can't make it lie in these
//! headers. It never looks at who asks.

use axum::http::{HeaderMap, HeaderName, Uri, header, request::Parts};
use std::net::IpAddr;

/// Why a request isn't answered.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Wrong {
    /// A header is missing, doubled, or not what the standard says.
    Malformed(&'static str),
    /// The request is meant for another host.
    Host(String),
    /// A page of another origin sent it.
    Origin(String),
}

/// A host, lower case and without brackets, and a port if one was named.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Authority {
    host: String,
    port: Option<u16>,
}

/// Checks both. `own` is the address that the connection came in on; a Unix socket has none.
pub(super) fn check(head: &Parts, own: Option<IpAddr>, allowed: &[String]) -> Result<(), Wrong> {
    let name = one(&head.headers, &header::HOST)?.ok_or(Wrong::Malformed("the header Host is missing"))?;
    let host = authority(name).ok_or(Wrong::Malformed("the header Host is no host"))?;
    if !is_ours(&host.host, own, allowed) {
        return Err(Wrong::Host(name.chars().take(253).collect()));
    }
    // A target such as `http://other/` would count instead of Host for those who read it first.
    if let Some(target) = absolute(&head.uri)
        && authority(target).as_ref() != Some(&host)
    {
        return Err(Wrong::Malformed("the request's target names another host than the header Host"));
    }
    match one(&head.headers, &header::ORIGIN)? {
        Some(origin) if !is_same(origin, &host, allowed) => Err(Wrong::Origin(origin.chars().take(253).collect())),
        _ => Ok(()),
    }
}

/// The text of a header that may stand once.
pub(super) fn one<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Result<Option<&'h str>, Wrong> {
    let mut values = headers.get_all(name).iter();
    let Some(first) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Wrong::Malformed("a header that may stand once stands there twice: Host, Origin or Authorization"));
    }
    first.to_str().map(Some).map_err(|_| Wrong::Malformed("a header holds what is not visible ASCII"))
}

fn absolute(uri: &Uri) -> Option<&str> {
    uri.authority().map(axum::http::uri::Authority::as_str)
}

/// Loopback by name or address, the address that the connection came in on, or what the configuration allows.
fn is_ours(host: &str, own: Option<IpAddr>, allowed: &[String]) -> bool {
    let literal = host.parse::<IpAddr>().ok().map(|address| address.to_canonical());
    let here = literal.is_some_and(|address| address.is_loopback() || Some(address) == own);
    here || host == "localhost" || allowed.iter().any(|one| one == host)
}

/// Whether a page of this origin came from here, or from a host that the configuration allows.
fn is_same(origin: &str, host: &Authority, allowed: &[String]) -> bool {
    let (usual, rest) = match origin.split_once("://") {
        Some(("http", rest)) => (80, rest),
        Some(("https", rest)) => (443, rest),
        _ => return false,
    };
    let Some(page) = authority(rest) else { return false };
    let same = page.host == host.host && page.port.unwrap_or(usual) == host.port.unwrap_or(usual);
    same || allowed.contains(&page.host)
}

fn authority(text: &str) -> Option<Authority> {
    let (host, port) = if let Some(rest) = text.strip_prefix('[') {
        let (host, port) = rest.split_once(']')?;
        // One spelling for each address.
        let host: std::net::Ipv6Addr = host.parse().ok()?;
        (host.to_string(), port)
    } else {
        let cut = text.find(':').unwrap_or(text.len());
        let (host, port) = text.split_at_checked(cut)?;
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
        if host.is_empty() || !host.bytes().all(fits) {
            return None;
        }
        (host.to_ascii_lowercase(), port)
    };
    let port = match port.strip_prefix(':') {
        Some(digits) if !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit()) => {
            Some(digits.parse().ok()?)
        }
        None if port.is_empty() => None,
        Some(_) | None => return None,
    };
    Some(Authority { host, port })
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::Request;

    const OWN: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 1, 2, 3));

    fn ask(target: &str, headers: &[(&str, &str)]) -> Result<(), Wrong> {
        let request =
            headers.iter().fold(Request::post(target), |request, (name, value)| request.header(*name, *value));
        check(&request.body(()).expect("a request").into_parts().0, Some(OWN), &["ops.example".to_owned()])
    }

    #[test]
    fn loopback_names_the_own_address_and_allowed_hosts_are_ours() {
        for host in [
            "localhost",
            "LOCALHOST:8080",
            "127.0.0.1:9320",
            "127.9.9.9",
            "[::1]:1",
            "[::ffff:127.0.0.1]",
            "10.1.2.3:9320",
            "ops.example",
        ] {
            assert_eq!(ask("/", &[("host", host)]), Ok(()), "{host}");
        }
        for host in
            ["evil.example", "localhost.evil.example", "10.1.2.4", "ops.example.evil", "0.0.0.0", "[::2]", "localhost."]
        {
            assert_eq!(ask("/", &[("host", host)]), Err(Wrong::Host(host.into())), "{host}");
        }
        for host in
            ["", ":80", "user@localhost", "localhost:", "localhost:x", "localhost:99999", "[::1", "a b", "localhost/x"]
        {
            assert!(matches!(ask("/", &[("host", host)]), Err(Wrong::Malformed(_))), "{host}");
        }
        assert!(matches!(ask("/", &[]), Err(Wrong::Malformed(_))));
        assert!(matches!(ask("/", &[("host", "localhost"), ("host", "localhost")]), Err(Wrong::Malformed(_))));
    }

    #[test]
    fn the_target_must_not_be_open_to_two_readings() {
        assert_eq!(ask("http://localhost:7/x", &[("host", "localhost:7")]), Ok(()));
        assert!(matches!(ask("http://evil.example/x", &[("host", "localhost")]), Err(Wrong::Malformed(_))));
    }

    #[test]
    fn only_our_own_pages_may_send() {
        let from = |origin: &str, host: &str| ask("/", &[("host", host), ("origin", origin)]);
        for (origin, host) in [
            ("http://localhost:8080", "localhost:8080"),
            ("https://ops.example", "127.0.0.1:9320"),
            ("https://OPS.example:8443", "localhost"),
            ("http://127.0.0.1", "127.0.0.1:80"),
            ("http://[::1]:9320", "[0::1]:9320"),
        ] {
            assert_eq!(from(origin, host), Ok(()), "{origin} {host}");
        }
        for (origin, host) in [
            ("http://localhost:3000", "localhost:8080"),
            ("http://127.0.0.1:8080", "localhost:8080"),
            ("https://evil.example", "localhost:8080"),
            ("null", "localhost:8080"),
            ("file://", "localhost"),
            ("", "localhost"),
            ("http://localhost:8080.evil.example", "localhost:8080"),
            ("http://localhost:8080@evil.example", "localhost:8080"),
        ] {
            assert_eq!(from(origin, host), Err(Wrong::Origin(origin.into())), "{origin} {host}");
        }
        let twice = [("host", "localhost"), ("origin", "http://localhost"), ("origin", "http://localhost")];
        assert!(matches!(ask("/", &twice), Err(Wrong::Malformed(_))));
    }
}
