//! The replies that Pointsman writes itself, and what the first word of a server's error means.
//!
//! All functions append to a buffer the caller owns.

use super::Protocol;

/// What an error says about the command that got it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// `READONLY`, `LOADING`, `MASTERDOWN`: not executed, and another node would have.
    WrongNode,
    /// `NOREPLICAS`: not executed; retried while our own fence is set or the primary is new, delivered otherwise.
    NoReplicas,
    /// `UNBLOCKED`: the node was demoted while a command blocked; it was not executed.
    Unblocked,
    /// `NOAUTH`: the upstream isn't logged in, or no longer.
    NoAuth,
    /// `WRONGPASS`: the credentials were refused.
    WrongPass,
    /// `EXECABORT`: a queued command was refused, nothing of the transaction was executed.
    ExecAbort,
    /// Everything else is the application's.
    Deliver,
}

impl ErrorKind {
    /// Judges by the first word of the error.
    pub fn of(word: &[u8]) -> Self {
        match word {
            b"READONLY" | b"LOADING" | b"MASTERDOWN" => Self::WrongNode,
            b"NOREPLICAS" => Self::NoReplicas,
            b"UNBLOCKED" => Self::Unblocked,
            b"NOAUTH" => Self::NoAuth,
            b"WRONGPASS" => Self::WrongPass,
            b"EXECABORT" => Self::ExecAbort,
            _ => Self::Deliver,
        }
    }
}

/// What `HELLO` tells the client about its server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HelloFacts<'a> {
    /// `redis` or `valkey`.
    pub server: &'a str,
    /// The server's version.
    pub version: &'a str,
    /// An id of the connection.
    pub id: u64,
    /// `standalone`, `cluster` or `sentinel`.
    pub mode: &'a str,
    /// `master` or `replica`.
    pub role: &'a str,
}

/// `+OK`.
pub fn ok(out: &mut Vec<u8>) {
    out.extend_from_slice(b"+OK\r\n");
}

/// A status. Line breaks, which would end it early, become spaces.
pub fn status(out: &mut Vec<u8>, text: &str) {
    line(out, b'+', text.as_bytes());
}

/// An error, its first word included (`ERR syntax error`). Line breaks become spaces.
pub fn error(out: &mut Vec<u8>, text: &str) {
    line(out, b'-', text.as_bytes());
}

/// An error of Pointsman's own: `-ERR pointsman: TEXT`.
pub fn refusal(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(b"-ERR pointsman: ");
    out.extend(text.bytes().map(printable));
    out.extend_from_slice(b"\r\n");
}

/// An integer.
pub fn integer(out: &mut Vec<u8>, value: i64) {
    line(out, b':', value.to_string().as_bytes());
}

/// A bulk string.
pub fn bulk(out: &mut Vec<u8>, bytes: &[u8]) {
    line(out, b'$', bytes.len().to_string().as_bytes());
    out.extend_from_slice(bytes);
    out.extend_from_slice(b"\r\n");
}

/// A null where a string is expected (`CLIENT GETNAME` without a name).
pub fn null(out: &mut Vec<u8>, protocol: Protocol) {
    out.extend_from_slice(match protocol {
        Protocol::Resp2 => b"$-1\r\n",
        Protocol::Resp3 => b"_\r\n",
    });
}

/// What `EXEC` answers when a watched key changed: the lost race that clients know how to repeat.
pub fn null_exec(out: &mut Vec<u8>, protocol: Protocol) {
    out.extend_from_slice(match protocol {
        Protocol::Resp2 => b"*-1\r\n",
        Protocol::Resp3 => b"_\r\n",
    });
}

/// A request: `args` as an array of bulk strings.
pub fn request(out: &mut Vec<u8>, args: &[&[u8]]) {
    line(out, b'*', args.len().to_string().as_bytes());
    for arg in args {
        bulk(out, arg);
    }
}

/// The answer to `HELLO`, in the protocol it has just chosen.
pub fn hello(out: &mut Vec<u8>, protocol: Protocol, facts: &HelloFacts<'_>) {
    let (head, proto): (&[u8], i64) = match protocol {
        Protocol::Resp2 => (b"*14\r\n", 2),
        Protocol::Resp3 => (b"%7\r\n", 3),
    };
    out.extend_from_slice(head);
    for (key, value) in [("server", facts.server), ("version", facts.version)] {
        bulk(out, key.as_bytes());
        bulk(out, value.as_bytes());
    }
    bulk(out, b"proto");
    integer(out, proto);
    bulk(out, b"id");
    integer(out, i64::try_from(facts.id).unwrap_or(i64::MAX));
    for (key, value) in [("mode", facts.mode), ("role", facts.role)] {
        bulk(out, key.as_bytes());
        bulk(out, value.as_bytes());
    }
    bulk(out, b"modules");
    out.extend_from_slice(b"*0\r\n");
}

/// Tells a client with tracking to drop all it has cached: what it was told about may have changed over a move.
/// In RESP2 it is a message for the connection that tracking is redirected to. The bytes are those of FLUSHALL.
pub fn invalidate_all(out: &mut Vec<u8>, protocol: Protocol) {
    out.extend_from_slice(match protocol {
        Protocol::Resp2 => b"*3\r\n$7\r\nmessage\r\n$20\r\n__redis__:invalidate\r\n$-1\r\n".as_slice(),
        Protocol::Resp3 => b">2\r\n$10\r\ninvalidate\r\n_\r\n".as_slice(),
    });
}

/// Tells a client (RESP3) that the connection to which its invalidations were redirected is gone.
pub fn redirect_broken(out: &mut Vec<u8>, id: u64) {
    out.extend_from_slice(b">2\r\n");
    bulk(out, b"tracking-redir-broken");
    line(out, b':', id.to_string().as_bytes());
}

/// One confirmation of a (un)subscription: `verb` as in the command, in small letters; `count` as the server counts: channels
/// and patterns together, shard channels by themselves. Without a channel (nothing was subscribed) it is null.
pub fn subscription(out: &mut Vec<u8>, protocol: Protocol, verb: &str, channel: Option<&[u8]>, count: i64) {
    out.extend_from_slice(match protocol {
        Protocol::Resp2 => b"*3\r\n",
        Protocol::Resp3 => b">3\r\n",
    });
    bulk(out, verb.as_bytes());
    match channel {
        Some(channel) => bulk(out, channel),
        None => null(out, protocol),
    }
    integer(out, count);
}

fn line(out: &mut Vec<u8>, kind: u8, text: &[u8]) {
    out.push(kind);
    out.extend(text.iter().copied().map(printable));
    out.extend_from_slice(b"\r\n");
}

fn printable(byte: u8) -> u8 {
    if byte == b'\r' || byte == b'\n' { b' ' } else { byte }
}

#[cfg(test)]
mod tests {
    use super::super::scan::{Reply, ReplyKind, ReplyScanner};
    use super::*;

    type Writer = Box<dyn Fn(&mut Vec<u8>)>;

    fn only(out: &[u8]) -> Reply {
        let reply = ReplyScanner::default().next(out).expect("valid").expect("whole");
        assert_eq!(reply.len, out.len(), "one reply and nothing else");
        reply
    }

    #[test]
    fn everything_written_is_one_reply() {
        let facts = HelloFacts { server: "redis", version: "7.4.0", id: 7, mode: "standalone", role: "master" };
        for protocol in [Protocol::Resp2, Protocol::Resp3] {
            let writers: Vec<Writer> = vec![
                Box::new(ok),
                Box::new(|out| status(out, "QUEUED")),
                Box::new(|out| error(out, "ERR two\r\nlines")),
                Box::new(|out| refusal(out, "no route\nis open")),
                Box::new(|out| integer(out, -4)),
                Box::new(|out| bulk(out, b"a\r\nb")),
                Box::new(move |out| null(out, protocol)),
                Box::new(move |out| null_exec(out, protocol)),
                Box::new(move |out| hello(out, protocol, &facts)),
                Box::new(move |out| invalidate_all(out, protocol)),
                Box::new(|out| redirect_broken(out, 7)),
                Box::new(move |out| subscription(out, protocol, "subscribe", Some(b"c"), 1)),
                Box::new(move |out| subscription(out, protocol, "unsubscribe", None, 0)),
            ];
            for write in writers {
                let mut out = Vec::new();
                write(&mut out);
                only(&out);
            }
        }
    }

    #[test]
    fn pushes_are_pushes_in_resp3_only() {
        for (protocol, kind) in [(Protocol::Resp2, ReplyKind::Value(b'*')), (Protocol::Resp3, ReplyKind::Push)] {
            let mut out = Vec::new();
            invalidate_all(&mut out, protocol);
            assert_eq!(only(&out).kind, kind);
        }
    }

    #[test]
    fn only_what_a_flip_changes_is_retried() {
        assert_eq!(ErrorKind::of(b"READONLY"), ErrorKind::WrongNode);
        assert_eq!(ErrorKind::of(b"NOREPLICAS"), ErrorKind::NoReplicas);
        for word in [&b"OOM"[..], b"MISCONF", b"BUSY", b"ERR", b"", b"readonly"] {
            assert_eq!(ErrorKind::of(word), ErrorKind::Deliver);
        }
    }
}
