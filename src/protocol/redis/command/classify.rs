//! From a request's head to the way it has to go.

use super::super::scan::Head;
use super::deny::DenyList;
use super::spec::{Flags, Kind, Local, Spec, find};

/// Why a command can't travel on an upstream that is shared with other clients. If the session has a pinned upstream
/// already, the command goes there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// `MULTI`, `EXEC`, `DISCARD`: until the transaction has ended.
    Transaction,
    /// `WATCH`, `UNWATCH`: until `UNWATCH`, `EXEC` or `DISCARD`.
    Watch,
    /// Subscriptions: until the last one is gone.
    Subscription,
    /// It may block: until its reply has come.
    Blocking,
    /// `MONITOR`: until `RESET`.
    Monitor,
    /// `WAIT`, `WAITAOF`: until its reply has come. Needs a command before it on the same connection (a PING will do), or it
    /// proves nothing.
    Wait,
    /// State of the connection that the session remembers: until `super::session` says it is gone.
    Client,
    /// Only for itself: until its reply has come.
    Once,
    /// Makes this very connection matter: for as long as the session lives.
    Identity,
    /// `ASKING`, `READONLY`, `READWRITE`: for as long as the session lives.
    Cluster,
    /// Not in the table, so it may leave anything behind: for as long as the session lives. Counts as a transaction that
    /// never ends.
    Unknown,
}

/// Where a command goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// Any shared upstream of the session's user, database and protocol.
    Shared,
    /// An upstream of the session's own.
    Pinned(Why),
    /// Not to a server as it is.
    Local(Local),
    /// Refused by the deny list.
    Denied,
}

/// May the command be sent again after a flip?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// It changes nothing: also when its connection was lost.
    Read,
    /// Only if an error proves that it was not executed.
    OnProof,
    /// Never.
    Never,
}

/// Where a blocking command says how long it waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Timeout {
    /// The last argument, in seconds.
    LastSeconds,
    /// The first argument, in seconds.
    FirstSeconds,
    /// Behind the word `BLOCK`, in milliseconds.
    BlockMillis,
    /// The last argument, in milliseconds (`WAIT`, `WAITAOF`).
    LastMillis,
}

/// How a blocking command blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Block {
    /// Where its timeout stands; [`super::rewrite_timeout`] changes it.
    pub timeout: Timeout,
    /// True when it takes what it returns from the data: issued again after a crash it is a possible loss.
    pub takes: bool,
}

/// All that has to be known of one request.
#[derive(Debug, Clone, Copy)]
pub struct Class {
    /// Where it goes.
    pub route: Route,
    /// May it be sent again?
    pub retry: Retry,
    /// May it pass in mode `read_only`?
    pub read_only_ok: bool,
    /// Set when it blocks.
    pub block: Option<Block>,
    /// The table's line (of the subcommand, if there is one); `None` for unknown commands. The session is updated by its kind.
    pub spec: Option<&'static Spec>,
}

impl Class {
    /// True for what runs a script or a function, which may take as long as it likes.
    pub fn runs_script(&self) -> bool {
        self.spec.is_some_and(|spec| matches!(spec.kind, Kind::Script | Kind::Eval | Kind::ScriptRo))
    }

    /// True for what `CLIENT PAUSE ... WRITE` may stop: all that is or may become a write, or is replicated.
    pub fn may_be_paused(&self) -> bool {
        self.retry != Retry::Read || self.spec.is_some_and(|spec| spec.name == "PFCOUNT")
    }
}

/// Classifies the request whose head was found in `buf`.
pub fn classify(head: &Head, buf: &[u8], deny: &DenyList) -> Class {
    let name = head.name(buf);
    let Some(command) = find(name) else {
        let route = if deny.unknown(name) { Route::Denied } else { Route::Pinned(Why::Unknown) };
        return Class { route, retry: Retry::Never, read_only_ok: false, block: None, spec: None };
    };
    let spec = match command.subcommands {
        [] => command,
        _ => head.arg(buf, 1).and_then(|sub| command.subcommand(sub)).unwrap_or(command),
    };
    let block = block(spec, head, buf);
    let write = spec.flags.has(Flags::WRITE);
    let admin = spec.flags.has(Flags::ADMIN);
    let script = matches!(spec.kind, Kind::Script | Kind::Eval);
    let calm_script = spec.kind == Kind::Eval && says_no_writes(head, buf);
    Class {
        route: if deny.denies(command, spec) { Route::Denied } else { route(spec.kind, block.is_some()) },
        retry: match spec.kind {
            Kind::Wait | Kind::Exec | Kind::Once => Retry::Never,
            _ if script => Retry::Never,
            Kind::ScriptRo => Retry::Read,
            Kind::Plain | Kind::Streams if !write && !admin => Retry::Read,
            _ => Retry::OnProof,
        },
        read_only_ok: calm_script || !(write || script || spec.kind == Kind::Publish || command.name == "DEBUG"),
        block,
        spec: Some(spec),
    }
}

fn route(kind: Kind, blocks: bool) -> Route {
    match kind {
        Kind::Plain | Kind::Script | Kind::Eval | Kind::ScriptRo | Kind::Publish => Route::Shared,
        Kind::Streams if !blocks => Route::Shared,
        Kind::Streams | Kind::BlockLast | Kind::BlockFirst => Route::Pinned(Why::Blocking),
        Kind::Wait => Route::Pinned(Why::Wait),
        Kind::Multi | Kind::Exec | Kind::Discard => Route::Pinned(Why::Transaction),
        Kind::Watch | Kind::Unwatch => Route::Pinned(Why::Watch),
        Kind::Subscribe | Kind::Unsubscribe => Route::Pinned(Why::Subscription),
        Kind::Monitor => Route::Pinned(Why::Monitor),
        Kind::Client => Route::Pinned(Why::Client),
        Kind::Once => Route::Pinned(Why::Once),
        Kind::Identity => Route::Pinned(Why::Identity),
        Kind::Cluster => Route::Pinned(Why::Cluster),
        Kind::Local(local) => Route::Local(local),
    }
}

fn block(spec: &Spec, head: &Head, buf: &[u8]) -> Option<Block> {
    let timeout = match spec.kind {
        Kind::BlockLast => Timeout::LastSeconds,
        Kind::BlockFirst => Timeout::FirstSeconds,
        Kind::Wait => Timeout::LastMillis,
        Kind::Streams if asks_to_block(head, buf) => Timeout::BlockMillis,
        _ => return None,
    };
    // A WAIT takes nothing, XREAD only looks; XREADGROUP moves entries to a consumer's pending list.
    Some(Block { timeout, takes: spec.flags.has(Flags::WRITE) })
}

/// True when `BLOCK` stands among the options of `XREAD` or `XREADGROUP`, or when the options go on past what the head shows:
/// then it must be assumed.
fn asks_to_block(head: &Head, buf: &[u8]) -> bool {
    let mut index = 1;
    while let Some(word) = head.arg(buf, index) {
        index += if word.eq_ignore_ascii_case(b"STREAMS") {
            return false;
        } else if word.eq_ignore_ascii_case(b"BLOCK") {
            return true;
        } else if word.eq_ignore_ascii_case(b"GROUP") {
            3
        } else if word.eq_ignore_ascii_case(b"COUNT") || word.eq_ignore_ascii_case(b"CLAIM") {
            2
        } else {
            1
        };
    }
    u32::try_from(index).is_ok_and(|index| index < head.argc)
}

/// True when the script's first line says that it doesn't write; the server then holds it to that.
fn says_no_writes(head: &Head, buf: &[u8]) -> bool {
    let script = head.prefix(buf, 1).unwrap_or_default();
    let Some(end) = script.iter().position(|&b| b == b'\n').or(head.arg(buf, 1).map(<[u8]>::len)) else { return false };
    let Some(line) = script.get(..end).and_then(|line| line.strip_prefix(b"#!lua")) else { return false };
    line.split(|&b| b == b' ')
        .filter_map(|word| word.strip_prefix(b"flags="))
        .any(|flags| flags.trim_ascii_end().split(|&b| b == b',').any(|flag| flag == b"no-writes"))
}
