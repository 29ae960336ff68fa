//! Chunked bodies: where they end, cut anywhere, and what is refused.

use super::*;

const BODY: &str = "5\r\nhello\r\n00A;name=\"va lue\"\r\n, world\r\n.\r\n0;last\r\nX-Sum: 1\r\nempty:\r\n\r\n";
const DATA: &str = "hello, world\r\n.";

/// The scanner's verdict when the bytes come in pieces of `step`: how many belong to the body, whether it ended, and its data.
fn scan(bytes: &[u8], step: usize) -> Result<(usize, bool, Vec<u8>), BadChunk> {
    let (mut scanner, mut decoder) = (ChunkScanner::default(), ChunkScanner::default());
    let (mut len, mut data) = (0, Vec::new());
    for piece in bytes.chunks(step) {
        let found = scanner.scan(piece)?;
        assert_eq!(decoder.decode(piece, &mut data), Ok(found), "both ways find the same");
        len += found.len;
        if found.done {
            return Ok((len, true, data));
        }
        assert_eq!(found.len, piece.len(), "nothing is left while the body goes on");
    }
    Ok((len, false, data))
}

#[test]
fn the_end_is_found_however_the_body_comes() {
    let with_next = format!("{BODY}GET / HTTP/1.1\r\n\r\n");
    for step in 1..=with_next.len() {
        let found = scan(with_next.as_bytes(), step);
        assert_eq!(found, Ok((BODY.len(), true, DATA.as_bytes().to_vec())), "pieces of {step}");
    }
    for cut in 0..BODY.len() {
        let (len, done, _) = scan(&BODY.as_bytes()[..cut], cut.max(1)).expect("valid so far");
        assert_eq!((len, done), (cut, false));
    }
}

#[test]
fn nothing_is_scanned_behind_the_end() {
    let mut scanner = ChunkScanner::default();
    assert_eq!(scanner.scan(b"0\r\n\r\n5"), Ok(Scanned { len: 5, done: true }));
    assert_eq!(scanner.scan(b"5"), Ok(Scanned { len: 0, done: true }));
}

#[test]
fn what_is_written_is_read_again() {
    let mut out = Vec::new();
    for piece in [&b"a"[..], &[b'\r'; 300]] {
        begin_chunk(&mut out, piece.len());
        out.extend_from_slice(piece);
        out.extend_from_slice(b"\r\n");
    }
    begin_chunk(&mut out, 0);
    out.extend_from_slice(b"\r\n");
    let (len, done, data) = scan(&out, 7).expect("valid");
    assert_eq!((len, done, data.len()), (out.len(), true, 301));
}

#[test]
fn chunks_that_could_be_read_in_two_ways_are_refused() {
    use BadChunk::*;
    let long_name = format!("0\r\n{}", "a".repeat(9000));
    let many_trailers = format!("0\r\n{}", "a: b\r\n".repeat(2000));
    let long_extension = format!("1;{}", "a".repeat(300));
    for (body, error) in [
        ("\r\n", Size),
        ("g\r\n", Size),
        ("-1\r\n", Size),
        ("+1\r\n", Size),
        ("0x1\r\n", Size),
        (" 1\r\n", Size),
        ("1 \r\n", Size),
        ("1\n", Size),
        ("1\rx", Size),
        (";a\r\n", Size),
        ("1;a\nb\r\n", Size),
        ("1;a\rb\r\n", Size),
        ("1;a\0\r\n", Size),
        ("1000000000000000\r\n", Size),
        ("0000000000000001\r\n", Size),
        (long_extension.as_str(), Size),
        ("1\r\nab\r\n", End),
        ("1\r\na\n", End),
        ("1\r\na\rb", End),
        ("0\r\n\n", Trailer),
        ("0\r\nno colon\r\n", Trailer),
        ("0\r\n folded: x\r\n", Trailer),
        ("0\r\na: b\r\n c\r\n", Trailer),
        ("0\r\na: b\n", Trailer),
        ("0\r\na: b\rc", Trailer),
        ("0\r\na: \0\r\n", Trailer),
        ("0\r\n: b\r\n", Trailer),
        ("0\r\na : b\r\n", Trailer),
        (long_name.as_str(), Trailer),
        (many_trailers.as_str(), Trailer),
    ] {
        for step in [1, 2, body.len()] {
            assert_eq!(scan(body.as_bytes(), step), Err(error), "{body:?}");
        }
    }
    assert!(scan(b"FFFFFFFFFFFFFFF\r\nx", 1).is_ok(), "the longest size");
}
