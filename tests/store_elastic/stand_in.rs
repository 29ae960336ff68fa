//! States that no installed server can be brought into: a stand-in says what one would.

use super::setup::{NOWHERE, service};
use crate::common::http;
use pointsman::{
    model::observation::Reach,
    store::{Store, elastic::ElasticStore},
};
use std::{
    io::{BufRead, BufReader, Write},
    net::TcpListener,
};

/// Answers each request with what `answer` gives for its path and its Authorization; its address.
fn stand_in(answer: fn(&str, &str) -> (u16, String)) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let mut lines = BufReader::new(stream.try_clone().expect("a second handle")).lines();
                let mut stream = stream;
                while let Some(Ok(request)) = lines.next() {
                    let head: Vec<String> =
                        lines.by_ref().map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
                    let login = head.iter().find_map(|line| line.strip_prefix("authorization: ")).unwrap_or_default();
                    let (status, body) = answer(request.split(' ').nth(1).unwrap_or_default(), login);
                    let head = format!(
                        "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
                        body.len()
                    );
                    if stream.write_all((head + &body).as_bytes()).is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

fn store(address: &str, extra: &str) -> ElasticStore {
    ElasticStore::new(service(&format!("[{address:?}]"), NOWHERE, extra)).expect("no files of TLS")
}

#[tokio::test]
async fn a_login_is_sent_and_a_refused_one_is_no_death() {
    let guarded = stand_in(|path, login| {
        let body = match path.split('?').next() {
            Some("/") => r#"{"version":{"number":"8.1.0"}}"#,
            Some("/_cluster/state/master_node,blocks") => r#"{"cluster_uuid":"u","master_node":"m"}"#,
            Some("/_cluster/health") => r#"{"status":"green"}"#,
            _ => "{}",
        };
        // pointsman:secret
        let good = login == "Basic cG9pbnRzbWFuOnNlY3JldA==";
        if good { (200, body.into()) } else { (401, r#"{"error":{"type":"security_exception","reason":"no"}}"#.into()) }
    });
    let login = "credentials = { username = \"pointsman\", password = \"secret\" }";
    let seen = store(&guarded, login).probe(&guarded.as_str().into()).await;
    let answer = seen.answer().expect("it lets us in");
    assert_eq!((answer.version.as_str(), answer.unfit.as_str()), ("8.1.0", ""));
    let seen = store(&guarded, "").probe(&guarded.as_str().into()).await;
    let words = format!("{guarded}: our login is refused: HTTP 401 security_exception: no");
    assert_eq!(seen.reach, Reach::Rejected(words));
    let error = store(&guarded, "").fitness(&guarded.as_str().into()).await.expect_err("refused");
    assert!(error.detail.ends_with("GET /: HTTP 401 security_exception: no") && !error.retryable, "{error:?}");
}

#[tokio::test]
async fn overload_is_life_and_something_else_at_the_address_is_no_death_either() {
    let busy = stand_in(|_, _| (429, r#"{"error":{"type":"circuit_breaking_exception"}}"#.into()));
    assert_eq!(http::call(&busy, "GET", "/", "").expect("an answer").status, 429);
    let seen = store(&busy, "").probe(&busy.as_str().into()).await;
    assert_eq!(seen.answer().expect("it lives").unfit, "is overloaded (429)");
    let other = stand_in(|_, _| (200, "<html>hello</html>".into()));
    assert!(matches!(store(&other, "").probe(&other.as_str().into()).await.reach, Reach::Rejected(_)));
}

#[tokio::test]
async fn what_our_login_may_not_read_is_named() {
    let narrow = stand_in(|path, _| match path.split('?').next() {
        Some("/_ingest/pipeline") => (403, r#"{"error":{"type":"security_exception","reason":"denied"}}"#.into()),
        Some("/_security/api_key") => (403, "{}".into()),
        _ => (200, "{}".into()),
    });
    let facts = store(&narrow, "").fitness(&narrow.as_str().into()).await.expect("the rest");
    assert_eq!(facts.missing_rights, ["GET /_ingest/pipeline is forbidden: HTTP 403 security_exception: denied"]);
}
