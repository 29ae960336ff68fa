//! Reading replies: texts, INFO sections, CONFIG values, roles.
//!
//! Input: decoded frames of a node. Output: plain values, `None` where a reply isn't of the form expected. It never fails
//! hard on what a node says.

use redis_protocol::resp2::types::BytesFrame;
use std::collections::BTreeMap;

/// A reply as decoded.
pub(super) type Reply = BytesFrame;

/// The text of a status or bulk reply.
pub(super) fn text(reply: &Reply) -> Option<String> {
    match reply {
        Reply::SimpleString(bytes) | Reply::BulkString(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
        _ => None,
    }
}

/// The text of an error reply.
pub(super) fn error(reply: &Reply) -> Option<&str> {
    match reply {
        Reply::Error(text) => Some(text),
        _ => None,
    }
}

/// A number, also one that comes as text.
fn integer(reply: &Reply) -> Option<i64> {
    match reply {
        Reply::Integer(number) => Some(*number),
        other => text(other)?.parse().ok(),
    }
}

/// The value in the reply to `CONFIG GET name`.
pub(super) fn config_value(reply: &Reply) -> Option<String> {
    match reply {
        Reply::Array(pair) => pair.get(1).and_then(text),
        _ => None,
    }
}

/// Sections of INFO, by field.
#[derive(Debug, Default)]
pub(super) struct Info(BTreeMap<String, String>);

impl Info {
    /// Reads one section; `None` if the reply is no text.
    pub(super) fn read(reply: &Reply) -> Option<Self> {
        let text = text(reply)?;
        let fields = text.lines().filter_map(|line| line.split_once(':'));
        Some(Self(fields.map(|(name, value)| (name.to_owned(), value.trim_end().to_owned())).collect()))
    }

    /// A field's value.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// A field's number; absent if it isn't one or is negative, which Redis uses for "none".
    pub(super) fn number(&self, name: &str) -> Option<u64> {
        self.get(name)?.parse().ok()
    }

    /// Whether a field says 1.
    pub(super) fn flag(&self, name: &str) -> bool {
        self.get(name) == Some("1")
    }

    /// Fields called `prefix` and a number, such as `slave0` and `db0`: their `key=value` lists.
    pub(super) fn numbered<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = BTreeMap<&'a str, &'a str>> {
        self.0.iter().filter_map(move |(name, value)| {
            let digits = name.strip_prefix(prefix)?;
            if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
                return None;
            }
            Some(value.split(',').filter_map(|part| part.split_once('=')).collect())
        })
    }
}

/// What ROLE says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// It takes writes.
    Primary,
    /// It follows that host and port.
    Standby { host: String, port: u16 },
}

/// Reads the reply to ROLE.
pub(super) fn role(reply: &Reply) -> Option<Role> {
    let Reply::Array(parts) = reply else { return None };
    match text(parts.first()?)?.as_str() {
        "master" => Some(Role::Primary),
        "slave" => {
            Some(Role::Standby { host: text(parts.get(1)?)?, port: u16::try_from(integer(parts.get(2)?)?).ok()? })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bulk(text: &str) -> Reply {
        Reply::BulkString(text.to_owned().into())
    }

    #[test]
    fn sections_are_read_and_nonsense_is_absent() {
        let section = "# Replication\r\nrole:master\r\nsecond_repl_offset:-1\r\nmaster_repl_offset:42\r\n\
                       slave0:ip=10.0.0.1,port=6379,state=online,offset=41,lag=0\r\nslave_priority:100\r\n";
        let info = Info::read(&bulk(section)).unwrap();
        assert_eq!(info.number("master_repl_offset"), Some(42));
        assert_eq!(info.number("second_repl_offset"), None);
        assert_eq!(info.numbered("slave").map(|fields| fields["offset"].to_owned()).collect::<Vec<_>>(), ["41"]);
        assert!(Info::read(&Reply::Null).is_none());
    }

    #[test]
    fn roles_are_read() {
        assert_eq!(role(&Reply::Array(vec![bulk("master"), Reply::Integer(3)])), Some(Role::Primary));
        let standby = vec![bulk("slave"), bulk("h"), Reply::Integer(6379), bulk("connected"), Reply::Integer(9)];
        assert_eq!(role(&Reply::Array(standby)), Some(Role::Standby { host: "h".into(), port: 6379 }));
        assert_eq!(role(&Reply::Array(vec![bulk("slave"), bulk("h"), Reply::Integer(-1)])), None);
        assert_eq!(role(&Reply::Array(vec![bulk("sentinel")])), None);
    }
}
