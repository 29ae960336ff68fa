//! HTTP heads and bodies against hyper as the oracle: whatever is taken here, however odd, hyper reads as the same requests with
//! the same bodies; and what is written onwards says the same, without what concerns the connection.

use std::convert::Infallible;
use std::sync::mpsc;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use pointsman::protocol::elastic::classify;
use pointsman::protocol::http::{
    Body, ChunkScanner, Limits, MAX_HEADERS, Method, RequestChanges, RequestHead, ResponseChanges, ResponseHead,
};
use proptest::collection::vec;
use proptest::prelude::*;
use tokio::io::AsyncWriteExt as _;

/// One request as a server sees it: method and target, and the data of its body.
type Seen = (String, Vec<u8>);

/// What is read of a pipeline here, and whether all of it was.
fn ours(bytes: &[u8]) -> (Vec<Seen>, bool) {
    let (mut seen, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        let Ok(Some((head, used))) = RequestHead::parse(&bytes[at..], &Limits::CLIENT) else { return (seen, false) };
        at += used;
        let mut data = Vec::new();
        match head.body {
            Body::None => {}
            Body::Length(length) => {
                let end = usize::try_from(length).ok().and_then(|length| at.checked_add(length));
                let Some(body) = end.and_then(|end| bytes.get(at..end)) else { return (seen, false) };
                data.extend_from_slice(body);
                at += body.len();
            }
            Body::Chunked => match ChunkScanner::default().decode(&bytes[at..], &mut data) {
                Ok(scanned) if scanned.done => at += scanned.len,
                _ => return (seen, false),
            },
            Body::UntilClose => unreachable!("a request"),
        }
        seen.push((format!("{} {}", head.method.as_str(), head.target), data));
        if !head.keep_alive {
            return (seen, false);
        }
    }
    (seen, true)
}

/// What hyper reads of it.
fn hypers(bytes: &[u8]) -> Vec<Seen> {
    let (told, seen) = mpsc::channel();
    let service = service_fn(move |request: Request<Incoming>| {
        let told = told.clone();
        async move {
            let line = format!("{} {}", request.method(), request.uri());
            if let Ok(body) = request.into_body().collect().await {
                told.send((line, body.to_bytes().to_vec())).expect("the test");
            }
            Ok::<_, Infallible>(Response::new(Full::new(Bytes::new())))
        }
    });
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(async {
        let (mut client, server) = tokio::io::duplex(1 << 20);
        client.write_all(bytes).await.expect("room for all of it");
        client.shutdown().await.expect("an end");
        // It may refuse what is refused here too; what it has read before that counts.
        let _ = http1::Builder::new()
            .half_close(true)
            .max_headers(MAX_HEADERS)
            .serve_connection(TokioIo::new(server), service)
            .await;
    });
    seen.try_iter().collect()
}

fn line() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => Just("POST /i/_bulk HTTP/1.1".to_owned()),
        2 => "(GET|PUT|DELETE|get|OPTIONS|CONNECT) /[a-z_%?&=.,;*-]{0,12} HTTP/1.[01]",
        1 => "[A-Z]{1,5} {1,2}[!-~]{1,12} {1,2}HTTP/[12].[012]",
    ]
}

/// Headers of which the framing depends, right and wrong ones, with their line ends.
fn header() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => Just("Host: x\r\n".to_owned()),
        4 => "[Cc]ontent-[Ll]ength:[ \t]?[0-9]{1,2}\r\n",
        4 => Just("Transfer-Encoding: chunked\r\n".to_owned()),
        1 => "Content-Length ?: ?[+-]?[0-9]{0,20}(, 5)?\r\n",
        1 => "[Tt]ransfer-[Ee]ncoding ?: ?(x?chunked|identity|gzip, chunked|chunked, chunked)\r\n",
        1 => "(X|connection|te|expect|Trailer): ?(close|keep-alive|content-length|x|100-continue|[ -~]{0,6})\r?\n",
        1 => "[ \t]?[!-~]{0,4}[\0: ]{0,2}[ -~]{0,4}\r\n",
    ]
}

/// Bodies whose contents look like the next request.
fn body() -> impl Strategy<Value = String> {
    let chunk = "(1\r\nx|2;a=b\r\n\r\n|00a\r\nGET / HTTP|12\r\nGET / HTTP/1.1\r\n\r\n|3\r\n0\r\n)\r\n";
    let chunks = (vec(chunk, 0..4), "(0\r\n\r\n|0;x\r\n\r\n|0\r\nX: y\r\n\r\n|0\r\nX: y\n\r\n|0 \r\n\r\n)");
    prop_oneof![
        3 => Just(String::new()),
        3 => chunks.prop_map(|(chunks, end)| chunks.concat() + &end),
        2 => "[a-z]{0,12}",
        1 => Just("GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n".to_owned()),
    ]
}

fn request() -> impl Strategy<Value = String> {
    (line(), vec(header(), 0..4), body())
        .prop_map(|(line, headers, body)| format!("{line}\r\n{}\r\n{body}", headers.concat()))
}

/// A request that is as it should be, but for what concerns the connection.
fn tame() -> impl Strategy<Value = String> {
    let header = prop_oneof![
        "X-[A-Z]{1,2}: [ -~]{0,8}",
        "(Keep-Alive|TE|Upgrade|Proxy-Connection|Accept-Encoding): [a-z]{1,4}",
        "Connection: (close|keep-alive|X-A, X-B|x-ab|te|[ ,]{0,3})",
        Just("Expect: 100-continue".to_owned()),
    ];
    (vec(header, 0..8), prop_oneof!["Content-Length: 5", "Transfer-Encoding: chunked", "X: y"], 0..8usize).prop_map(
        |(mut headers, framing, at)| {
            headers.insert(at.min(headers.len()), framing);
            format!("POST /i/_search?size=1 HTTP/1.1\r\n{}\r\n\r\n", headers.join("\r\n"))
        },
    )
}

/// The header lines of a head, as httparse reads them.
fn lines(head: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    assert!(request.parse(head).expect("valid").is_complete());
    request.headers.iter().map(|header| (header.name.to_ascii_lowercase(), header.value.to_vec())).collect()
}

/// What of a head may be handed on, by RFC 9110 7.6.1, in the plainest way.
fn end_to_end(lines: &[(String, Vec<u8>)]) -> Vec<(String, Vec<u8>)> {
    const HOP: [&str; 6] = ["connection", "keep-alive", "te", "upgrade", "proxy-connection", "http2-settings"];
    let named = |name: &str| {
        let mut connection = lines.iter().filter(|(name, _)| name == "connection");
        connection.any(|(_, value)| {
            String::from_utf8_lossy(value).split(',').any(|token| token.trim().eq_ignore_ascii_case(name))
        })
    };
    lines.iter().filter(|(name, _)| !HOP.contains(&name.as_str()) && !named(name)).cloned().collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2048))]

    #[test]
    fn hyper_reads_the_same_requests(requests in vec(request(), 1..4)) {
        let bytes = requests.concat().into_bytes();
        let (ours, all) = ours(&bytes);
        let hypers = hypers(&bytes);
        prop_assert!(hypers.starts_with(&ours), "taken here: {ours:?}, by hyper: {hypers:?}");
        if all {
            prop_assert_eq!(hypers, ours);
        }
    }

    #[test]
    fn what_is_written_onwards_says_the_same(text in tame()) {
        let Ok(Some((head, used))) = RequestHead::parse(text.as_bytes(), &Limits::CLIENT) else {
            return Err(TestCaseError::fail(format!("refused: {text:?}")));
        };
        prop_assert_eq!(used, text.len());
        let mut out = Vec::new();
        head.write(&mut out, &RequestChanges::default());
        let mut expected = end_to_end(&lines(text.as_bytes()));
        if !head.expect_continue {
            expected.retain(|(name, _)| name != "expect");
        }
        prop_assert_eq!(lines(&out), expected);
        let (again, _) = RequestHead::parse(&out, &Limits::CLIENT).expect("valid").expect("whole");
        prop_assert_eq!((again.body, again.target, again.expect_continue), (head.body, head.target, head.expect_continue));
        let mut twice = Vec::new();
        again.write(&mut twice, &RequestChanges::default());
        prop_assert_eq!(out, twice);
    }

    #[test]
    fn any_bytes_are_judged_without_a_panic(bytes in vec(prop_oneof![Just(b'\r'), Just(b'\n'), Just(b':'), Just(b' '), any::<u8>()], 0..200)) {
        let head = [b"GET / HTTP/1.1\r\n", &bytes[..], b"\r\n\r\n"].concat();
        let _ = RequestHead::parse(&head, &Limits::CLIENT);
        let _ = RequestHead::parse(&bytes, &Limits::CLIENT);
        let _ = ResponseHead::parse(&bytes, Method::Get, &Limits::NODE);
        let _ = ChunkScanner::default().scan(&bytes);
        classify(Method::Post, &String::from_utf8_lossy(&bytes), &String::from_utf8_lossy(&bytes));
    }
}

#[test]
fn heads_and_their_judgement_allocate_nothing() {
    let request = b"POST /logs-2026/_search?size=1 HTTP/1.1\r\nHost: localhost:9200\r\nAccept-Encoding: gzip\r\nConnection: keep-alive\r\n\
        Transfer-Encoding: chunked\r\n\r\n";
    let chunks = b"5\r\nhello\r\n0\r\n\r\n";
    let answer = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 5\r\n\r\n";
    let mut out = Vec::with_capacity(1024);
    let mut read = 0;
    let counted = allocation_counter::measure(|| {
        for _ in 0..100 {
            out.clear();
            let (head, _) = RequestHead::parse(request, &Limits::CLIENT).expect("valid").expect("whole");
            let judged = classify(head.method, head.path(), head.query());
            head.write(&mut out, &RequestChanges::default());
            let chunks = ChunkScanner::default().scan(chunks).expect("valid");
            let (head, _) = ResponseHead::parse(answer, head.method, &Limits::NODE).expect("valid").expect("whole");
            head.write(&mut out, &ResponseChanges { close: true, content_length: Some(7), chunked: false });
            read += usize::from(chunks.done && !judged.changes && head.keep_alive);
        }
    });
    assert_eq!((read, counted.count_total), (100, 0));
}
