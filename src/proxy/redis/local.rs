//! What Pointsman says itself: refusals, and answers about the connection that the session remembers.

use super::{
    act::{Act, Login},
    lane::Lane,
    session::{Flow, Session},
};
use crate::{
    model::route::Mode,
    protocol::redis::{
        command::{Class, Local, Retry, Route, Why},
        reply,
        scan::Head,
        session::{Change, Hello, parse_auth, parse_hello, parse_select, parse_setinfo, parse_setname},
    },
};
use std::sync::Arc;

/// Longest command name that is shown.
const SHOWN: usize = 64;

/// Why the mode or the deny list doesn't let a request through, as an error reply; `None` if it may pass.
pub fn refusal(lane: &Lane, class: &Class, head: &Head, request: &[u8]) -> Option<String> {
    let view = lane.seat.view();
    let service = &view.settings.name;
    if class.route == Route::Denied {
        return Some(format!("ERR pointsman: {} is denied on service {service} (deny)", name(class, head, request)));
    }
    match view.route.mode {
        Mode::Open | Mode::ReadOnly | Mode::Closed if view.route.target.is_none() => {
            Some(format!("LOADING pointsman: service {service} has no node yet"))
        }
        // What a replica says.
        Mode::ReadOnly if !class.read_only_ok && lane.seat.board.reads => {
            Some("READONLY You can't write against a read only replica.".to_owned())
        }
        Mode::ReadOnly if !class.read_only_ok => {
            Some(format!("READONLY pointsman: service {service} is read only for now"))
        }
        Mode::Closed => Some(format!("ERR pointsman: service {service} is closed")),
        Mode::Hold => Some(format!(
            "ERR pointsman: service {service} has been held for longer than {} ms (hold_timeout)",
            view.settings.failover.hold_timeout.as_millis()
        )),
        Mode::Open | Mode::ReadOnly => None,
    }
}

fn name(class: &Class, head: &Head, request: &[u8]) -> String {
    let word = |index| String::from_utf8_lossy(head.arg(request, index).unwrap_or_default()).to_ascii_uppercase();
    let mut name = word(0);
    if class.spec.is_some_and(|spec| spec.name != name) {
        name = format!("{name} {}", word(1));
    }
    name.chars().take(SHOWN).collect()
}

/// True for `SCRIPT KILL` and `FUNCTION KILL`.
pub fn kills_script(class: &Class, head: &Head, request: &[u8]) -> bool {
    class.spec.is_some_and(|spec| spec.name == "KILL") && !head.name(request).eq_ignore_ascii_case(b"CLIENT")
}

/// Why a session can't move, for operators.
pub fn describe(why: Why, class: &Class, request: &[u8]) -> String {
    match (why, class.spec) {
        (Why::Unknown, _) => {
            let name = request.split(|&byte| byte == b'\n').nth(2).unwrap_or_default().trim_ascii_end();
            let name: String = String::from_utf8_lossy(name).chars().take(SHOWN).collect();
            format!("unknown command {name}")
        }
        (_, Some(spec)) => format!("depends on its connection ({})", spec.name),
        (_, None) => "depends on its connection".to_owned(),
    }
}

/// Answers, or says what has to be done before it can be answered. Nothing is outstanding when this is called.
pub fn answer(session: &mut Session, local: Local, head: &Head, request: &[u8]) -> Flow {
    let count = usize::try_from(head.argc).unwrap_or(usize::MAX).min(crate::protocol::redis::scan::HEAD_ARGS);
    let args: Vec<&[u8]> = (0..count).filter_map(|index| head.arg(request, index)).collect();
    if is_refused_everywhere(local, &args) {
        // It changes nothing, and the words differ between versions: the server says them.
        return session.share(Retry::Read, false, request);
    }
    match local {
        Local::Auth => match parse_auth(&args) {
            Ok(login) => Flow::Then(Act::Login(Box::new(Login { login: Some(Arc::new(login)), hello: None }))),
            Err(text) => say_error(session, &text),
        },
        Local::Hello => match parse_hello(&args) {
            Ok(Hello { protocol: None, .. }) => session.share(Retry::Read, false, request),
            Ok(mut hello) => {
                let login = hello.login.take().map(Arc::new);
                Flow::Then(Act::Login(Box::new(Login { login, hello: Some(hello) })))
            }
            Err(text) => say_error(session, &text),
        },
        Local::Select => match parse_select(&args) {
            // Whether it may, the server says.
            Ok(database) if database == session.state.database() && !session.state.selects_as_another() => {
                session.share(Retry::Read, false, request)
            }
            Ok(database) => Flow::Then(Act::Select(database)),
            Err(text) => say_error(session, &text),
        },
        Local::SetName => remember(session, parse_setname(&args)),
        Local::SetInfo => remember(session, parse_setinfo(&args)),
        Local::GetName => {
            let protocol = session.state.protocol();
            let name: Option<Box<[u8]>> = session.state.name().map(Into::into);
            session.client.say(|out| match name {
                Some(name) => reply::bulk(out, &name),
                None => reply::null(out, protocol),
            });
            session.client.flush();
            Flow::Done
        }
        Local::Quit => {
            say_ok(session);
            session.client.end();
            Flow::Last
        }
        Local::Reset => {
            session.state.apply(Change::Reset);
            session.entry = session.lane.door.answers();
            session.forget_shared();
            session.client.say(|out| reply::status(out, "RESET"));
            session.client.flush();
            Flow::Done
        }
        Local::Abort => {
            session.client.end();
            Flow::Last
        }
    }
}

/// True for a wrong number of arguments, and for words where a number has to be.
fn is_refused_everywhere(local: Local, args: &[&[u8]]) -> bool {
    let count = args.len();
    let no_number = args.get(1).is_some_and(|text| !text.iter().any(u8::is_ascii_digit));
    match local {
        Local::Auth => count != 2 && count != 3,
        Local::Select => count != 2 || no_number,
        Local::Hello => no_number,
        Local::GetName => count != 2,
        Local::SetName => count != 3,
        Local::Reset => count != 1,
        Local::SetInfo | Local::Quit | Local::Abort => false,
    }
}

fn remember(session: &mut Session, change: Result<Change, String>) -> Flow {
    match change {
        Ok(change) => {
            session.state.apply(change);
            say_ok(session)
        }
        Err(text) => say_error(session, &text),
    }
}

fn say_ok(session: &Session) -> Flow {
    session.client.say(reply::ok);
    session.client.flush();
    Flow::Done
}

fn say_error(session: &Session, text: &str) -> Flow {
    session.client.say(|out| reply::error(out, text));
    session.client.flush();
    Flow::Done
}
