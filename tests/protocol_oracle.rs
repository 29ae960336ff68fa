//! The boundary scanners against redis-protocol as the oracle: for generated frames, written by redis-protocol and cut
//! anywhere, both must see the same boundaries.

use bytes::Bytes;
use pointsman::protocol::redis::command::{DenyList, classify};
use pointsman::protocol::redis::scan::{Limits, ReplyKind, ReplyScanner, RequestScanner, Scan};
use proptest::collection::vec;
use proptest::prelude::*;
use redis_protocol::resp2::types::{BytesFrame as Resp2, Resp2Frame};
use redis_protocol::resp3::types::{BytesFrame as Resp3, Resp3Frame, VerbatimStringFormat};
use redis_protocol::{resp2, resp3};

fn data() -> impl Strategy<Value = Bytes> {
    // Bytes that look like the protocol are the ones that could mislead a scanner.
    let byte = prop_oneof![Just(b'\r'), Just(b'\n'), Just(b'$'), Just(b'*'), Just(b'1'), any::<u8>()];
    vec(byte, 0..60).prop_map(Bytes::from)
}

fn text() -> impl Strategy<Value = String> {
    "[ -~]{0,30}"
}

fn resp2() -> impl Strategy<Value = Resp2> {
    let leaf = prop_oneof![
        data().prop_map(Resp2::BulkString),
        text().prop_map(|text| Resp2::SimpleString(text.into())),
        text().prop_map(|text| Resp2::Error(text.into())),
        any::<i64>().prop_map(Resp2::Integer),
        Just(Resp2::Null),
    ];
    leaf.prop_recursive(5, 40, 6, |inner| vec(inner, 0..6).prop_map(Resp2::Array))
}

fn resp3() -> impl Strategy<Value = Resp3> {
    let leaf = prop_oneof![
        data().prop_map(|data| Resp3::BlobString { data, attributes: None }),
        data().prop_map(|data| Resp3::BlobError { data, attributes: None }),
        data().prop_map(|data| Resp3::VerbatimString { data, format: VerbatimStringFormat::Text, attributes: None }),
        text().prop_map(|text| Resp3::SimpleString { data: text.into(), attributes: None }),
        text().prop_map(|text| Resp3::SimpleError { data: text.into(), attributes: None }),
        any::<i64>().prop_map(|data| Resp3::Number { data, attributes: None }),
        any::<bool>().prop_map(|data| Resp3::Boolean { data, attributes: None }),
        (-1e9..1e9f64).prop_map(|data| Resp3::Double { data, attributes: None }),
        "[1-9][0-9]{0,40}".prop_map(|digits| Resp3::BigNumber { data: digits.into(), attributes: None }),
        Just(Resp3::Null),
    ];
    let nested = leaf.prop_recursive(5, 40, 6, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..6).prop_map(|data| Resp3::Array { data, attributes: None }),
            vec((text(), inner), 0..5).prop_map(|pairs| {
                let data = pairs.into_iter().map(|(key, value)| (simple(key), value)).collect();
                Resp3::Map { data, attributes: None }
            }),
        ]
    });
    // At the top level a value may be a push or carry attributes.
    let push = vec(nested.clone(), 0..4).prop_map(|mut data| {
        data.insert(0, simple("pubsub".to_owned()));
        data.insert(1, simple("message".to_owned()));
        Resp3::Push { data, attributes: None }
    });
    let attributed = (vec((text(), nested.clone()), 1..4), data()).prop_map(|(pairs, data)| {
        let attributes = pairs.into_iter().map(|(key, value)| (simple(key), value)).collect();
        Resp3::BlobString { data, attributes: Some(attributes) }
    });
    prop_oneof![6 => nested, 1 => push, 1 => attributed]
}

fn simple(text: String) -> Resp3 {
    Resp3::SimpleString { data: text.into(), attributes: None }
}

fn encode2(frame: &Resp2) -> Vec<u8> {
    let mut out = vec![0; frame.encode_len(false)];
    let len = resp2::encode::encode_bytes(&mut out, frame, false).expect("the oracle encodes its own frames");
    out.truncate(len);
    out
}

fn encode3(frame: &Resp3) -> Vec<u8> {
    let mut out = vec![0; frame.encode_len(false)];
    let len = resp3::encode::complete::encode_bytes(&mut out, frame, false).expect("the oracle encodes its own frames");
    out.truncate(len);
    out
}

/// Boundaries and kinds as the scanner sees them when the bytes arrive in pieces of the given lengths.
fn replies(bytes: &[u8], pieces: &[usize]) -> Vec<(usize, ReplyKind)> {
    let (mut scanner, mut found, mut start) = (ReplyScanner::default(), Vec::new(), 0);
    for end in arrivals(bytes.len(), pieces) {
        while let Some(reply) = scanner.next(&bytes[start..end]).expect("valid bytes") {
            start += reply.len;
            found.push((start, reply.kind));
        }
    }
    assert_eq!(start, bytes.len());
    found
}

/// The same, with everything handed on as soon as it may be.
fn streamed(bytes: &[u8], pieces: &[usize]) -> Vec<(usize, ReplyKind)> {
    let (mut scanner, mut found, mut start) = (ReplyScanner::default(), Vec::new(), 0);
    for end in arrivals(bytes.len(), pieces) {
        while let Some(reply) = scanner.next(&bytes[start..end]).expect("valid bytes") {
            start += reply.len;
            found.push((start, reply.kind));
        }
        start += scanner.take(end - start);
    }
    found
}

/// How much has arrived after each piece; the last one is the rest.
fn arrivals(total: usize, pieces: &[usize]) -> Vec<usize> {
    let mut ends: Vec<usize> = pieces
        .iter()
        .scan(0, |end, piece| {
            *end += piece;
            Some(*end)
        })
        .take_while(|&end| end < total)
        .collect();
    ends.push(total);
    ends
}

#[test]
fn scanning_and_classifying_allocate_nothing() {
    let commands =
        b"*2\r\n$3\r\nget\r\n$1\r\nk\r\n*4\r\n$6\r\nCLIENT\r\n$7\r\nSETINFO\r\n$7\r\nLIB-VER\r\n$1\r\n1\r\n".repeat(50);
    let answers = b"$1\r\nv\r\n%1\r\n+a\r\n*2\r\n:1\r\n_\r\n-ERR no\r\n".repeat(50);
    let deny = DenyList::default();
    let (mut seen, mut answered) = (0, 0);
    let counted = allocation_counter::measure(|| {
        let (mut scanner, mut at) = (RequestScanner::default(), 0);
        while let Ok(Scan::Complete(head)) = scanner.next(&commands[at..], &Limits::default()) {
            seen += usize::from(classify(&head, &commands[at..], &deny).spec.is_some());
            at += head.len;
        }
        let (mut scanner, mut at) = (ReplyScanner::default(), 0);
        while let Ok(Some(reply)) = scanner.next(&answers[at..]) {
            answered += 1;
            at += reply.len;
        }
    });
    assert_eq!((seen, answered, counted.count_total), (100, 150, 0));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn resp2_replies(frames in vec(resp2(), 1..6), pieces in vec(1..40usize, 0..60)) {
        let encoded: Vec<Vec<u8>> = frames.iter().map(encode2).collect();
        let bytes = encoded.concat();
        let mut expected = Vec::new();
        let mut at = 0;
        while at < bytes.len() {
            let (_, len) = resp2::decode::decode(&bytes[at..]).expect("its own bytes").expect("whole");
            at += len;
            expected.push(at);
        }
        let found = replies(&bytes, &pieces);
        prop_assert_eq!(found.iter().map(|&(end, _)| end).collect::<Vec<_>>(), expected);
        prop_assert_eq!(streamed(&bytes, &pieces), found);
    }

    #[test]
    fn resp3_replies(frames in vec(resp3(), 1..6), pieces in vec(1..40usize, 0..60)) {
        let mut bytes = Vec::new();
        let mut expected = Vec::new();
        for frame in &frames {
            bytes.extend(encode3(frame));
            let kind = match frame {
                Resp3::Push { .. } => ReplyKind::Push,
                Resp3::SimpleError { .. } | Resp3::BlobError { .. } => ReplyKind::Error,
                _ => ReplyKind::Value(0),
            };
            expected.push((bytes.len(), kind));
        }
        let found = replies(&bytes, &pieces);
        prop_assert_eq!(&streamed(&bytes, &pieces), &found);
        let plain = |kind| if let ReplyKind::Value(_) = kind { ReplyKind::Value(0) } else { kind };
        prop_assert_eq!(found.into_iter().map(|(end, kind)| (end, plain(kind))).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn requests(commands in vec(vec(data(), 1..14), 1..8), pieces in vec(1..40usize, 0..60)) {
        let frames = commands.iter().map(|args| Resp2::Array(args.iter().cloned().map(Resp2::BulkString).collect()));
        let encoded: Vec<Vec<u8>> = frames.map(|frame| encode2(&frame)).collect();
        let bytes = encoded.concat();
        let (mut scanner, mut start, mut seen) = (RequestScanner::default(), 0, 0);
        for end in arrivals(bytes.len(), &pieces) {
            while let Scan::Complete(head) = scanner.next(&bytes[start..end], &Limits::default()).expect("valid bytes") {
                let args = &commands[seen];
                prop_assert_eq!(head.len, encoded[seen].len());
                prop_assert_eq!(head.argc as usize, args.len());
                for (index, arg) in args.iter().enumerate().take(10) {
                    prop_assert_eq!(head.arg(&bytes[start..end], index), Some(&arg[..]));
                }
                start += head.len;
                seen += 1;
            }
        }
        prop_assert_eq!(seen, commands.len());
    }

    #[test]
    fn any_bytes_end_in_an_error_or_a_wait(bytes in vec(any::<u8>(), 0..200), pieces in vec(1..9usize, 0..60)) {
        let mut requests = RequestScanner::default();
        let mut replies = ReplyScanner::default();
        for end in arrivals(bytes.len(), &pieces) {
            // Neither may panic, and neither may claim more than there is.
            if let Ok(Scan::Complete(head)) = requests.next(&bytes[..end], &Limits::default()) {
                prop_assert!(head.len <= end);
                requests = RequestScanner::default();
            }
            if let Ok(Some(reply)) = replies.next(&bytes[..end]) {
                prop_assert!(reply.len <= end);
                replies = ReplyScanner::default();
            }
        }
    }
}
