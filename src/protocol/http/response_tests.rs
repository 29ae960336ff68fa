//! Heads of answers.

use super::*;

fn parse(bytes: &[u8], asked: Method) -> Result<Option<(ResponseHead<'_>, usize)>, BadHead> {
    ResponseHead::parse(bytes, asked, &Limits::NODE)
}

fn whole(text: &str, asked: Method) -> ResponseHead<'_> {
    let (head, used) = parse(text.as_bytes(), asked).expect("a valid head").expect("a whole head");
    assert_eq!(used, text.len());
    head
}

fn written(head: &ResponseHead<'_>, changes: ResponseChanges) -> String {
    let mut out = Vec::new();
    head.write(&mut out, &changes);
    String::from_utf8(out).expect("text")
}

#[test]
fn an_answer_of_a_node_is_read_and_written_onwards() {
    let text = "HTTP/1.1 200 OK\r\nX-elastic-product: Elasticsearch\r\ncontent-type: application/json\r\ncontent-length: 31\r\n\r\n";
    let head = whole(text, Method::Get);
    assert_eq!((head.status, head.body, head.keep_alive, head.interim()), (200, Body::Length(31), true, false));
    assert_eq!(head.header("X-Elastic-Product"), Some(&b"Elasticsearch"[..]));
    assert_eq!(written(&head, ResponseChanges::default()), text);
    let closed = ResponseChanges { close: true, content_length: Some(40), ..ResponseChanges::default() };
    assert_eq!(
        written(&head, closed),
        "HTTP/1.1 200 OK\r\nX-elastic-product: Elasticsearch\r\ncontent-type: application/json\r\nContent-Length: 40\r\nConnection: close\r\n\r\n"
    );
    for cut in 0..text.len() {
        assert!(matches!(parse(&text.as_bytes()[..cut], Method::Get), Ok(None)), "cut at {cut}");
    }
}

#[test]
fn bodies_end_as_the_request_and_the_status_say() {
    let chunked = "transfer-encoding: chunked\r\n";
    for (status, headers, asked, body, keep_alive) in [
        ("200 OK", "content-length: 5\r\n", Method::Head, Body::None, true),
        ("200 OK", chunked, Method::Head, Body::None, true),
        ("200 OK", "", Method::Head, Body::None, true),
        ("204 No Content", "", Method::Get, Body::None, true),
        ("304 Not Modified", "content-length: 5\r\n", Method::Get, Body::None, true),
        ("100 Continue", "", Method::Post, Body::None, true),
        ("200 OK", chunked, Method::Get, Body::Chunked, true),
        ("200 OK", "", Method::Get, Body::UntilClose, false),
        ("200 OK", "content-length: 0\r\n", Method::Get, Body::None, true),
        ("200 OK", "content-length: 5\r\nconnection: close\r\n", Method::Get, Body::Length(5), false),
        ("404 Not Found", "content-length: 5\r\n", Method::Get, Body::Length(5), true),
        ("429", "content-length: 5\r\n", Method::Get, Body::Length(5), true),
    ] {
        let text = format!("HTTP/1.1 {status}\r\n{headers}\r\n");
        let head = whole(&text, asked);
        assert_eq!((head.body, head.keep_alive), (body, keep_alive), "{text:?} to {asked:?}");
        assert_eq!(head.interim(), status.starts_with('1'));
    }
}

#[test]
fn the_client_is_answered_in_its_own_version_and_framing() {
    let head = whole(
        "HTTP/1.0 200 OK\r\nConnection: x-hop, keep-alive\r\nX-Hop: 1\r\nKeep-Alive: 5\r\nX: 1\r\n\r\n",
        Method::Get,
    );
    assert_eq!((head.version, head.body, head.keep_alive), (Version::Http10, Body::UntilClose, false));
    let changes = ResponseChanges { chunked: true, ..ResponseChanges::default() };
    assert_eq!(written(&head, changes), "HTTP/1.1 200 OK\r\nX: 1\r\nTransfer-Encoding: chunked\r\n\r\n");
    let head = whole("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX: 1\r\n\r\n", Method::Get);
    let changes = ResponseChanges { content_length: Some(3), ..ResponseChanges::default() };
    assert_eq!(written(&head, changes), "HTTP/1.1 200 OK\r\nX: 1\r\nContent-Length: 3\r\n\r\n");
}

#[test]
fn answers_that_can_not_be_framed_are_errors() {
    use BadHead::*;
    for (text, error) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", TwoFramings),
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n", ContentLength),
        ("HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", ContentLength),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", TransferEncoding),
        ("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", TransferEncoding),
        ("HTTP/1.1 200 OK\nContent-Length: 5\n\n", BareLineFeed),
        ("HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n", HeaderLine),
        ("HTTP/1.1 200 OK\r\nContent-Length : 5\r\n\r\n", HeaderLine),
        ("HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n", Upgrade),
        ("HTTP/1.1 2000 OK\r\n\r\n", FirstLine),
        ("HTTP/1.1 20 OK\r\n\r\n", FirstLine),
        ("HTTP/2 200\r\n\r\n", Version),
        ("{\"error\":1}\r\n\r\n", FirstLine),
        ("\0\0\u{12}\u{4}", FirstLine),
    ] {
        let found = parse(text.as_bytes(), super::Method::Get).err();
        assert_eq!(found, Some(error), "{text:?}");
    }
}
