//! Envelopes of cursor ids: which cluster issued an id stands in front of it, as `pm.CLUSTER.`.
//!
//! The ids of scrolls, points in time and asynchronous searches are base64url, which has no dot, and so have names of clusters: an
//! envelope can't be taken for an id, nor an id for an envelope. Nothing is remembered: ids outlive a restart of Pointsman and
//! can be used through another one. Only JSON is read; what stands in YAML, SMILE or CBOR is passed as it is.

use super::json::{End, Place, walk};

/// How far into an answer an id is looked for, in bytes: it is one of the first keys, in both products.
pub const SEARCHED: usize = 64 << 10;
/// How long a request's body, or a list of cursors, may be that is looked at, in bytes.
pub const MAX_BODY: usize = 1 << 20;

const MARK: &str = "pm.";

/// What becomes of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wrap {
    /// Ask again with more of it, from its begin.
    More,
    /// It names no cursor, or none that is found within the bounds.
    AsItIs,
    /// This is to be sent in place of what was read of it; what comes behind is sent as it is.
    Changed(Vec<u8>),
}

/// Ids that belong to several clusters, or to a known one and an unknown one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mixed;

/// Puts the envelope of the cluster in front of the ids that its answer names: a cursor that was opened or continued, or a list of
/// points in time. `begin` is the begin of the answer's body, without the framing of chunks, `whole` tells that it is all of it.
pub fn wrap(cluster: &str, begin: &[u8], whole: bool) -> Wrap {
    let searched = &begin[..begin.len().min(SEARCHED)];
    let (mut first, mut listed) = (0, false);
    let end = walk(searched, true, |place, (at, _)| {
        (first, listed) = (at, is_listed(&place));
        listed || place.depth == 1 && matches!(place.keys[0], b"_scroll_id" | b"pit_id" | b"id")
    });
    match end {
        End::Stopped if !listed => Wrap::Changed(enveloped(cluster, begin, &[first])),
        End::Stopped if whole => {
            let mut all = Vec::new();
            walk(begin, true, |place, (at, _)| {
                all.extend(is_listed(&place).then_some(at));
                false
            });
            Wrap::Changed(enveloped(cluster, begin, &all))
        }
        End::Stopped if begin.len() < MAX_BODY => Wrap::More,
        End::Text if !whole && begin.len() < SEARCHED => Wrap::More,
        _ => Wrap::AsItIs,
    }
}

/// The text with the cluster's envelope at each of those places.
fn enveloped(cluster: &str, text: &[u8], places: &[usize]) -> Vec<u8> {
    let each = MARK.len() + cluster.len() + 1;
    let (mut out, mut copied) = (Vec::with_capacity(text.len() + each * places.len()), 0);
    for &at in places {
        out.extend_from_slice(&text[copied..at]);
        for part in [MARK, cluster, "."] {
            out.extend_from_slice(part.as_bytes());
        }
        copied = at;
    }
    out.extend_from_slice(&text[copied..]);
    out
}

/// Where a list of points in time names them: `{"pits":[{"pit_id":"..."}]}`.
fn is_listed(place: &Place<'_>) -> bool {
    place.depth == 3 && matches!(place.keys, [b"pits", b"", b"pit_id"])
}

/// Takes the envelopes off the ids in a request's body. Returns the cluster they name; `out` then has the body to send. `None`: the
/// body holds none of ours and is sent as it is.
pub fn unwrap_body<'a>(body: &'a [u8], out: &mut Vec<u8>) -> Result<Option<&'a str>, Mixed> {
    if memchr::memmem::find(body, b"\"pm.").is_none() {
        return Ok(None);
    }
    let (mut owner, mut copied) = (Owner::default(), 0);
    out.clear();
    walk(body, false, |place, (begin, end)| {
        if is_id(&place) {
            let id = owner.note(&body[begin..end]);
            out.extend_from_slice(&body[copied..begin]);
            out.extend_from_slice(id);
            copied = end;
        }
        false
    });
    out.extend_from_slice(&body[copied..]);
    owner.settle()
}

/// Takes the envelopes off the ids in a request's target, in its path or query, one or a comma-separated list. Returns the cluster
/// they name; `out` then has the target to send. `None`: the target holds none of ours and is sent as it is.
pub fn unwrap_target<'a>(target: &'a str, out: &mut String) -> Result<Option<&'a str>, Mixed> {
    if !target.contains(MARK) {
        return Ok(None);
    }
    let mut owner = Owner::default();
    out.clear();
    for value in target.split_inclusive(['/', '?', '&', ';', '=']) {
        let (value, end) = value.split_at(value.trim_end_matches(['/', '?', '&', ';', '=']).len());
        if split(value.as_bytes()).is_some() || value.contains(",pm.") || value.to_ascii_lowercase().contains("%2cpm.")
        {
            list(value, &mut owner, out);
        } else {
            out.push_str(value);
        }
        out.push_str(end);
    }
    owner.settle()
}

/// The ids of a list, whose commas may be percent-encoded.
fn list<'a>(mut value: &'a str, owner: &mut Owner<'a>, out: &mut String) {
    loop {
        let comma = value.find(',').map(|at| (at, 1));
        let encoded = value.find("%2C").or_else(|| value.find("%2c")).map(|at| (at, 3));
        let (at, len) = comma.into_iter().chain(encoded).min().unwrap_or((value.len(), 0));
        let id = owner.note(&value.as_bytes()[..at]).len();
        out.push_str(&value[at - id..at + len]);
        if len == 0 {
            return;
        }
        value = &value[at + len..];
    }
}

/// Where requests hold ids: `scroll_id` of scrolls, `pit_id` and `id` of points in time that are closed, `pit` of searches.
fn is_id(place: &Place<'_>) -> bool {
    matches!(
        (place.depth, place.keys),
        (1, [b"scroll_id" | b"pit_id" | b"id", ..]) | (2, [b"scroll_id" | b"pit_id", b"", _] | [b"pit", b"id", _])
    )
}

/// The cluster and the id within an envelope.
fn split(id: &[u8]) -> Option<(&str, &[u8])> {
    let rest = id.strip_prefix(MARK.as_bytes())?;
    let dot = memchr::memchr(b'.', rest)?;
    let name = std::str::from_utf8(&rest[..dot]).ok()?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    (!name.is_empty() && name.bytes().all(plain)).then_some((name, &rest[dot + 1..]))
}

/// Whose the ids of a request are.
#[derive(Default)]
struct Owner<'a> {
    cluster: Option<&'a str>,
    bare: bool,
    mixed: bool,
}

impl<'a> Owner<'a> {
    /// The id as its cluster knows it.
    fn note(&mut self, id: &'a [u8]) -> &'a [u8] {
        let Some((cluster, id)) = split(id) else {
            self.bare = true;
            return id;
        };
        self.mixed |= self.cluster.is_some_and(|other| other != cluster);
        self.cluster = Some(cluster);
        id
    }

    fn settle(self) -> Result<Option<&'a str>, Mixed> {
        let mixed = self.mixed || (self.bare && self.cluster.is_some());
        if mixed { Err(Mixed) } else { Ok(self.cluster) }
    }
}
