//! Each kind of command goes where the facts say.

use super::super::scan::{Limits, RequestScanner, Scan, expand_inline};
use super::*;

fn class_with(line: &str, deny: &DenyList) -> Class {
    let mut bytes = Vec::new();
    expand_inline(line.as_bytes(), &mut bytes).expect(line);
    match RequestScanner::default().next(&bytes, &Limits::default()) {
        Ok(Scan::Complete(head)) => classify(&head, &bytes, deny),
        other => panic!("{line}: {other:?}"),
    }
}

fn class(line: &str) -> Class {
    class_with(line, &DenyList::default())
}

#[test]
fn routes() {
    for (line, route) in [
        ("get k", Route::Shared),
        ("XREAD COUNT 1 STREAMS block 0", Route::Shared),
        ("XREADGROUP GROUP block c STREAMS s >", Route::Shared),
        ("SCRIPT LOAD x", Route::Shared),
        ("SCRIPT KILL", Route::Pinned(Why::Once)),
        ("PUBLISH a b", Route::Shared),
        ("XREAD BLOCK 0 STREAMS s 0", Route::Pinned(Why::Blocking)),
        ("XREADGROUP GROUP g c NOACK COUNT 5 block 10 STREAMS s >", Route::Pinned(Why::Blocking)),
        ("XREAD COUNT 1 COUNT 1 COUNT 1 COUNT 1 COUNT 1 BLOCK 0 STREAMS s 0", Route::Pinned(Why::Blocking)),
        ("blpop k 0", Route::Pinned(Why::Blocking)),
        ("WAIT 1 0", Route::Pinned(Why::Wait)),
        ("multi", Route::Pinned(Why::Transaction)),
        ("WATCH k", Route::Pinned(Why::Watch)),
        ("ssubscribe c", Route::Pinned(Why::Subscription)),
        ("MONITOR", Route::Pinned(Why::Monitor)),
        ("CLIENT TRACKING on", Route::Pinned(Why::Client)),
        ("client id", Route::Pinned(Why::Identity)),
        ("client", Route::Pinned(Why::Once)),
        ("client no-such-thing", Route::Pinned(Why::Once)),
        ("client setname x", Route::Local(Local::SetName)),
        ("HELLO 3", Route::Local(Local::Hello)),
        ("host: example", Route::Local(Local::Abort)),
        ("READONLY", Route::Pinned(Why::Cluster)),
        ("JSON.SET a b", Route::Pinned(Why::Unknown)),
        ("replicaof no one", Route::Denied),
        ("cluster meet a 1", Route::Denied),
        ("CLUSTER slots", Route::Shared),
    ] {
        assert_eq!(class(line).route, route, "{line}");
    }
}

#[test]
fn retries() {
    for (line, retry) in [
        ("GET k", Retry::Read),
        ("EVAL_RO x 0", Retry::Read),
        ("SET k v", Retry::OnProof),
        ("PUBLISH c m", Retry::OnProof),
        ("PING", Retry::Read),
        ("CONFIG SET a b", Retry::OnProof),
        ("BLPOP a 0", Retry::OnProof),
        ("EVAL x 0", Retry::Never),
        ("FCALL f 0", Retry::Never),
        ("EXEC", Retry::Never),
        ("MY.COMMAND", Retry::Never),
    ] {
        assert_eq!(class(line).retry, retry, "{line}");
    }
}

#[test]
fn read_only_mode() {
    for (line, passes) in [
        ("GET k", true),
        ("PING", true),
        ("INFO", true),
        ("MULTI", true),
        ("SUBSCRIBE c", true),
        ("FCALL_RO f 0", true),
        ("EVAL '#!lua flags=no-writes' 0", true),
        ("EVAL \"#!lua name=x flags=allow-stale,no-writes\\nreturn 1\" 0", true),
        ("EVAL \"#!lua flags=allow-oom\\n-- flags=no-writes\" 0", false),
        ("EVAL 'return 1' 0", false),
        ("EVALSHA x 0", false),
        ("FCALL f 0", false),
        ("PUBLISH a b", false),
        ("SET k v", false),
        ("SORT k", false),
        ("XREADGROUP GROUP g c STREAMS s >", false),
        ("DEBUG FLUSHALL", false),
        ("MY.COMMAND", false),
    ] {
        assert_eq!(class(line).read_only_ok, passes, "{line}");
    }
}

#[test]
fn blocking_commands_say_where_their_timeout_is() {
    let block = |line: &str| class(line).block.map(|block| (block.timeout, block.takes));
    assert_eq!(block("BLPOP k 1"), Some((Timeout::LastSeconds, true)));
    assert_eq!(block("BLMPOP 1 1 k LEFT"), Some((Timeout::FirstSeconds, true)));
    assert_eq!(block("XREAD BLOCK 1 STREAMS s 0"), Some((Timeout::BlockMillis, false)));
    assert_eq!(block("WAITAOF 1 1 0"), Some((Timeout::LastMillis, false)));
    assert_eq!(block("LPOP k"), None);
}

#[test]
fn the_deny_list_is_the_configurations() {
    let list = |names: &[&str]| DenyList::parse(&names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>());
    let deny = list(&["client kill", "FLUSHALL", "ft.search"]).expect("known names");
    for (line, denied) in [
        ("CLIENT KILL ID 1", true),
        ("CLIENT LIST", false),
        ("flushall", true),
        ("FT.SEARCH x", true),
        ("REPLICAOF a 1", false),
    ] {
        assert_eq!(class_with(line, &deny).route == Route::Denied, denied, "{line}");
    }
    assert_eq!(class_with("CLUSTER MEET a 1", &list(&["cluster"]).expect("known")).route, Route::Denied);
    for unknown in ["SHUTDWN", "CLIENT KIL", "GET x", "", "CLIENT KILL ID"] {
        let error = list(&[unknown]).expect_err(unknown);
        assert_eq!(error.name, unknown);
        assert!(error.known.iter().any(|name| name == "CLIENT KILL"));
    }
}
