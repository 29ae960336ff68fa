//! Heads of requests: what is read, what is refused, and what is written onwards.

use super::*;

const ALL_CHANGED: RequestChanges<'_> = RequestChanges {
    target: Some("/b?c"),
    drop_accept_encoding: true,
    drop_content_encoding: true,
    content_length: Some(7),
};

fn parse(bytes: &[u8]) -> Result<Option<(RequestHead<'_>, usize)>, BadHead> {
    RequestHead::parse(bytes, &Limits::CLIENT)
}

fn whole(text: &str) -> RequestHead<'_> {
    let (head, used) = parse(text.as_bytes()).expect("a valid head").expect("a whole head");
    assert_eq!(used, text.len());
    head
}

fn refused(text: &str) -> BadHead {
    parse(text.as_bytes()).err().unwrap_or_else(|| panic!("taken: {text:?}"))
}

fn written(head: &RequestHead<'_>, changes: &RequestChanges<'_>) -> String {
    let mut out = Vec::new();
    head.write(&mut out, changes);
    String::from_utf8(out).expect("text")
}

#[test]
fn a_request_of_a_client_is_read_and_written_onwards() {
    let text = "POST /logs/_search?size=1 HTTP/1.1\r\nHost: localhost:9200\r\nAccept-Encoding: gzip, deflate\r\nX-Opaque-Id:  7 \r\n\
                content-type: application/json\r\nConnection: keep-alive\r\nContent-Length: 12\r\nExpect: 100-continue\r\n\r\n";
    let head = whole(text);
    assert_eq!((head.method, head.target), (Method::Post, "/logs/_search?size=1"));
    assert_eq!((head.path(), head.query()), ("/logs/_search", "size=1"));
    assert_eq!((head.version, head.body), (Version::Http11, Body::Length(12)));
    assert!(head.keep_alive && head.expect_continue);
    assert_eq!(head.header("x-opaque-id"), Some(&b"7"[..]));
    assert_eq!(head.header("Host"), Some(&b"localhost:9200"[..]));
    assert_eq!(head.header("x-opaque"), None);
    assert_eq!(written(&head, &RequestChanges::default()), text.replace("Connection: keep-alive\r\n", ""));
    assert_eq!(
        written(&head, &ALL_CHANGED),
        "POST /b?c HTTP/1.1\r\nHost: localhost:9200\r\nX-Opaque-Id:  7 \r\ncontent-type: application/json\r\nContent-Length: 7\r\n\r\n"
    );
}

#[test]
fn a_head_cut_anywhere_is_waited_for() {
    let text = "\r\n\r\nPUT /i/_doc/1 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
    for cut in 0..text.len() {
        assert!(matches!(parse(&text.as_bytes()[..cut]), Ok(None)), "cut at {cut}");
    }
    let head = whole(text);
    assert_eq!((head.method, head.body), (Method::Put, Body::Chunked));
    let more = format!("{text}5\r\nGET / HTTP/1.1\r\n\r\n");
    let (_, used) = parse(more.as_bytes()).expect("valid").expect("whole");
    assert_eq!(used, text.len(), "what comes behind is not looked at");
    assert!(written(&head, &RequestChanges::default()).starts_with("PUT /i"), "blank lines aren't handed on");
}

#[test]
fn what_concerns_one_hop_stays_there() {
    let text = "GET / HTTP/1.1\r\nTE: trailers\r\nConnection: Upgrade, X-Mine, HTTP2-Settings , te\r\nx-mine: 1\r\nHost: x\r\n\
                Upgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\nKeep-Alive: 5\r\nProxy-Connection: keep-alive\r\nX-Mine: 2\r\nX-Mine-Too: 3\r\n\r\n";
    let head = whole(text);
    assert_eq!(written(&head, &RequestChanges::default()), "GET / HTTP/1.1\r\nHost: x\r\nX-Mine-Too: 3\r\n\r\n");
}

#[test]
fn connections_end_when_the_client_or_its_version_says_so() {
    let keeps = |rest: &str| whole(&format!("GET / HTTP/1.{rest}\r\n\r\n")).keep_alive;
    assert!(keeps("1"));
    assert!(keeps("1\r\nConnection: keep-alive"));
    assert!(!keeps("1\r\nConnection: foo, Close"));
    assert!(!keeps("1\r\nConnection: keep-alive\r\nConnection: close"));
    assert!(!keeps("0"));
    assert!(!keeps("0\r\nConnection: keep-alive"));
}

#[test]
fn an_old_client_is_not_told_to_continue() {
    let head = whole("POST /_bulk HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
    assert!(!head.expect_continue);
    assert_eq!(written(&head, &RequestChanges::default()), "POST /_bulk HTTP/1.0\r\nContent-Length: 5\r\n\r\n");
    assert!(!whole("GET / HTTP/1.1\r\nExpect: 100-continue\r\n\r\n").expect_continue, "no body to wait with");
}

#[test]
fn what_two_parsers_could_read_in_two_ways_is_refused() {
    use BadHead::*;
    let with = |headers: &str| refused(&format!("POST / HTTP/1.1\r\nHost: x\r\n{headers}\r\n\r\n"));
    for (headers, error) in [
        ("Content-Length: 5\r\nTransfer-Encoding: chunked", TwoFramings),
        ("Transfer-Encoding: chunked\r\ncontent-length: 5", TwoFramings),
        ("Content-Length: 0\r\nTransfer-Encoding: chunked", TwoFramings),
        ("Content-Length: 5\r\nContent-Length: 6", ContentLength),
        ("Content-Length: 5\r\nContent-Length: 5", ContentLength),
        ("Content-Length: 5, 5", ContentLength),
        ("Content-Length: +5", ContentLength),
        ("Content-Length: -5", ContentLength),
        ("Content-Length: 0x5", ContentLength),
        ("Content-Length: 5 5", ContentLength),
        ("Content-Length:", ContentLength),
        ("Content-Length: 18446744073709551617", ContentLength),
        ("Content-Length: 0000000000000000005", ContentLength),
        ("Transfer-Encoding: xchunked", TransferEncoding),
        ("Transfer-Encoding: chunked, identity", TransferEncoding),
        ("Transfer-Encoding: gzip, chunked", TransferEncoding),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", TransferEncoding),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity", TransferEncoding),
        ("Transfer-Encoding:", TransferEncoding),
        ("Transfer-Encoding: \u{b}chunked", HeaderLine),
        ("Transfer-Encoding : chunked", HeaderLine),
        ("Transfer-Encoding\t: chunked", HeaderLine),
        ("Content-Length : 5", HeaderLine),
        (" Content-Length: 5", HeaderLine),
        ("X: a\r\n b", HeaderLine),
        ("X: a\r\n\tTransfer-Encoding: chunked", HeaderLine),
        ("X: a\0b", HeaderLine),
        ("X\0: a", HeaderLine),
        ("X: a\rb", HeaderLine),
        ("no colon", HeaderLine),
        (": no name", HeaderLine),
        ("X: a\nContent-Length: 5", BareLineFeed),
        ("X: a\n", BareLineFeed),
        ("Host: y", TwoHosts),
        ("Connection: content-length\r\nContent-Length: 5", Connection),
        ("Connection: Transfer-Encoding\r\nTransfer-Encoding: chunked", Connection),
        ("Connection: close, host", Connection),
        ("Expect: 200-ok", Expectation),
        ("Expect: 100-continue, x", Expectation),
    ] {
        assert_eq!(with(headers), error, "{headers:?}");
    }
    assert_eq!(refused("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"), TransferEncoding);
}

#[test]
fn first_lines_that_are_not_served() {
    use BadHead::*;
    let mut wrong = Vec::new();
    for (line, error) in [
        ("get / HTTP/1.1", Method),
        ("BREW / HTTP/1.1", Method),
        ("CONNECT localhost:9200 HTTP/1.1", Method),
        ("GET http://localhost:9200/ HTTP/1.1", Target),
        ("GET localhost HTTP/1.1", Target),
        ("OPTIONS * HTTP/1.1", Target),
        ("GET /i/_search#x HTTP/1.1", Target),
        ("GET /i/_search?a#b HTTP/1.1", Target),
        ("GET / HTTP/2.0", Version),
        ("GET / HTTP/1.2", Version),
        ("GET / HTTP/1.10", HeaderLine),
        ("GET / http/1.1", Version),
        ("GET /", FirstLine),
        ("GET  / HTTP/1.1", FirstLine),
        ("GET /  HTTP/1.1", Version),
        ("GET / a HTTP/1.1", Version),
        ("GET\t/ HTTP/1.1", FirstLine),
        ("GET /\0 HTTP/1.1", FirstLine),
        ("GET /\u{7f} HTTP/1.1", FirstLine),
        ("G\0T / HTTP/1.1", FirstLine),
        (" GET / HTTP/1.1", FirstLine),
        ("\u{16}\u{3}\u{1}", FirstLine),
    ] {
        let found = refused(&format!("{line}\r\nHost: x\r\n\r\n"));
        if found != error {
            wrong.push((line, error, found));
        }
    }
    assert_eq!(wrong, []);
    assert_eq!(refused("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), Version);
    assert_eq!(refused("\n\nGET / HTTP/1.1\r\n\r\n"), BareLineFeed);
    assert_eq!(refused("\u{16}\u{3}"), FirstLine, "a greeting of TLS is told at its first byte");
}

#[test]
fn heads_are_as_long_as_the_servers_take_them() {
    let line = |len: usize| format!("GET /{} HTTP/1.1", "a".repeat(len - "GET / HTTP/1.1".len()));
    whole(&format!("{}\r\n\r\n", line(4096)));
    assert_eq!(refused(&format!("{}\r\n\r\n", line(4097))), BadHead::LineTooLong(4096));
    assert_eq!(refused(&"G".repeat(4098)), BadHead::LineTooLong(4096), "its end needn't be waited for");
    assert!(matches!(parse("G".repeat(4097).as_bytes()), Ok(None)), "the last byte may be a carriage return");

    let header = |len: usize| format!("X: {}", "a".repeat(len - "X: ".len()));
    whole(&format!("GET / HTTP/1.1\r\n{}\r\n\r\n", header(8192)));
    assert_eq!(refused(&format!("GET / HTTP/1.1\r\n{}\r\n\r\n", header(8193))), BadHead::HeaderTooLong(8192));
    assert_eq!(refused(&format!("GET / HTTP/1.1\r\n{}", header(8194))), BadHead::HeaderTooLong(8192));

    whole(&format!("GET / HTTP/1.1\r\n{}\r\n", "X: 1\r\n".repeat(MAX_HEADERS)));
    assert_eq!(
        refused(&format!("GET / HTTP/1.1\r\n{}\r\n", "X: 1\r\n".repeat(MAX_HEADERS + 1))),
        BadHead::TooManyHeaders
    );
    let endless = format!("GET / HTTP/1.1\r\n{}", format!("{}\r\n", header(8000)).repeat(9));
    assert_eq!(refused(&endless), BadHead::HeadTooLong(64 << 10));
    assert_eq!(refused(&"\r\n".repeat(33 << 10)), BadHead::HeadTooLong(64 << 10), "endless blank lines");
}

#[test]
fn headers_that_concern_the_connection_are_bounded() {
    let named = |count: usize| format!("GET / HTTP/1.1\r\nConnection: {}\r\n\r\n", "x,".repeat(count));
    whole(&named(16));
    assert_eq!(refused(&named(17)), BadHead::TooManyHopByHop);
    assert_eq!(refused(&format!("GET / HTTP/1.1\r\n{}\r\n", "TE: x\r\n".repeat(17))), BadHead::TooManyHopByHop);
    let repeated = format!("GET / HTTP/1.1\r\nConnection: x\r\n{}\r\n", "x: 1\r\n".repeat(15));
    assert_eq!(written(&whole(&repeated), &RequestChanges::default()), "GET / HTTP/1.1\r\n\r\n");
}

#[test]
fn no_length_is_no_body() {
    for (text, body) in [
        ("GET / HTTP/1.1\r\n\r\n", Body::None),
        ("GET / HTTP/1.1\r\nContent-Length: 0\r\n\r\n", Body::None),
        ("GET /_search HTTP/1.1\r\nContent-Length: 002\r\n\r\n", Body::Length(2)),
        ("POST / HTTP/1.1\r\nTransfer-Encoding: Chunked\r\n\r\n", Body::Chunked),
    ] {
        assert_eq!(whole(text).body, body, "{text:?}");
    }
}
