//! Envelopes of cursor ids.

use super::cursor::*;

/// What becomes of an answer, at every length of it: nothing that was found is lost by more.
fn wrapped(answer: &str) -> Option<String> {
    let sent = |len, whole| match wrap("main", &answer.as_bytes()[..len], whole) {
        Wrap::More => None,
        Wrap::AsItIs => Some(answer.to_owned()),
        Wrap::Changed(begin) => Some(String::from_utf8([&begin, &answer.as_bytes()[len..]].concat()).expect("text")),
    };
    let whole = sent(answer.len(), true).expect("a decision");
    for len in 0..=answer.len() {
        assert!(sent(len, false).is_none_or(|sent| sent == whole), "{answer:?} at {len}");
    }
    (whole != answer).then_some(whole)
}

#[test]
fn ids_in_answers_get_their_envelope() {
    for (answer, expected) in [
        (r#"{"_scroll_id":"FGx==","took":1}"#, r#"{"_scroll_id":"pm.main.FGx==","took":1}"#),
        (r#"{"pit_id":"o463","_shards":{"total":1}}"#, r#"{"pit_id":"pm.main.o463","_shards":{"total":1}}"#),
        (
            r#"{"took":1,"hits":{"hits":[{"_id":"x"}]},"pit_id":"o463"}"#,
            r#"{"took":1,"hits":{"hits":[{"_id":"x"}]},"pit_id":"pm.main.o463"}"#,
        ),
        ("{\n  \"id\" : \"Fk\",\n  \"is_partial\" : true}", "{\n  \"id\" : \"pm.main.Fk\",\n  \"is_partial\" : true}"),
    ] {
        assert_eq!(wrapped(answer).as_deref(), Some(expected));
    }
}

#[test]
fn answers_without_an_id_of_their_own_are_left_alone() {
    for answer in [
        r#"{"took":1,"hits":{"hits":[{"_source":{"id":"a","_scroll_id":"b","pit_id":"c"}}]}}"#,
        r#"{"is_partial":false,"response":{"id":"x"}}"#,
        r#"{"error":{"root_cause":[{"type":"a \" quote","reason":"{"}]},"status":404}"#,
        r#"{"took":1,"x":"_scroll_id","y":"id"}"#,
        r#"{"succeeded":true,"num_freed":0}"#,
        "[]",
        "---\n_scroll_id: \"FGx\"\n",
        ":)\n\u{fa}",
        "}",
    ] {
        assert_eq!(wrapped(answer), None, "{answer}");
    }
    assert_eq!(wrap("main", b"", false), Wrap::More);
    assert_eq!(wrap("main", b"", true), Wrap::AsItIs);
    let late = format!("{{\"x\":\"{}\",\"_scroll_id\":\"a\"}}", "y".repeat(SEARCHED));
    assert_eq!(wrap("main", late.as_bytes(), false), Wrap::AsItIs, "too far behind");
    assert_eq!(wrap("main", &late.as_bytes()[..SEARCHED], false), Wrap::AsItIs, "and it isn't waited for");
    assert_eq!(wrap("main", &late.as_bytes()[..SEARCHED - 1], false), Wrap::More);
}

#[test]
fn all_ids_of_a_list_get_their_envelope() {
    let list =
        r#"{"pits":[{"pit_id":"a","keep_alive":1},{"successful":true,"pit_id":"b"}],"x":{"pits":[{"pit_id":"c"}]}}"#;
    let expected = r#"{"pits":[{"pit_id":"pm.main.a","keep_alive":1},{"successful":true,"pit_id":"pm.main.b"}],"x":{"pits":[{"pit_id":"c"}]}}"#;
    assert_eq!(wrapped(list).as_deref(), Some(expected));
    assert_eq!(wrap("main", &list.as_bytes()[..list.len() - 1], false), Wrap::More, "it is changed whole");
    assert_eq!(wrapped(r#"{"pits":[]}"#), None);
    let long = format!("{{\"pits\":[{}]}}", "{\"pit_id\":\"a\"},".repeat(MAX_BODY / 10));
    assert_eq!(wrap("main", &long.as_bytes()[..MAX_BODY - 1], false), Wrap::More);
    assert_eq!(wrap("main", &long.as_bytes()[..MAX_BODY], false), Wrap::AsItIs, "within bounds");
}

fn body(body: &str) -> Result<Option<(String, String)>, Mixed> {
    let mut out = b"left over".to_vec();
    let owner = unwrap_body(body.as_bytes(), &mut out)?;
    Ok(owner.map(|owner| (owner.to_owned(), String::from_utf8(out).expect("text"))))
}

#[test]
fn ids_in_bodies_lose_their_envelope() {
    for (sent, expected) in [
        (r#"{"scroll":"1m","scroll_id":"pm.b-1.FGx=="}"#, r#"{"scroll":"1m","scroll_id":"FGx=="}"#),
        (r#"{"scroll_id":["pm.b-1.x","pm.b-1.y"]}"#, r#"{"scroll_id":["x","y"]}"#),
        (r#"{"pit_id":[ "pm.b-1.x" ]}"#, r#"{"pit_id":[ "x" ]}"#),
        (r#"{"id":"pm.b-1.x"}"#, r#"{"id":"x"}"#),
        (
            r#"{"query":{"pit":{"id":"pm.q.x"},"term":{"id":"pm.q.y"}},"pit":{"keep_alive":"1m","id":"pm.b-1.x"}}"#,
            r#"{"query":{"pit":{"id":"pm.q.x"},"term":{"id":"pm.q.y"}},"pit":{"keep_alive":"1m","id":"x"}}"#,
        ),
        (
            "{}\n{\"pit\":{\"id\":\"pm.b-1.x\"}}\n{}\n{\"pit\":{\"id\":\"pm.b-1.y\"}}\n",
            "{}\n{\"pit\":{\"id\":\"x\"}}\n{}\n{\"pit\":{\"id\":\"y\"}}\n",
        ),
        (r#"{"id":"pm.b-1.a.b"}"#, r#"{"id":"a.b"}"#),
    ] {
        assert_eq!(body(sent), Ok(Some(("b-1".to_owned(), expected.to_owned()))), "{sent}");
    }
}

#[test]
fn bodies_without_ids_of_ours_are_sent_as_they_are() {
    for sent in [
        "",
        r#"{"scroll_id":"FGx=="}"#,
        r#"{"query":{"term":{"host":"pm.main.x"}}}"#,
        r#"{"query":{"term":{"scroll_id":"pm.main.x"}}}"#,
        r#"{"scroll_id":"pm.main"}"#,
        r#"{"scroll_id":"pm..x"}"#,
        r#"{"scroll_id":"pm.a/b.x"}"#,
        "not json \"pm.main.x\"",
    ] {
        assert_eq!(body(sent), Ok(None), "{sent}");
    }
}

#[test]
fn ids_of_several_clusters_are_refused() {
    for sent in [
        r#"{"scroll_id":["pm.a.x","pm.b.y"]}"#,
        r#"{"scroll_id":["pm.a.x","y"]}"#,
        r#"{"scroll_id":["y","pm.a.x"]}"#,
        "{\"pit\":{\"id\":\"pm.a.x\"}}\n{\"pit\":{\"id\":\"pm.b.y\"}}\n",
    ] {
        assert_eq!(body(sent), Err(Mixed), "{sent}");
    }
    for sent in ["/_search/scroll/pm.a.x,pm.b.y", "/_search/scroll/x,pm.b.y", "/_search/scroll?scroll_id=pm.b.y%2Cx"] {
        assert_eq!(unwrap_target(sent, &mut String::new()), Err(Mixed), "{sent}");
    }
}

#[test]
fn ids_in_targets_lose_their_envelope() {
    let target = |sent| {
        let mut out = "left over".to_owned();
        unwrap_target(sent, &mut out).map(|owner| owner.map(|owner| (owner, out)))
    };
    for (sent, expected) in [
        ("/_search/scroll/pm.main.FGx==", "/_search/scroll/FGx=="),
        ("/_search/scroll/pm.main.a,pm.main.b?pretty", "/_search/scroll/a,b?pretty"),
        ("/_search/scroll/pm.main.a%2Cpm.main.b%2cpm.main.c", "/_search/scroll/a%2Cb%2cc"),
        ("/_search/scroll?scroll=1m&scroll_id=pm.main.FGx%3D%3D", "/_search/scroll?scroll=1m&scroll_id=FGx%3D%3D"),
        ("/_search/scroll?scroll_id=pm.main.a;pretty", "/_search/scroll?scroll_id=a;pretty"),
        ("/_async_search/pm.main.Fk", "/_async_search/Fk"),
        ("/_async_search/status/pm.main.Fk/?x=pm", "/_async_search/status/Fk/?x=pm"),
    ] {
        assert_eq!(target(sent), Ok(Some(("main", expected.to_owned()))), "{sent}");
    }
    for sent in ["/_search/scroll/FGx==", "/_async_search/pm.x", "/_async_search/xpm.main.y", "/_search/scroll"] {
        assert_eq!(target(sent), Ok(None), "{sent}");
    }
}
