//! Paths and queries, taken apart as the servers do.
//!
//! The servers match the raw path (a name written with `%5f` is not `_bulk`), split it at every `/`, and ignore `/` at its end;
//! parameters are separated by `&` or `;` and decoded.

/// How many segments of a path are looked at; no API has more.
const SEGMENTS: usize = 8;

/// The first segments of a path.
#[derive(Debug, Clone, Copy)]
pub struct Path<'a> {
    segments: [&'a str; SEGMENTS],
    len: usize,
}

impl<'a> Path<'a> {
    pub fn of(path: &'a str) -> Self {
        let path = path.strip_prefix('/').unwrap_or(path).trim_end_matches('/');
        let mut segments = [""; SEGMENTS];
        let mut len = 0;
        if !path.is_empty() {
            for (place, segment) in segments.iter_mut().zip(path.split('/')) {
                *place = segment;
                len += 1;
            }
        }
        Self { segments, len }
    }

    pub fn segments(&self) -> &[&'a str] {
        &self.segments[..self.len]
    }
}

/// The value of the parameter of that name as it stands in the query, empty if it has none.
pub fn parameter<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    query.split(['&', ';']).find_map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        decodes_to(key, name).then_some(value)
    })
}

/// Whether `encoded` is `plain` after percent-decoding; `plain` has no `%`, no `+` and no space.
fn decodes_to(encoded: &str, plain: &str) -> bool {
    if !encoded.contains('%') {
        return encoded == plain;
    }
    let mut bytes = encoded.bytes();
    let mut next = || match bytes.next() {
        Some(b'%') => {
            let mut digit = || bytes.next().and_then(|byte| (byte as char).to_digit(16));
            let (high, low) = (digit()?, digit()?);
            u8::try_from(high * 16 + low).ok()
        }
        other => other,
    };
    plain.bytes().all(|byte| next() == Some(byte)) && next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_split_as_the_servers_do() {
        let split = |path| Path::of(path).segments().join("|");
        for (path, segments) in [
            ("/", ""),
            ("", ""),
            ("//", ""),
            ("/_search", "_search"),
            ("/a/_doc/1/", "a|_doc|1"),
            ("/a/_doc/1///", "a|_doc|1"),
            ("//_bulk", "|_bulk"),
            ("/a%2Fb/_doc/%2F", "a%2Fb|_doc|%2F"),
            ("/1/2/3/4/5/6/7/8/9", "1|2|3|4|5|6|7|8"),
        ] {
            assert_eq!(split(path), segments, "{path}");
        }
    }

    #[test]
    fn parameters_are_found_however_they_are_written() {
        for (query, value) in [
            ("scroll=1m", Some("1m")),
            ("size=1&scroll=1m", Some("1m")),
            ("size=1;scroll=1m", Some("1m")),
            ("scroll", Some("")),
            ("%73croll=1m", Some("1m")),
            ("s%63rol%6C=1m", Some("1m")),
            ("scroll=", Some("")),
            ("xscroll=1m", None),
            ("scroll_id=1m", None),
            ("scrol%6C_id=1m", None),
            ("q=scroll=1m", None),
            ("scrol%6", None),
            ("", None),
        ] {
            assert_eq!(parameter(query, "scroll"), value, "{query}");
        }
    }
}
