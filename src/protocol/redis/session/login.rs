//! The commands that Pointsman reads itself: HELLO, AUTH, SELECT, CLIENT SETNAME, CLIENT SETINFO. Wrong ones are refused in
//! Redis's own words.

use crate::model::secret::Secret;

use super::super::Protocol;
use super::super::scan::strict;
use super::change::Change;

/// A client's own credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// The ACL user; `None` for `AUTH password`, which is the user `default`.
    pub user: Option<Box<[u8]>>,
    /// Never logged.
    pub password: Secret,
}

/// The text of an error reply, its first word included: for [`super::super::reply::error`].
pub type Refusal = String;

/// What a `HELLO` asks for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Hello {
    /// `None`: as it is.
    pub protocol: Option<Protocol>,
    /// Credentials to verify with the server.
    pub login: Option<Login>,
    /// A name for the connection.
    pub name: Option<Box<[u8]>>,
}

/// Redis's answer to a wrong number of arguments; a subcommand is written `client|getname`.
pub fn arity(command: &str) -> Refusal {
    format!("ERR wrong number of arguments for '{command}' command")
}

/// Names are shown in `CLIENT LIST`, so Redis allows only printable characters without spaces.
fn plain(text: &[u8]) -> bool {
    text.iter().all(|byte| (b'!'..=b'~').contains(byte))
}

fn bad_name() -> Refusal {
    "ERR Client names cannot contain spaces, newlines or special characters.".to_owned()
}

/// `HELLO [protover [AUTH username password] [SETNAME clientname]]`; `args` with the command's name.
pub fn parse_hello(args: &[&[u8]]) -> Result<Hello, Refusal> {
    let mut hello = Hello::default();
    let [_, version, options @ ..] = args else { return Ok(hello) };
    hello.protocol = Some(match strict(version) {
        Some(2) => Protocol::Resp2,
        Some(3) => Protocol::Resp3,
        Some(_) => return Err("NOPROTO unsupported protocol version".to_owned()),
        None => return Err("ERR Protocol version is not an integer or out of range".to_owned()),
    });
    let mut rest = options;
    while let [option, more @ ..] = rest {
        rest = match more {
            [user, password, tail @ ..] if option.eq_ignore_ascii_case(b"AUTH") => {
                hello.login = Some(Login { user: Some((*user).into()), password: Secret::new(*password) });
                tail
            }
            [name, tail @ ..] if option.eq_ignore_ascii_case(b"SETNAME") => {
                if !plain(name) {
                    return Err(bad_name());
                }
                hello.name = Some((*name).into());
                tail
            }
            _ => return Err(format!("ERR Syntax error in HELLO option '{}'", String::from_utf8_lossy(option))),
        };
    }
    Ok(hello)
}

/// `AUTH [username] password`.
pub fn parse_auth(args: &[&[u8]]) -> Result<Login, Refusal> {
    match args {
        [_, password] => Ok(Login { user: None, password: Secret::new(*password) }),
        [_, user, password] => Ok(Login { user: Some((*user).into()), password: Secret::new(*password) }),
        [] | [_] => Err(arity("auth")),
        _ => Err("ERR syntax error".to_owned()),
    }
}

/// `SELECT index`. Whether the server has that many databases, only the server knows.
pub fn parse_select(args: &[&[u8]]) -> Result<u32, Refusal> {
    let [_, index] = args else { return Err(arity("select")) };
    let index = strict(index).and_then(|index| i32::try_from(index).ok());
    let index = index.ok_or_else(|| "ERR value is not an integer or out of range".to_owned())?;
    u32::try_from(index).map_err(|_| "ERR DB index is out of range".to_owned())
}

/// `CLIENT SETNAME name`; an empty name takes the name away.
pub fn parse_setname(args: &[&[u8]]) -> Result<Change, Refusal> {
    match args {
        [_, _, name] if plain(name) => Ok(Change::Name((*name).into())),
        [_, _, _] => Err(bad_name()),
        _ => Err(arity("client|setname")),
    }
}

/// `CLIENT SETINFO LIB-NAME|LIB-VER value`.
pub fn parse_setinfo(args: &[&[u8]]) -> Result<Change, Refusal> {
    let [_, _, option, value] = args else { return Err(arity("client|setinfo")) };
    let shown = String::from_utf8_lossy(option);
    let change = if option.eq_ignore_ascii_case(b"LIB-NAME") {
        Change::LibraryName((*value).into())
    } else if option.eq_ignore_ascii_case(b"LIB-VER") {
        Change::LibraryVersion((*value).into())
    } else {
        return Err(format!("ERR Unrecognized option '{shown}'"));
    };
    if plain(value) {
        Ok(change)
    } else {
        Err(format!("ERR {shown} cannot contain spaces, newlines or special characters."))
    }
}
