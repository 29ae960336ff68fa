//! Every request split at every byte, streamed, and hostile.

use super::*;

fn frame(args: &[&[u8]]) -> Vec<u8> {
    let mut out = format!("*{}\r\n", args.len()).into_bytes();
    for arg in args {
        out.extend_from_slice(format!("${}\r\n", arg.len()).as_bytes());
        out.extend_from_slice(arg);
        out.extend_from_slice(b"\r\n");
    }
    out
}

fn whole(bytes: &[u8]) -> Result<Scan, RequestError> {
    RequestScanner::default().next(bytes, &Limits::default())
}

#[test]
fn finds_arguments_and_end() {
    let mut bytes = frame(&[b"SET", b"key", b"", b"a\r\nb"]);
    let len = bytes.len();
    bytes.extend_from_slice(b"*1\r\n$4\r\nPING\r\n");
    let Ok(Scan::Complete(head)) = whole(&bytes) else { panic!("a whole request") };
    assert_eq!((head.len, head.argc), (len, 4));
    assert_eq!(head.name(&bytes), b"SET");
    assert_eq!(head.arg(&bytes, 2), Some(&b""[..]));
    assert_eq!(head.arg(&bytes, 3), Some(&b"a\r\nb"[..]));
    assert_eq!(head.arg(&bytes, 4), None);
}

#[test]
fn every_split_gives_the_same() {
    let many: Vec<Vec<u8>> = (0..25).map(|i| vec![b'a'; i]).collect();
    let many: Vec<&[u8]> = many.iter().map(Vec::as_slice).collect();
    let long = [b'x'; 123];
    for bytes in [
        frame(&[b"PING"]),
        frame(&[b"SET", b"k", b"\r\n$3\r\n*1\r\n"]),
        frame(&[b"SET", b"", b"twelve bytes", &long]),
        frame(&many),
    ] {
        let Ok(Scan::Complete(expected)) = whole(&bytes) else { panic!("a whole request") };
        for cut in 0..bytes.len() {
            let mut scanner = RequestScanner::default();
            assert_eq!(scanner.next(&bytes[..cut], &Limits::default()), Ok(Scan::NeedMore), "cut at {cut}");
            assert_eq!(scanner.next(&bytes, &Limits::default()), Ok(Scan::Complete(expected)), "cut at {cut}");
        }
        let mut scanner = RequestScanner::default();
        for end in 0..bytes.len() {
            assert_eq!(scanner.next(&bytes[..end], &Limits::default()), Ok(Scan::NeedMore));
        }
        assert_eq!(scanner.next(&bytes, &Limits::default()), Ok(Scan::Complete(expected)));
    }
}

#[test]
fn inline_split_at_every_byte() {
    let line = b"set k \"a b\"\r\n";
    for cut in 0..line.len() {
        let mut scanner = RequestScanner::default();
        assert_eq!(scanner.next(&line[..cut], &Limits::default()), Ok(Scan::NeedMore));
        assert_eq!(scanner.next(line, &Limits::default()), Ok(Scan::Inline { len: line.len() }));
        assert_eq!(
            scanner.next(b"*1\r\n$4\r\nPING\r\n", &Limits::default()).map(|s| matches!(s, Scan::Complete(_))),
            Ok(true)
        );
    }
}

#[test]
fn empty_requests_are_blank() {
    for (bytes, len) in [(&b"*0\r\nX"[..], 4), (b"*-1\r\n", 5), (b"*-99\r\n", 6)] {
        assert_eq!(whole(bytes), Ok(Scan::Blank { len }));
        let mut scanner = RequestScanner::default();
        for end in 0..len {
            assert_eq!(scanner.next(&bytes[..end], &Limits::default()), Ok(Scan::NeedMore), "{bytes:?} up to {end}");
        }
        assert_eq!(scanner.next(bytes, &Limits::default()), Ok(Scan::Blank { len }));
    }
}

/// Feeds `bytes` through a window of `window` bytes whose content is handed on whenever it is full.
fn stream(bytes: &[u8], window: usize) -> (usize, Option<Vec<u8>>, u32) {
    let (mut scanner, mut start, mut end, mut name) = (RequestScanner::default(), 0, 0, None);
    loop {
        end = (end + 1).min(bytes.len());
        match scanner.next(&bytes[start..end], &Limits::default()).expect("a valid request") {
            Scan::Complete(head) => return (start + head.len, name, head.argc),
            Scan::NeedMore if end - start >= window => {
                if let Some(head) = scanner.head(&bytes[start..end]) {
                    name = Some(head.name(&bytes[start..end]).to_vec());
                }
                start += scanner.take(end - start);
            }
            Scan::NeedMore => assert!(end < bytes.len(), "the request is all there"),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_large_request_streams_through_a_small_window() {
    let big = vec![b'x'; 500];
    let bytes = frame(&[b"MSET", b"a", &big, b"b", b"", b"c", &big, b"d", b"1"]);
    for window in 20..200 {
        assert_eq!(stream(&bytes, window), (bytes.len(), Some(b"MSET".to_vec()), 9), "window {window}");
    }
}

#[test]
fn the_head_of_an_incomplete_request_shows_what_is_there() {
    let mut bytes = b"*3\r\n$4\r\nEVAL\r\n$1000\r\n#!lua flags=no-writes\n".to_vec();
    bytes.extend_from_slice(&[b' '; 100]);
    let mut scanner = RequestScanner::default();
    assert_eq!(scanner.next(&bytes, &Limits::default()), Ok(Scan::NeedMore));
    let head = scanner.head(&bytes).expect("the name is there");
    assert_eq!((head.name(&bytes), head.argc, head.len), (&b"EVAL"[..], 3, bytes.len()));
    assert_eq!(head.arg(&bytes, 1), None);
    assert!(head.prefix(&bytes, 1).is_some_and(|script| script.starts_with(b"#!lua flags=no-writes\n")));
    assert_eq!(scanner.take(bytes.len()), bytes.len());
    assert!(scanner.streaming());
    assert_eq!(scanner.head(&bytes), None);
}

#[test]
fn redis_own_words_for_each_refusal() {
    let long = vec![b'1'; 70_000];
    let line = |start: &[u8]| [start, &long].concat();
    let too_many = format!("*{}\r\n", i64::from(i32::MAX) + 1).into_bytes();
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (b"*x\r\n".to_vec(), "invalid multibulk length"),
        (b"*3000000000\r\n".to_vec(), "invalid multibulk length"),
        (too_many, "invalid multibulk length"),
        (b"*1\r\n$x\r\n".to_vec(), "invalid bulk length"),
        (b"*1\r\n$-1\r\n".to_vec(), "invalid bulk length"),
        (b"*1\r\n$629145600\r\n".to_vec(), "invalid bulk length"),
        (b"*1\r\n$99999999999999999999\r\n".to_vec(), "invalid bulk length"),
        (b"*1\r\n:1\r\n".to_vec(), "expected '$', got ':'"),
        (b"*1\r\n$4\r\nPINGxx".to_vec(), "invalid CRLF in request"),
        (line(b"*"), "too big mbulk count string"),
        (line(b"*1\r\n$"), "too big bulk count string"),
        (line(b""), "too big inline request"),
    ];
    for (bytes, words) in cases {
        let error = whole(&bytes).expect_err(words);
        let mut out = Vec::new();
        error.write(&mut out);
        assert_eq!(String::from_utf8(out).expect("text"), format!("-ERR Protocol error: {words}\r\n"));
    }
}

#[test]
fn strangers_get_little() {
    let limits = Limits { authenticated: false, ..Limits::default() };
    let scan = |bytes: &[u8]| RequestScanner::default().next(bytes, &limits);
    assert_eq!(scan(b"*11\r\n"), Err(RequestError::UnauthenticatedMultibulk));
    assert_eq!(scan(b"*10\r\n"), Ok(Scan::NeedMore));
    assert_eq!(scan(b"*1\r\n$16385\r\n"), Err(RequestError::UnauthenticatedBulk));
    assert_eq!(scan(b"*1\r\n$16384\r\n"), Ok(Scan::NeedMore));
}

#[test]
fn a_dribbled_endless_line_costs_little_and_ends() {
    for start in [&b"*"[..], b"*1\r\n$", b"x"] {
        let bytes = [start, &vec![b'7'; 80_000][..]].concat();
        let mut scanner = RequestScanner::default();
        let refused = (1..=bytes.len()).find(|&end| scanner.next(&bytes[..end], &Limits::default()).is_err());
        assert!(refused.is_some_and(|end| end < 66_000), "{start:?} refused at {refused:?}");
    }
}

#[test]
fn huge_counts_reserve_nothing() {
    let mut scanner = RequestScanner::default();
    assert_eq!(scanner.next(b"*1000000000\r\n", &Limits::default()), Ok(Scan::NeedMore));
    let limits = Limits { max_bulk: u64::MAX, authenticated: true };
    let mut scanner = RequestScanner::default();
    assert_eq!(scanner.next(b"*1\r\n$9223372036854775807\r\n", &limits), Ok(Scan::NeedMore));
    assert_eq!(scanner.take(100), 100, "all of it belongs to the request");
    assert!(size_of::<RequestScanner>() <= 32);
}
