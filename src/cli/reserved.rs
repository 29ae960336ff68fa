//! Names of commands that later versions will have: until then a clear error.

use super::{
    args::Sub,
    exit::{Exit, complain},
};

/// Says that there is no such command yet.
pub(super) fn refuse(sub: &Sub) -> Exit {
    let (name, rest) = match sub {
        Sub::Site(later) => ("site", later),
        _ => return complain(Exit::Usage, "no such command"),
    };
    let asked = rest.rest.iter().fold(name.to_owned(), |asked, word| asked + " " + word);
    let version = env!("CARGO_PKG_VERSION");
    complain(Exit::Usage, &format!("`{asked}`: the name is reserved; Pointsman {version} can't do it yet"))
}
