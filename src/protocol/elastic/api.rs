//! What a request may do, by method, path and query.
//!
//! Sources: the products' REST API specifications, all of whose paths stand with their expected class in
//! `tests/elastic/apis.txt`. What no rule knows is administration, and changes something unless it is a GET or HEAD.

use super::path::{Path, parameter};
use crate::protocol::http::Method;

/// What kind of work a request is; the label of metrics, and what the modes of a route are about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// Searches, documents read by id, and what else only looks at data.
    Read,
    /// Documents written.
    Write,
    /// Opens, continues or closes a cursor (scroll, point in time, asynchronous search), which one cluster holds.
    Cursor,
    /// Everything else: indices, settings, nodes, unknown paths.
    Admin,
}

impl Class {
    /// Every class, for metrics that exist from the start.
    pub const ALL: [Self; 4] = [Self::Read, Self::Write, Self::Cursor, Self::Admin];

    /// As in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Cursor => "cursor",
            Self::Admin => "admin",
        }
    }
}

/// Where a request may be sent again whose answer was lost, ordered by how much is allowed. A request of which the node can't have
/// got anything (connect refused) may be sent elsewhere in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Retry {
    /// Twice isn't the same as once.
    Never,
    /// Twice is the same as once, on another node of the same cluster.
    SameCluster,
    /// It only reads: on any node, also of another cluster after a failover.
    Anywhere,
}

/// What has to be changed in a request or its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Special {
    /// Nothing.
    Plain,
    /// The answer names the nodes: [`super::sniff::collapse`].
    Sniff,
    /// The answer names a new cursor: [`super::cursor::wrap`]. Its body may hold a point in time, as for `MayUseCursor`.
    OpensCursor,
    /// Target or body hold ids of cursors: [`super::cursor::unwrap_target`], [`super::cursor::unwrap_body`]. The answer may name
    /// one again, or list them: [`super::cursor::wrap`].
    UsesCursor,
    /// A search whose body may hold the id of a point in time ([`super::cursor::unwrap_body`]). If it does, the request belongs to
    /// that cluster ([`Retry::SameCluster`] at most) and the answer names the id again; if it doesn't, it is a plain search.
    MayUseCursor,
}

/// What is known of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Request {
    /// The kind of work.
    pub class: Class,
    /// Whether something is another one afterwards: refused where the route is `read_only`.
    pub changes: bool,
    /// Where it may be sent again.
    pub retry: Retry,
    /// What to do on its way.
    pub special: Special,
}

const fn request(class: Class, changes: bool, retry: Retry, special: Special) -> Request {
    Request { class, changes, retry, special }
}

const READ: Request = request(Class::Read, false, Retry::Anywhere, Special::Plain);
/// A read whose body may continue a cursor that isn't known here, so that twice may skip a page.
const READ_ONCE: Request = request(Class::Read, false, Retry::Never, Special::Plain);
const WRITE: Request = request(Class::Write, true, Retry::Never, Special::Plain);
const LOOK: Request = request(Class::Admin, false, Retry::Anywhere, Special::Plain);
/// Administration that leaves data and settings as they are.
const TEND: Request = request(Class::Admin, false, Retry::SameCluster, Special::Plain);
const CHANGE: Request = request(Class::Admin, true, Retry::Never, Special::Plain);
const OPEN: Request = request(Class::Cursor, false, Retry::Never, Special::OpensCursor);
/// Continues a scroll: twice skips a page.
const NEXT_PAGE: Request = request(Class::Cursor, false, Retry::Never, Special::UsesCursor);
/// Asks for or closes a cursor.
const CURSOR: Request = request(Class::Cursor, false, Retry::SameCluster, Special::UsesCursor);
/// Concerns all cursors of the routed cluster.
const ALL_CURSORS: Request = request(Class::Cursor, false, Retry::SameCluster, Special::Plain);

/// Judges a request by its method, its path (up to the `?`) and its query (behind it), all as they stand in the request.
pub fn classify(method: Method, path: &str, query: &str) -> Request {
    let path = Path::of(path);
    let segments = path.segments();
    // `_all` and `_doc` stand where an index or a type does; names of indices and types have no `_` in front.
    let named = segments.iter().position(|segment| segment.starts_with('_') && *segment != "_all");
    match (named, segments.len()) {
        (Some(at), _) => api(method, &segments[at..], at, query),
        // The typed forms of Elasticsearch 7: /{index}/{type}/{id}.
        (None, 2) if method == Method::Post => WRITE,
        (None, 3) => document(method, query),
        (None, _) => admin(method),
    }
}

/// `at` is how many segments (an index, a type, an id) stand before the API's name.
fn api(method: Method, segments: &[&str], at: usize, query: &str) -> Request {
    let (name, rest) = (segments[0], &segments[1..]);
    let looks = matches!(method, Method::Get | Method::Head);
    let asks = looks || method == Method::Post;
    match name {
        // `_doc` as the type of a typed API: /{index}/_doc/_search.
        "_doc" if rest.first().is_some_and(|id| id.starts_with('_')) => typed(method, rest, at + 1, query),
        "_doc" if rest.len() == 1 => document(method, query),
        "_doc" | "_create" | "_update" | "_bulk" if !looks => WRITE,
        "_update_by_query" | "_delete_by_query" | "_reindex" if rest.is_empty() => WRITE,
        "_monitoring" if rest.last() == Some(&"bulk") => WRITE,
        "_doc" | "_source" if looks => READ,
        "_search" if asks || !rest.is_empty() => search(method, rest, at, query),
        "_msearch" if asks && rest.is_empty() && at == 0 => Request { special: Special::MayUseCursor, ..READ },
        "_msearch" | "_count" | "_mget" | "_explain" | "_field_caps" | "_termvectors" | "_mtermvectors"
        | "_rank_eval" | "_search_shards" | "_validate" | "_analyze" | "_terms_enum" | "_mvt" | "_knn_search"
        | "_graph" | "_render" | "_rollup_search"
            if asks =>
        {
            READ
        }
        "_fleet" if asks && matches!(rest, ["_fleet_search" | "_fleet_msearch"]) => READ,
        "_pit" | "_async_search" | "_eql" | "_sql" | "_query" => cursor(method, segments, query),
        "_plugins" | "_opendistro" => plugin(method, rest, query),
        "_refresh" | "_flush" | "_cache" if asks => TEND,
        "_nodes" if method == Method::Get && sniffs(rest) => Request { special: Special::Sniff, ..LOOK },
        _ if method == Method::Post && only_asks(segments) => LOOK,
        _ => admin(method),
    }
}

/// A document by its id.
fn document(method: Method, query: &str) -> Request {
    match method {
        Method::Get | Method::Head => READ,
        Method::Put | Method::Post | Method::Delete if unconditional(query) => {
            Request { retry: Retry::SameCluster, ..WRITE }
        }
        Method::Put | Method::Post | Method::Delete => WRITE,
        _ => admin(method),
    }
}

/// Whether writing the document twice is the same as once: with a condition or a version, the second time fails.
fn unconditional(query: &str) -> bool {
    const CONDITIONS: [&str; 5] = ["if_seq_no", "if_primary_term", "version", "version_type", "op_type"];
    query.is_empty() || CONDITIONS.iter().all(|name| parameter(query, name).is_none())
}

/// `POST /{index}/_doc/_search` searches in Elasticsearch 7 and writes the document `_search` in OpenSearch: it is judged as the
/// write, and its answer looked at as the search's.
fn typed(method: Method, segments: &[&str], at: usize, query: &str) -> Request {
    let looks = matches!(method, Method::Get | Method::Head);
    let judged = api(method, segments, at, query);
    if looks { judged } else { Request { special: judged.special, ..WRITE } }
}

fn search(method: Method, rest: &[&str], at: usize, query: &str) -> Request {
    let asks = matches!(method, Method::Get | Method::Head | Method::Post);
    match rest {
        ["scroll", "_all"] => ALL_CURSORS,
        ["scroll", ..] if asks => NEXT_PAGE,
        ["point_in_time"] if method == Method::Post => OPEN,
        // `point_in_time/_all` too: what it lists can be used like what was opened.
        ["scroll", ..] | ["point_in_time"] | ["point_in_time", "_all"] => CURSOR,
        [] | ["template"] if parameter(query, "scroll").is_some() => OPEN,
        [] if at == 0 => Request { special: Special::MayUseCursor, ..READ },
        [] | ["template"] => READ,
        _ => admin(method),
    }
}

/// APIs that hand out ids: whoever has no id yet opens.
fn cursor(method: Method, segments: &[&str], query: &str) -> Request {
    let looks = matches!(method, Method::Get | Method::Head);
    match segments {
        ["_async_search" | "_asynchronous_search", "stats"] => admin(method),
        ["_pit" | "_async_search" | "_asynchronous_search"] | ["_query", "async"] if method == Method::Post => OPEN,
        ["_eql", "search"] if parameter(query, "wait_for_completion_timeout").is_some() => OPEN,
        ["_eql", "search"] | ["_query"] if looks || method == Method::Post => READ,
        ["_pit"]
        | ["_async_search" | "_asynchronous_search", _]
        | ["_async_search", "status", _]
        | ["_query", "async", ..]
        | ["_eql", "search", ..] => CURSOR,
        ["_sql" | "_ppl"] | ["_sql" | "_ppl", "_explain" | "translate"] if looks || method == Method::Post => READ_ONCE,
        ["_sql", "close"] | ["_sql", "async", "delete", _] => ALL_CURSORS,
        _ => admin(method),
    }
}

/// The plugins that come with OpenSearch; `_opendistro` is the old name.
fn plugin(method: Method, rest: &[&str], query: &str) -> Request {
    match rest {
        ["_sql" | "_ppl" | "_asynchronous_search", ..] => cursor(method, rest, query),
        [.., "_search"] if method == Method::Post => LOOK,
        _ => admin(method),
    }
}

/// Whether `/_nodes/...` tells the addresses of HTTP: it does unless only other parts are asked for.
fn sniffs(rest: &[&str]) -> bool {
    const PARTS: [&str; 12] = [
        "settings",
        "os",
        "process",
        "jvm",
        "thread_pool",
        "transport",
        "plugins",
        "ingest",
        "aggregations",
        "indices",
        "search_pipelines",
        "info",
    ];
    const OTHER_APIS: [&str; 5] = ["stats", "usage", "hot_threads", "hotthreads", "shutdown"];
    let silent = |parts: &str| OTHER_APIS.contains(&parts) || parts.split(',').all(|part| PARTS.contains(&part));
    match rest {
        [] => true,
        // One segment that isn't a list of parts is a list of nodes, of which everything is told.
        [one] => !silent(one),
        [api, ..] if OTHER_APIS.contains(api) => false,
        [_, parts] | [_, "info", parts] => (!parts.starts_with('_') || *parts == "_all") && !silent(parts),
        _ => false,
    }
}

/// POST requests of administration that change nothing.
fn only_asks(segments: &[&str]) -> bool {
    matches!(
        segments,
        ["_cluster", "allocation", "explain"]
            | ["_ingest", "pipeline", .., "_simulate"]
            | ["_index_template", "_simulate" | "_simulate_index", ..]
            | ["_scripts", "painless", "_execute"]
            | ["_security", "user", .., "_has_privileges"]
    )
}

fn admin(method: Method) -> Request {
    match method {
        Method::Get | Method::Head | Method::Options => LOOK,
        _ => CHANGE,
    }
}
