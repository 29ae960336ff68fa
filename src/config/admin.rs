//! `[admin]` as plain values: where operators reach this process, and who they are.
//!
//! Input: nothing; `read::admin` builds these from TOML. Output: the types that the admin floor asks who somebody is. Never in
//! here: a token. What is kept of one is its hash.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use super::schema::ListenerTls;
use super::units::{Invalid, shown};
use crate::model::person::Role;
use sha2::{Digest, Sha256};

/// `[admin]`: the operators' way in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admin {
    /// The Unix socket of the admin API. Default `/run/pointsman/admin.sock`. Needs a restart to change.
    pub socket: PathBuf,
    /// The TCP listener of the same API, for tokens; beyond loopback only with `tls`. Default: none. Needs a restart to change.
    pub listen: Option<SocketAddr>,
    /// Hosts that may stand in `Host` and `Origin` beside loopback and the listener's own address: lower case, no ports.
    pub allowed_hosts: Vec<String>,
    /// TLS on the TCP listener.
    pub tls: Option<ListenerTls>,
    /// Who may do what, beside root and Pointsman's own user; no name, uid, gid or token twice.
    pub people: Vec<Person>,
}

impl Default for Admin {
    fn default() -> Self {
        let socket = PathBuf::from("/run/pointsman/admin.sock");
        Self { socket, listen: None, allowed_hosts: Vec::new(), tls: None, people: Vec::new() }
    }
}

/// One of `[[admin.people]]`; at least one of uid, gid and a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// 1 to 64 characters: what the journal calls them.
    pub name: String,
    /// What they may do.
    pub role: Role,
    /// Their user on this machine.
    pub uid: Option<u32>,
    /// The primary group of whoever counts as this person.
    pub gid: Option<u32>,
    /// Hashes of their tokens; two while one replaces the other, at most four.
    pub tokens: Vec<TokenHash>,
}

impl Person {
    /// The longest name, in characters.
    const LONGEST_NAME: usize = 64;
    /// Names that stand in the journal for something else than a person.
    const TAKEN: [&str; 2] = ["pointsman", "signal"];

    /// A name that the journal can know a person by.
    pub fn parse_name(text: &str) -> Result<String, Invalid> {
        if text.is_empty() || text.trim() != text || text.chars().any(char::is_control) {
            let message = format!("{} is empty, or begins or ends with a blank", shown(text));
            return Err(Invalid::new(message, "a name as the journal shall tell it, as in \"ann\""));
        }
        if text.chars().count() > Self::LONGEST_NAME {
            let message = format!("a name has at most {} characters", Self::LONGEST_NAME);
            return Err(Invalid::new(message, "take a short one: it stands in each line of the journal"));
        }
        let folded = text.to_lowercase();
        if Self::TAKEN.contains(&folded.as_str()) || folded.starts_with("uid:") {
            let help = "it stands in the journal for something else than a person: take another one";
            return Err(Invalid::new(format!("{} can't be a person's name", shown(text)), help));
        }
        Ok(text.to_owned())
    }
}

/// The SHA-256 of a token. A token is 256 random bits, so that nothing is gained by a slow hash: no list of likely tokens exists.
#[derive(Clone, PartialEq, Eq)]
pub struct TokenHash(pub [u8; 32]);

impl TokenHash {
    /// How it is written.
    const PREFIX: &'static str = "sha256:";

    /// The hash of a token.
    pub fn of(token: &str) -> Self {
        Self(Sha256::digest(token.as_bytes()).into())
    }

    /// Reads `sha256:` and 64 hexadecimal digits.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        // Never the text itself in a message: it may be the token.
        let invalid = |what: &str| Invalid::new(what, "`pointsman token NAME` prints the line with the hash");
        let digits = text.strip_prefix(Self::PREFIX).ok_or_else(|| invalid("this is no hash of a token"))?;
        let mut hash = [0; 32];
        let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
        let hexadecimal = digits.len() == 2 * hash.len() && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        for (into, pair) in hash.iter_mut().zip(digits.as_bytes().chunks(2)).filter(|_| hexadecimal) {
            *into = byte(pair).unwrap_or_default();
        }
        if hexadecimal { Ok(Self(hash)) } else { Err(invalid("behind `sha256:` stand 64 hexadecimal digits")) }
    }
}

impl fmt::Display for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::PREFIX)?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenHash(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_journal_are_taken() {
        for bad in ["", "pointsman", "Signal", "uid:0", "UID:7", " ann", "ann ", "a\nb", &"x".repeat(65)] {
            assert!(Person::parse_name(bad).is_err(), "{bad}");
        }
        assert_eq!(Person::parse_name("night shift").expect("a name"), "night shift");
    }

    #[test]
    fn hashes_are_read_as_they_are_written_and_never_shown_when_wrong() {
        let hash = TokenHash([0xa5; 32]);
        assert_eq!(TokenHash::parse(&hash.to_string()).expect("a hash"), hash);
        let upper = format!("sha256:{}", "A5".repeat(32));
        assert_eq!(TokenHash::parse(&upper).expect("a hash"), hash);
        let short = format!("sha256:{}", "a5".repeat(31));
        let sign = format!("sha256:{}", "+5".repeat(32));
        for bad in ["", "pm_the-token-itself", "sha256:", &short, &sign, &format!("{hash}0")] {
            let invalid = TokenHash::parse(bad).expect_err(bad);
            assert!(bad.len() < 8 || !format!("{invalid:?}").contains(bad), "{invalid:?}");
        }
        assert_eq!(format!("{hash:?}"), "TokenHash(…)");
    }
}
