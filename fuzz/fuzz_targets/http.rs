//! Any bytes as a pipeline of requests, as an answer, and as what is in them: boundaries must be the same however the bytes come,
//! what is written onwards must be read as the same again, and nothing may panic. The first byte of the input sets the length of
//! the pieces.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pointsman::protocol::elastic::{Request, classify, cursor, sniff};
use pointsman::protocol::http::{
    Body, ChunkScanner, Limits, Method, RequestChanges, RequestHead, ResponseChanges, ResponseHead,
};

/// Ends of the messages found when the bytes come in pieces of `step`, and whether they were refused.
fn requests(bytes: &[u8], step: usize) -> (Vec<usize>, bool) {
    let (mut start, mut end, mut ends) = (0, 0, Vec::new());
    loop {
        match RequestHead::parse(&bytes[start..end], &Limits::CLIENT) {
            Err(_) => return (ends, true),
            Ok(None) if end == bytes.len() => return (ends, false),
            Ok(None) => end = (end + step).min(bytes.len()),
            Ok(Some((head, used))) => {
                judge(&head);
                start += used;
                ends.push(start);
                let Some(body) = body(head.body, &bytes[start..], step) else { return (ends, true) };
                start += body;
                ends.push(start);
                end = end.max(start);
            }
        }
    }
}

/// How much of the bytes belongs to a body; `None` if it is malformed.
fn body(kind: Body, bytes: &[u8], step: usize) -> Option<usize> {
    match kind {
        Body::None | Body::UntilClose => Some(0),
        Body::Length(length) => Some(usize::try_from(length).map_or(bytes.len(), |length| length.min(bytes.len()))),
        Body::Chunked => {
            let (mut scanner, mut decoder, mut data, mut len) = <(ChunkScanner, ChunkScanner, Vec<u8>, usize)>::default();
            for piece in bytes.chunks(step) {
                let scanned = scanner.scan(piece);
                assert_eq!(decoder.decode(piece, &mut data), scanned);
                let scanned = scanned.ok()?;
                len += scanned.len;
                if scanned.done {
                    break;
                }
            }
            assert!(data.len() <= len);
            Some(len)
        }
    }
}

/// What is known of a request, and that its head says the same when it was written.
fn judge(head: &RequestHead<'_>) {
    let judged: Request = classify(head.method, head.path(), head.query());
    assert!(!judged.changes || judged.retry < pointsman::protocol::elastic::Retry::Anywhere);
    let mut target = String::new();
    let _ = cursor::unwrap_target(head.target, &mut target);
    for changes in [
        RequestChanges::default(),
        RequestChanges { target: Some("/"), drop_accept_encoding: true, content_length: Some(3) },
    ] {
        let mut out = Vec::new();
        head.write(&mut out, &changes);
        // A length that is written in place of another may make the head longer than it may be.
        if let Ok(Some((again, used))) = RequestHead::parse(&out, &Limits::NODE) {
            assert_eq!((used, again.method, again.version), (out.len(), head.method, head.version));
            assert_eq!(again.body, changes.content_length.map_or(head.body, Body::Length));
            assert_eq!(again.target, changes.target.unwrap_or(head.target));
        } else {
            assert!(out.len() > 60 << 10);
        }
    }
}

/// What is read in bodies.
fn contents(bytes: &[u8], step: usize) {
    let sent = |len: usize, whole| match cursor::wrap("main", &bytes[..len], whole) {
        cursor::Wrap::More => None,
        cursor::Wrap::AsItIs => Some(bytes.to_vec()),
        cursor::Wrap::Changed(begin) => Some([&begin, &bytes[len..]].concat()),
    };
    let whole = sent(bytes.len(), true);
    assert!(whole.is_some(), "all of it is enough");
    for len in (0..bytes.len()).step_by(step) {
        assert!(sent(len, false).is_none_or(|sent| Some(sent) == whole), "found in a part and not in the whole");
    }
    let mut out = Vec::new();
    if let Ok(Some(cluster)) = cursor::unwrap_body(bytes, &mut out) {
        assert!(out.len() < bytes.len() && !cluster.is_empty());
    }
    if let Some(collapsed) = sniff::collapse(bytes, "127.0.0.1:9200") {
        assert!(sniff::collapse(&collapsed, "127.0.0.1:9200").is_some());
    }
}

fuzz_target!(|input: &[u8]| {
    let Some((&step, bytes)) = input.split_first() else { return };
    let step = usize::from(step).max(1);
    assert_eq!(requests(bytes, step), requests(bytes, bytes.len().max(1)));
    for asked in [Method::Get, Method::Head] {
        if let Ok(Some((head, used))) = ResponseHead::parse(bytes, asked, &Limits::NODE) {
            let mut out = Vec::new();
            head.write(&mut out, &ResponseChanges { close: true, ..ResponseChanges::default() });
            body(head.body, &bytes[used..], step);
        }
    }
    contents(bytes, step);
});
