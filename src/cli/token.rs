//! `pointsman token NAME`: makes a token, and the lines of the configuration that let it in.
//!
//! It asks nobody and keeps nothing: the token is printed this once, the configuration holds its hash.

use super::{
    exit::{Exit, complain},
    output::say,
};
use crate::{
    config::{Person, TokenHash},
    model::person::Role,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use clap::{Args, builder::PossibleValuesParser};

/// How a token begins, so that it is known for what it is where it should not be.
const PREFIX: &str = "pm_";
/// Random bytes of a token.
const RANDOM: usize = 32;

/// Its arguments.
#[derive(Debug, Args)]
pub(super) struct TokenFor {
    /// The person, as the journal shall know them.
    name: String,
    /// What they may do, for the printed lines: viewer, operator or approver.
    #[arg(long, default_value = Role::Operator.as_str(), value_parser = PossibleValuesParser::new(Role::ALL.map(Role::as_str)))]
    role: String,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Prints a fresh token: the first line is the token alone.
pub(super) fn run(options: &TokenFor) -> Exit {
    let name = match Person::parse_name(&options.name) {
        Ok(name) => name,
        Err(invalid) => {
            return complain(Exit::Usage, format!("{}; {}", invalid.message, invalid.help).trim_end_matches("; "));
        }
    };
    let Some(token) = fresh() else {
        return complain(Exit::Unknown, "the system gives no random bytes: no token was made");
    };
    let hash = TokenHash::of(&token);
    if options.json {
        let json =
            serde_json::json!({ "name": name, "role": options.role, "token": token, "token_hash": hash.to_string() });
        say!("{json}");
        return Exit::Done;
    }
    let quoted = toml::Value::String(name.clone());
    say!("{token}");
    say!("");
    say!(
        "# The line above is the token of {name}, shown this once: keep it in a file that only they can read (--token-file)."
    );
    say!("# These lines belong in the configuration; `pointsman reload` puts them in force. To replace a token, let");
    say!("# token_hash = [\"sha256:OLD…\", \"sha256:NEW…\"] hold both until the old one is out of use.");
    say!("[[admin.people]]");
    say!("name = {quoted}");
    say!("role = \"{}\"", options.role);
    say!("token_hash = \"{hash}\"");
    Exit::Done
}

/// 256 random bits as text.
fn fresh() -> Option<String> {
    let mut bytes = [0; RANDOM];
    // The kernel gives so few bytes whole or not at all; an interruption is tried again.
    for _ in 0..16 {
        if rustix::rand::getrandom(&mut bytes[..], rustix::rand::GetRandomFlags::empty()) == Ok(RANDOM) {
            return Some(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes)));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_long_and_never_the_same() {
        let (one, other) = (fresh().expect("a token"), fresh().expect("a token"));
        assert_ne!(one, other);
        assert_eq!(one.len(), PREFIX.len() + 43);
        assert!(one.starts_with(PREFIX) && one.bytes().all(|byte| byte.is_ascii_graphic()));
    }
}
