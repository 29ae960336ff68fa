//! Every reply split at every byte, streamed, and hostile.

use super::*;

fn whole(bytes: &[u8]) -> Result<Option<Reply>, ReplyError> {
    ReplyScanner::default().next(bytes)
}

const VALUES: &[&str] = &[
    "+OK\r\n",
    "+\r\n",
    "+a\rb\r\n",
    "-ERR no\r\n",
    ":-12\r\n",
    "$-1\r\n",
    "$0\r\n\r\n",
    "$5\r\na\r\nbc\r\n",
    "*-1\r\n",
    "*0\r\n",
    "*3\r\n:1\r\n$1\r\na\r\n*1\r\n*0\r\n",
    "_\r\n",
    "#t\r\n",
    ",1.5\r\n",
    ",inf\r\n",
    "(123456789012345678901234567890\r\n",
    "!10\r\nSYNTAX bad\r\n",
    "=7\r\ntxt:abc\r\n",
    "%2\r\n+a\r\n:1\r\n+b\r\n%1\r\n:1\r\n:2\r\n",
    "~2\r\n:1\r\n:2\r\n",
    "%0\r\n",
    ">2\r\n$10\r\ninvalidate\r\n_\r\n",
    "|1\r\n+ttl\r\n:9\r\n$1\r\nx\r\n",
    "|1\r\n+a\r\n*1\r\n:1\r\n-ERR x\r\n",
    "*2\r\n|1\r\n+a\r\n+b\r\n:1\r\n:2\r\n",
    "*2\r\n*2\r\n*1\r\n_\r\n$0\r\n\r\n%1\r\n*0\r\n~0\r\n",
];

#[test]
fn every_value_at_every_split() {
    for text in VALUES {
        let bytes = [text.as_bytes(), b"+NEXT\r\n"].concat();
        let reply = whole(&bytes).expect(text).expect(text);
        assert_eq!(reply.len, text.len(), "{text:?}");
        for cut in 0..text.len() {
            let mut scanner = ReplyScanner::default();
            assert_eq!(scanner.next(&bytes[..cut]), Ok(None), "{text:?} cut at {cut}");
            assert_eq!(scanner.next(&bytes), Ok(Some(reply)), "{text:?} cut at {cut}");
        }
        let mut scanner = ReplyScanner::default();
        for end in 0..text.len() {
            assert_eq!(scanner.next(&bytes[..end]), Ok(None), "{text:?} up to {end}");
        }
        assert_eq!(scanner.next(&bytes), Ok(Some(reply)), "{text:?}");
        assert_eq!(scanner.kind(), None, "nothing of the finished reply is left");
    }
}

#[test]
fn every_value_streams_byte_by_byte() {
    for text in VALUES {
        let bytes = text.as_bytes();
        let (mut scanner, mut start) = (ReplyScanner::default(), 0);
        for end in 1..bytes.len() {
            assert_eq!(scanner.next(&bytes[start..end]), Ok(None), "{text:?} up to {end}");
            start += scanner.take(end - start);
            assert!(start <= end);
        }
        let reply = scanner.next(&bytes[start..]).expect(text).expect(text);
        assert_eq!(start + reply.len, bytes.len(), "{text:?}");
        assert_eq!(reply.streamed, start > 0, "{text:?}");
        assert_eq!(reply.kind, whole(bytes).expect(text).expect(text).kind, "{text:?}");
    }
}

#[test]
fn the_top_level_decides_the_kind() {
    let kind = |text: &str| whole(text.as_bytes()).expect(text).expect(text).kind;
    assert_eq!(kind("*1\r\n-ERR x\r\n"), ReplyKind::Value(b'*'));
    assert_eq!(kind(">1\r\n-ERR x\r\n"), ReplyKind::Push);
    assert_eq!(kind("*1\r\n>1\r\n+x\r\n"), ReplyKind::Value(b'*'));
    assert_eq!(kind("|1\r\n+a\r\n-b\r\n:1\r\n"), ReplyKind::Value(b':'));
    assert_eq!(kind("|0\r\n|1\r\n+a\r\n+b\r\n-ERR x\r\n"), ReplyKind::Error);
    assert_eq!(kind("!5\r\nERR x\r\n"), ReplyKind::Error);
}

#[test]
fn the_first_word_of_an_error() {
    let word = |text: &str| {
        let reply = whole(text.as_bytes()).expect(text).expect(text);
        reply.error_word(text.as_bytes()).map(|w| String::from_utf8_lossy(w).into_owned())
    };
    assert_eq!(word("-READONLY You can't write\r\n").as_deref(), Some("READONLY"));
    assert_eq!(word("-LOADING\r\n").as_deref(), Some("LOADING"));
    assert_eq!(word("!12\r\nMASTERDOWN x\r\n").as_deref(), Some("MASTERDOWN"));
    assert_eq!(word("+READONLY\r\n"), None);
}

#[test]
fn deep_nesting_costs_nothing() {
    let mut bytes = b"*1\r\n".repeat(100_000);
    assert_eq!(whole(&bytes), Ok(None));
    bytes.extend_from_slice(b":1\r\n");
    assert_eq!(whole(&bytes).expect("valid").map(|r| r.len), Some(bytes.len()));
    assert!(size_of::<ReplyScanner>() <= 24);
}

#[test]
fn impossible_replies_are_refused() {
    for bad in [
        "$?\r\n",
        "*?\r\n",
        "*-2\r\n",
        "$-2\r\n",
        "%-1\r\n",
        "$x\r\n",
        "%9223372036854775807\r\n%9223372036854775807\r\n",
    ] {
        assert_eq!(whole(bad.as_bytes()), Err(ReplyError::Length), "{bad:?}");
    }
    let nested = "*9223372036854775807\r\n".repeat(3);
    assert_eq!(whole(nested.as_bytes()), Err(ReplyError::Length));
    let endless = [b"$".as_slice(), &[b'1'; 600]].concat();
    assert_eq!(whole(&endless), Err(ReplyError::Length));
    assert_eq!(whole(b"$1\r\nabc"), Err(ReplyError::LineBreak));
    for bad in ["x", "\r\n", ";1\r\n", ".\r\n", "HTTP/1.1 200 OK\r\n"] {
        assert_eq!(whole(bad.as_bytes()), Err(ReplyError::Type(bad.as_bytes()[0])), "{bad:?}");
    }
}
