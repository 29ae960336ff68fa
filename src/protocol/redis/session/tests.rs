//! Every piece of state is remembered, replayed and forgotten.

use super::super::Protocol;
use super::super::command::find;
use super::super::scan::{Limits, RequestScanner, Scan, expand_inline};
use super::change::split;
use super::*;

fn frame(line: &str) -> Vec<u8> {
    let mut out = Vec::new();
    expand_inline(line.as_bytes(), &mut out).expect(line);
    out
}

fn change(line: &str) -> Option<Change> {
    let bytes = frame(line);
    let args = split(&bytes).expect(line);
    let command = find(args[0]).expect(line);
    let spec = args.get(1).and_then(|sub| command.subcommand(sub)).unwrap_or(command);
    Change::read(spec, &bytes)
}

fn session(lines: &[&str]) -> Session {
    let mut session = Session::default();
    for line in lines {
        session.apply(change(line).expect(line));
    }
    session
}

/// The replayed commands as lines, and what is to be swallowed.
fn replayed(session: &Session) -> (Vec<String>, Replay) {
    let mut out = Vec::new();
    let count = session.replay(&mut out);
    let (mut lines, mut rest) = (Vec::new(), out.as_slice());
    while let Ok(Scan::Complete(head)) = RequestScanner::default().next(rest, &Limits::default()) {
        let (one, tail) = rest.split_at(head.len);
        let words = split(one).expect("a request");
        lines.push(words.iter().map(|w| String::from_utf8_lossy(w)).collect::<Vec<_>>().join(" "));
        rest = tail;
    }
    assert!(rest.is_empty());
    (lines, count)
}

#[test]
fn a_plain_session_is_small_and_needs_nothing() {
    assert!(size_of::<Session>() <= 100, "{}", size_of::<Session>());
    let (lines, count) = replayed(&Session::default());
    assert!(lines.is_empty());
    assert_eq!(count, Replay::default());
    assert!(!Session::default().pins());
}

#[test]
fn what_drivers_say_first_is_remembered_without_pinning() {
    let session = session(&[
        "HELLO 3 AUTH shop secret SETNAME web",
        "CLIENT SETINFO lib-name go-redis",
        "CLIENT SETINFO LIB-VER 9.1",
        "SELECT 4",
    ]);
    assert!(!session.pins());
    let (lines, count) = replayed(&session);
    assert_eq!(
        lines,
        [
            "HELLO 3 AUTH shop secret",
            "SELECT 4",
            "CLIENT SETNAME web",
            "CLIENT SETINFO LIB-NAME go-redis",
            "CLIENT SETINFO LIB-VER 9.1"
        ]
    );
    assert_eq!(count, Replay { replies: 5, confirmations: 0 });
    let mut out = Vec::new();
    assert_eq!(session.open(&mut out), 2);
    assert!(!format!("{session:?}").contains("secret"), "a password must not be printable");
}

#[test]
fn resp2_logins() {
    assert_eq!(replayed(&session(&["AUTH pw"])).0, ["AUTH pw"]);
    assert_eq!(replayed(&session(&["AUTH me pw", "AUTH you pw"])).0, ["AUTH you pw"]);
    assert_eq!(replayed(&session(&["AUTH pw", "HELLO 3"])).0, ["HELLO 3 AUTH default pw"]);
}

#[test]
fn a_connection_that_served_another_client_gets_this_ones_label() {
    let relabelled = |was: &[&str], is: &[&str]| {
        let mut out = Vec::new();
        let replies = session(is).relabel(session(was).label(), &mut out);
        (String::from_utf8(out).expect("text").replace("\r\n", " "), replies)
    };
    let (named, shop) = (["CLIENT SETNAME a"], ["CLIENT SETINFO lib-name shop", "CLIENT SETINFO lib-ver 1"]);
    assert_eq!(relabelled(&shop, &shop), (String::new(), 0));
    assert_eq!(relabelled(&named, &[]).0, "*3 $6 CLIENT $7 SETNAME $0  ");
    let (text, replies) = relabelled(&named, &shop);
    assert_eq!(replies, 3, "{text}");
    assert!(
        text.contains("SETNAME $0 ") && text.contains("LIB-NAME $4 shop") && text.contains("LIB-VER $1 1"),
        "{text}"
    );
}

#[test]
fn a_reset_forgets_all_but_the_library() {
    let session = session(&["SELECT 4", "CLIENT SETNAME web", "CLIENT SETINFO lib-name shop", "RESET"]);
    assert_eq!(replayed(&session).0, ["CLIENT SETINFO LIB-NAME shop"]);
}

#[test]
fn pinning_state_comes_back_and_goes_away() {
    for (on, again, off) in [
        ("CLIENT NO-EVICT on", "CLIENT NO-EVICT ON", "CLIENT NO-EVICT off"),
        ("CLIENT NO-TOUCH on", "CLIENT NO-TOUCH ON", "CLIENT NO-TOUCH off"),
        ("CLIENT REPLY off", "CLIENT REPLY OFF", "CLIENT REPLY on"),
        ("SUBSCRIBE a b", "SUBSCRIBE a b", "UNSUBSCRIBE"),
        ("PSUBSCRIBE a*", "PSUBSCRIBE a*", "PUNSUBSCRIBE a*"),
        ("SSUBSCRIBE s", "SSUBSCRIBE s", "SUNSUBSCRIBE s"),
        ("CLIENT TRACKING on bcast prefix a NOLOOP", "CLIENT TRACKING ON bcast prefix a NOLOOP", "CLIENT TRACKING off"),
        ("MONITOR", "MONITOR", "RESET"),
    ] {
        let mut session = session(&[on]);
        assert!(session.pins(), "{on}");
        assert_eq!(replayed(&session).0, [again]);
        session.apply(change(off).expect(off));
        assert!(!session.pins(), "{off}");
        assert!(replayed(&session).0.is_empty(), "{off}");
    }
}

#[test]
fn subscriptions_are_confirmed_one_by_one() {
    let session = session(&["HELLO 3", "SUBSCRIBE a b c", "SUBSCRIBE b", "PSUBSCRIBE p*", "UNSUBSCRIBE c"]);
    let (lines, count) = replayed(&session);
    assert_eq!(lines, ["HELLO 3", "SUBSCRIBE a b", "PSUBSCRIBE p*"]);
    assert_eq!(count, Replay { replies: 1, confirmations: 3 });
    assert!(session.subscribed());
}

#[test]
fn the_redirect_of_tracking_breaks() {
    let mut session = session(&["CLIENT TRACKING ON REDIRECT 17 OPTIN"]);
    assert!(replayed(&session).0.is_empty(), "17 is somebody else on another server");
    assert_eq!(session.break_redirect(), Some(17));
    assert_eq!(session.break_redirect(), None);
    assert!(!session.pins());
}

#[test]
fn invalidations_are_heard_by_who_tracks_or_with_resp2_by_who_listens() {
    for (lines, heard) in [
        (&["HELLO 3", "CLIENT TRACKING ON"][..], true),
        (&["HELLO 3", "SUBSCRIBE __redis__:invalidate"], false),
        (&["CLIENT TRACKING ON"], false),
        (&["SUBSCRIBE __redis__:invalidate"], true),
    ] {
        assert_eq!(session(lines).hears_invalidations(), heard, "{lines:?}");
    }
}

#[test]
fn a_transaction_is_kept_up_to_a_bound() {
    let mut session = session(&["WATCH k", "MULTI"]);
    session.queue(b"*1\r\n$4\r\nPING\r\n");
    assert!(session.pins() && session.in_multi() && session.watching());
    assert_eq!(session.queued(), Some((&b"*1\r\n$4\r\nPING\r\n"[..], 1)));
    let mut forgotten = session.clone();
    forgotten.queue(b"");
    assert_eq!(forgotten.queued(), None, "its bytes weren't kept");
    session.queue(&vec![b'x'; QUEUE_MAX]);
    assert_eq!(session.queued(), None);
    session.apply(Change::Exec);
    assert!(!session.pins());
    assert_eq!(session.queued(), Some((&[][..], 0)));
}

#[test]
fn what_a_transaction_changes_counts_only_when_it_ran() {
    let mut run = session(&["MULTI", "SELECT 3", "CLIENT SETNAME x"]);
    assert_eq!((run.database(), run.name()), (0, None));
    run.apply(Change::Exec);
    assert_eq!((run.database(), run.name()), (3, Some(&b"x"[..])));
    let mut dropped = session(&["MULTI", "SELECT 3", "DISCARD"]);
    assert_eq!(dropped.database(), 0);
    dropped.apply(Change::Exec);
    assert_eq!(dropped.database(), 0, "nothing was left behind");
}

#[test]
fn skip_lasts_for_one_request() {
    let mut session = session(&["CLIENT REPLY SKIP"]);
    assert_eq!(session.reply_mode(), ReplyMode::Skip);
    session.skipped();
    assert_eq!(session.reply_mode(), ReplyMode::On);
}

#[test]
fn refusals_in_redis_own_words() {
    let args = |line: &str| frame(line);
    let hello = |line: &str| parse_hello(&split(&args(line)).expect(line)).expect_err(line);
    assert_eq!(hello("HELLO 4"), "NOPROTO unsupported protocol version");
    assert_eq!(hello("HELLO x"), "ERR Protocol version is not an integer or out of range");
    assert_eq!(hello("HELLO 3 AUTH a"), "ERR Syntax error in HELLO option 'AUTH'");
    assert_eq!(hello("HELLO 3 foo"), "ERR Syntax error in HELLO option 'foo'");
    let select = |line: &str| parse_select(&split(&args(line)).expect(line)).expect_err(line);
    assert_eq!(select("SELECT"), "ERR wrong number of arguments for 'select' command");
    assert_eq!(select("SELECT x"), "ERR value is not an integer or out of range");
    assert_eq!(select("SELECT +1"), "ERR value is not an integer or out of range");
    assert_eq!(select("SELECT -1"), "ERR DB index is out of range");
    let auth = |line: &str| parse_auth(&split(&args(line)).expect(line)).expect_err(line);
    assert_eq!(auth("AUTH"), "ERR wrong number of arguments for 'auth' command");
    assert_eq!(auth("AUTH a b c"), "ERR syntax error");
    let setname = |line: &str| parse_setname(&split(&args(line)).expect(line)).expect_err(line);
    assert_eq!(
        setname("CLIENT SETNAME 'a b'"),
        "ERR Client names cannot contain spaces, newlines or special characters."
    );
    assert_eq!(setname("CLIENT SETNAME"), "ERR wrong number of arguments for 'client|setname' command");
    let setinfo = |line: &str| parse_setinfo(&split(&args(line)).expect(line)).expect_err(line);
    assert_eq!(setinfo("CLIENT SETINFO foo bar"), "ERR Unrecognized option 'foo'");
    assert_eq!(
        setinfo("CLIENT SETINFO lib-ver 'a b'"),
        "ERR lib-ver cannot contain spaces, newlines or special characters."
    );
}

#[test]
fn hello_without_arguments_changes_nothing() {
    let mut session = session(&["HELLO 3 AUTH a b SETNAME n"]);
    session.apply(change("HELLO").expect("valid"));
    assert_eq!((session.protocol(), session.name()), (Protocol::Resp3, Some(&b"n"[..])));
    assert!(session.login().is_some());
}
