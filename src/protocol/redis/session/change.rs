//! What one request changes on its connection, if it succeeds.

use std::sync::Arc;

use super::super::Protocol;
use super::super::command::{Kind, Local, Spec, arguments};
use super::login::{Login, parse_auth, parse_hello, parse_select, parse_setinfo, parse_setname};
use super::state::{ReplyMode, Tracking};

/// The three kinds of subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Channel {
    /// `SUBSCRIBE`.
    Plain,
    /// `PSUBSCRIBE`.
    Pattern,
    /// `SSUBSCRIBE`.
    Shard,
}

/// A change of a connection's state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// `HELLO`: what it carries besides the login comes as changes of their own.
    Hello(Option<Protocol>, Option<Arc<Login>>, Option<Box<[u8]>>),
    /// `AUTH`.
    Login(Arc<Login>),
    /// `SELECT`.
    Database(u32),
    /// `CLIENT SETNAME`; empty: no name.
    Name(Box<[u8]>),
    /// `CLIENT SETINFO LIB-NAME`.
    LibraryName(Box<[u8]>),
    /// `CLIENT SETINFO LIB-VER`.
    LibraryVersion(Box<[u8]>),
    /// `CLIENT NO-EVICT`.
    NoEvict(bool),
    /// `CLIENT NO-TOUCH`.
    NoTouch(bool),
    /// `CLIENT REPLY`.
    Reply(ReplyMode),
    /// `CLIENT TRACKING`; `None`: off.
    Tracking(Option<Box<Tracking>>),
    /// `SUBSCRIBE` and its kin, with their channels.
    Subscribe(Channel, Vec<Box<[u8]>>),
    /// `UNSUBSCRIBE` and its kin; no channel means all.
    Unsubscribe(Channel, Vec<Box<[u8]>>),
    /// `MONITOR`.
    Monitor,
    /// `MULTI`.
    Multi,
    /// `EXEC`, whatever it answered: the transaction and the watch are over.
    Exec,
    /// `DISCARD`.
    Discard,
    /// `WATCH`.
    Watch,
    /// `UNWATCH`.
    Unwatch,
    /// `RESET`.
    Reset,
}

impl Change {
    /// What the whole request `frame` of the command `spec` would change; `None` for nothing, or for a request that the server
    /// will refuse.
    pub fn read(spec: &Spec, frame: &[u8]) -> Option<Self> {
        let simple = match spec.kind {
            Kind::Monitor => Self::Monitor,
            Kind::Multi => Self::Multi,
            Kind::Exec => Self::Exec,
            Kind::Discard => Self::Discard,
            Kind::Watch => Self::Watch,
            Kind::Unwatch => Self::Unwatch,
            Kind::Local(Local::Reset) => Self::Reset,
            Kind::Local(Local::Auth | Local::Hello | Local::Select | Local::SetName | Local::SetInfo) => {
                return read_local(spec, frame);
            }
            Kind::Client | Kind::Subscribe | Kind::Unsubscribe => return read_remote(spec, frame),
            _ => return None,
        };
        Some(simple)
    }
}

/// The arguments of a whole request, the command's name first. Allocates: for the few commands that are about the connection.
pub(super) fn split(frame: &[u8]) -> Option<Vec<&[u8]>> {
    arguments(frame)?.into_iter().map(|(start, end)| frame.get(start..end)).collect()
}

fn read_local(spec: &Spec, frame: &[u8]) -> Option<Change> {
    let args = split(frame)?;
    match spec.kind {
        Kind::Local(Local::Auth) => parse_auth(&args).ok().map(|login| Change::Login(Arc::new(login))),
        Kind::Local(Local::Hello) => {
            parse_hello(&args).ok().map(|hello| Change::Hello(hello.protocol, hello.login.map(Arc::new), hello.name))
        }
        Kind::Local(Local::Select) => parse_select(&args).ok().map(Change::Database),
        Kind::Local(Local::SetName) => parse_setname(&args).ok(),
        Kind::Local(Local::SetInfo) => parse_setinfo(&args).ok(),
        _ => None,
    }
}

fn read_remote(spec: &Spec, frame: &[u8]) -> Option<Change> {
    let args = split(frame)?;
    let channels = || args.iter().skip(1).map(|&channel| channel.into()).collect();
    let third = args.get(2).copied().unwrap_or_default();
    let on = match third.to_ascii_uppercase().as_slice() {
        b"ON" => Some(true),
        b"OFF" => Some(false),
        _ => None,
    };
    match spec.name {
        "SUBSCRIBE" => Some(Change::Subscribe(Channel::Plain, channels())),
        "PSUBSCRIBE" => Some(Change::Subscribe(Channel::Pattern, channels())),
        "SSUBSCRIBE" => Some(Change::Subscribe(Channel::Shard, channels())),
        "UNSUBSCRIBE" => Some(Change::Unsubscribe(Channel::Plain, channels())),
        "PUNSUBSCRIBE" => Some(Change::Unsubscribe(Channel::Pattern, channels())),
        "SUNSUBSCRIBE" => Some(Change::Unsubscribe(Channel::Shard, channels())),
        "NO-EVICT" => on.map(Change::NoEvict),
        "NO-TOUCH" => on.map(Change::NoTouch),
        "REPLY" if third.eq_ignore_ascii_case(b"SKIP") => Some(Change::Reply(ReplyMode::Skip)),
        "REPLY" => on.map(|on| Change::Reply(if on { ReplyMode::On } else { ReplyMode::Off })),
        "TRACKING" => {
            on.map(|on| Change::Tracking(on.then(|| Box::new(Tracking::read(args.get(3..).unwrap_or_default())))))
        }
        _ => None,
    }
}
