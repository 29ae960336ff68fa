//! Every API of both products has the class that was derived from its name; what no list has is judged with care.

use super::api::*;
use crate::protocol::http::Method;

const APIS: &str = include_str!("../../../tests/elastic/apis.txt");

fn method(word: &str) -> Method {
    let methods =
        [Method::Get, Method::Head, Method::Post, Method::Put, Method::Delete, Method::Options, Method::Patch];
    *methods.iter().find(|method| method.as_str() == word).unwrap_or_else(|| panic!("method {word}"))
}

fn judged(word: &str, target: &str) -> String {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let Request { class, changes, retry, special } = classify(method(word), path, query);
    let class = match (class, changes) {
        (Class::Admin, true) => "admin_changes",
        (Class::Write, true) => "write",
        (Class::Write, false) | (Class::Read | Class::Cursor, true) => "a contradiction",
        (class, false) => class.as_str(),
    };
    let retry = match retry {
        Retry::Never => "never",
        Retry::SameCluster => "same_cluster",
        Retry::Anywhere => "anywhere",
    };
    let special = match special {
        Special::Plain => "plain",
        Special::Sniff => "sniff",
        Special::OpensCursor => "opens_cursor",
        Special::UsesCursor => "uses_cursor",
        Special::MayUseCursor => "may_use_cursor",
    };
    format!("{class} {retry} {special}")
}

#[test]
fn every_api_of_the_specifications_has_the_class_of_its_name() {
    let lines = APIS.lines().filter(|line| !line.starts_with('#'));
    let mut wrong = Vec::new();
    let mut count = 0;
    for line in lines {
        count += 1;
        let (api, expected) = line.match_indices(' ').nth(1).map(|(at, _)| line.split_at(at)).expect("two spaces");
        let (word, target) = api.split_once(' ').expect("a method and a path");
        let judged = judged(word, target);
        if judged != expected.trim_start() {
            wrong.push(format!("{line}: judged {judged}"));
        }
    }
    assert!(count > 900, "only {count} lines");
    assert!(wrong.is_empty(), "{} of {count}:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn parameters_and_names_that_look_like_others() {
    for (api, expected) in [
        // Parameters that make another request of it.
        ("GET /i/_search?scroll=1m", "cursor never opens_cursor"),
        ("POST /i/_search?size=1;%73croll=1m", "cursor never opens_cursor"),
        ("POST /_search/template?scroll=1m", "cursor never opens_cursor"),
        ("POST /i/_search?scroll_id=1", "read anywhere plain"),
        ("POST /i/_eql/search?wait_for_completion_timeout=1s", "cursor never opens_cursor"),
        ("PUT /i/_doc/1?refresh=true&routing=a", "write same_cluster plain"),
        ("PUT /i/_doc/1?if_seq_no=3&if_primary_term=1", "write never plain"),
        ("PUT /i/_doc/1?version=3&version_type=external", "write never plain"),
        ("PUT /i/_doc/1?op_type=create", "write never plain"),
        ("PUT /i/_doc/1?%6Fp_type=create", "write never plain"),
        ("DELETE /i/t/1?if_seq_no=3", "write never plain"),
        // `_all` is an index, `_doc` a type of Elasticsearch 7, and other names aren't decoded.
        ("GET /_all/_search", "read anywhere plain"),
        ("POST /_all/_delete_by_query", "write never plain"),
        ("DELETE /_all", "admin_changes never plain"),
        ("GET /i/_doc/_search", "read anywhere plain"),
        ("GET /i/_doc/_search?scroll=1m", "cursor never opens_cursor"),
        ("POST /i/_doc/_search", "write never plain"),
        ("POST /i/_doc/_search?scroll=1m", "write never opens_cursor"),
        ("POST /i/_doc/_bulk", "write never plain"),
        ("PUT /i/_doc/_x", "write never plain"),
        ("POST /i/%5fsearch", "write never plain"),
        ("POST /%5fbulk", "admin_changes never plain"),
        ("GET /_search/", "read anywhere may_use_cursor"),
        ("POST /_search/scroll/", "cursor never uses_cursor"),
        ("POST //_bulk", "write never plain"),
        ("PUT /a%2Fb/_doc/%2F", "write same_cluster plain"),
        ("PUT /<logs-{now%2Fd}>/_doc/1", "write same_cluster plain"),
        ("GET /a,b,-c/_doc/1", "read anywhere plain"),
        // What nobody knows.
        ("POST /_new_api", "admin_changes never plain"),
        ("POST /_new_api/_search", "admin_changes never plain"),
        ("GET /_new_api", "admin anywhere plain"),
        ("PATCH /i/_doc/1", "admin_changes never plain"),
        ("OPTIONS /i/_doc/1", "admin anywhere plain"),
        ("DELETE /_search", "admin_changes never plain"),
        ("PUT /_search/scroll", "cursor same_cluster uses_cursor"),
        ("POST /a/b/c/d/e/f/g/h/_search", "admin_changes never plain"),
        ("GET /", "admin anywhere plain"),
        ("HEAD /", "admin anywhere plain"),
        ("POST /", "admin_changes never plain"),
        ("POST /i", "admin_changes never plain"),
        // Administration that leaves everything as it is, and what only looks like it.
        ("POST /i/_refresh", "admin same_cluster plain"),
        ("POST /i/_forcemerge", "admin_changes never plain"),
        ("POST /_delete_by_query/n:1/_rethrottle", "admin_changes never plain"),
        ("DELETE /_search/scroll/_all", "cursor same_cluster plain"),
        ("POST /_opendistro/_asynchronous_search", "cursor never opens_cursor"),
        ("GET /_plugins/_asynchronous_search/stats", "admin anywhere plain"),
        ("POST /_query", "read anywhere plain"),
        ("POST /_query/async", "cursor never opens_cursor"),
        ("GET /_query/async/x", "cursor same_cluster uses_cursor"),
        ("POST /_sql?format=txt", "read never plain"),
    ] {
        let (word, target) = api.split_once(' ').expect("a method and a target");
        assert_eq!(judged(word, target), expected, "{api}");
    }
}

#[test]
fn sniffing_is_what_tells_addresses_of_http() {
    for path in [
        "/_nodes",
        "/_nodes/",
        "/_nodes/http",
        "/_nodes/_all",
        "/_nodes/_all/http",
        "/_nodes/_local",
        "/_nodes/_local/http,os,thread_pool",
        "/_nodes/node-1,node-2",
        "/_nodes/node-1/_all",
        "/_nodes/settings,http",
        "/_nodes/master:true/info/http",
    ] {
        assert_eq!(judged("GET", path), "admin anywhere sniff", "{path}");
    }
    for path in [
        "/_nodes/stats",
        "/_nodes/_all/stats",
        "/_nodes/_local/stats/jvm,breaker,thread_pool",
        "/_nodes/jvm",
        "/_nodes/jvm,os",
        "/_nodes/_all/jvm",
        "/_nodes/hot_threads",
        "/_nodes/node-1/hot_threads",
        "/_nodes/usage",
        "/_nodes/node-1/usage/rest_actions",
        "/_nodes/node-1/_repositories_metering",
        "/_cluster/state/nodes",
    ] {
        assert_eq!(judged("GET", path), "admin anywhere plain", "{path}");
    }
    assert_eq!(judged("HEAD", "/_nodes/http"), "admin anywhere plain", "no body to rewrite");
}

#[test]
fn retries_are_ordered_by_what_they_allow() {
    assert_eq!(Retry::Anywhere.min(Retry::SameCluster), Retry::SameCluster);
    assert_eq!(Retry::Never.min(Retry::SameCluster), Retry::Never);
}
