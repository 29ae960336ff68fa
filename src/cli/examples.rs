//! Examples of every subcommand: shown under its `--help` and on its man page, and parsed by a test, so that none of them lies.

use super::{
    args::Arguments,
    exit::{Exit, MEANINGS},
};
use clap::{Command, CommandFactory};
use std::fmt::Write;

/// A command line, and what it does.
type Example = (&'static str, &'static str);

const EXAMPLES: &[Example] = &[
    ("pointsman run --config pointsman.toml", "serve until SIGTERM"),
    ("pointsman check pointsman.toml", "every mistake of a file at once"),
    ("pointsman check --connect pointsman.toml", "also ask the nodes what they lack"),
    ("pointsman check --schema", "the JSON schema that editors complete and check the file with"),
    ("pointsman status", "every service"),
    ("pointsman status cart --watch", "one service, drawn again as it changes"),
    ("pointsman status --json", "for scripts"),
    ("pointsman status cart --until-ready 1m", "wait until it could be switched; exit code 3 if it can't be by then"),
    ("pointsman switchover cart --dry-run", "would it be let through, and if not, why"),
    ("pointsman switchover cart --to spare --reason \"kernel update of main\"", "move it"),
    ("pointsman switchover checkout --to-site west", "a group of services, one after the other"),
    ("pointsman switchover cart --rehearsal", "for practice: it is shown who has"),
    ("pointsman site evacuate east --dry-run", "could everything leave"),
    ("pointsman site evacuate east --partial", "what can go goes; what a guard refuses stays and is named"),
    ("pointsman site evacuate east --reason \"power cut at 04:00\"", "everything that is routed there goes elsewhere"),
    ("pointsman failover cart --dry-run", "would it be let through"),
    ("pointsman failover cart --accept-loss --reason \"main burns\"", "the primary is gone: move it"),
    ("pointsman pause cart --for 30m --reason \"network work\"", "no automatic failover for half an hour"),
    ("pointsman resume cart", "before the pause ends by itself"),
    ("pointsman mode cart read_only --reason audit", "writes are refused"),
    ("pointsman mode cart open", "back to normal"),
    ("pointsman drain cart spare --reason \"disk swap\"", "never choose spare until it is restored"),
    ("pointsman restore cart spare", "it may be chosen again"),
    ("pointsman approve cart-17 --reason \"agreed on the phone\"", "agree: it is judged again, and runs"),
    ("pointsman withdraw cart-17", "give it up"),
    ("pointsman history cart --limit 20", "the last twenty records of one service"),
    ("pointsman history --kind refusal", "what was not done, and why"),
    ("pointsman operation cart-17", "how an operation stands, or how it ended"),
    ("pointsman rebuild cart 10.0.0.5:6379", "what that node alone holds, and how it becomes a standby"),
    ("pointsman audit verify", "is the journal whole"),
    ("pointsman audit verify --state-dir /srv/copy", "the same, of a copy"),
    ("pointsman history cart --timeline", "the last incident, moment by moment"),
    ("pointsman token ann --role approver > ann.token", "the token, once, and the lines for the configuration"),
    ("pointsman reload", "read the configuration file again"),
    ("pointsman healthcheck", "exit code 0: a service can be served"),
    ("pointsman healthcheck --live --listen 127.0.0.1:9321", "exit code 0: the process lives"),
    ("pointsman demo --redis-server /usr/bin/redis-server", "feel a switch on two servers of its own"),
    ("pointsman completions bash > /etc/bash_completion.d/pointsman", "for every bash"),
    ("pointsman man --out /usr/local/share/man/man1", "a page for each command"),
    ("pointsman man switchover", "one page, as groff source"),
];

/// What a newcomer should try, under the list of commands.
const FIRST: &str = "First steps:
  pointsman check --connect pointsman.toml    every mistake in a file, and what the nodes lack
  pointsman run --config pointsman.toml       start
  pointsman status --watch                    what is up, and whether a switch would work
  pointsman switchover SVC --dry-run          would it be let through, and if not, why
  pointsman switchover SVC                    move it; refuses rather than lose";

/// The whole grammar with examples and exit codes in its help.
pub(super) fn command() -> Command {
    with_examples(grammar(), "pointsman").after_help(format!("{FIRST}\n\n{}", exits()))
}

/// The grammar as a terminal and a manual page show it. The backquotes around words are for readers of the sources.
pub(super) fn grammar() -> Command {
    plain(Arguments::command())
}

fn plain(mut command: Command) -> Command {
    if let Some(about) = command.get_about().map(|about| about.to_string().replace('`', "")) {
        command = command.about(about);
    }
    let argument = |argument: clap::Arg| match argument.get_help().map(|help| help.to_string().replace('`', "")) {
        Some(help) => argument.help(help),
        None => argument,
    };
    command.mut_args(argument).mut_subcommands(plain)
}

fn with_examples(mut command: Command, path: &str) -> Command {
    let names: Vec<String> = command.get_subcommands().map(|sub| sub.get_name().to_owned()).collect();
    for name in names {
        let path = format!("{path} {name}");
        command = command.mut_subcommand(name, |sub| with_examples(sub, &path));
    }
    let text = help(path);
    if text.is_empty() { command } else { command.after_help(text) }
}

/// The examples of one subcommand, by its words: `pointsman audit verify`.
pub(super) fn of(path: &str) -> impl Iterator<Item = Example> {
    let begins = move |line: &str| line.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with(' '));
    EXAMPLES.iter().copied().filter(move |(line, _)| begins(line))
}

fn help(path: &str) -> String {
    let mut text = String::new();
    for (line, does) in of(path) {
        let head = if text.is_empty() { "Examples:" } else { "" };
        // Writing to a String can't fail.
        let _ = write!(text, "{head}\n  {line}\n      {does}");
    }
    text
}

fn exits() -> String {
    let code = |(exit, means): &(Exit, &str)| format!("\n  {:2}  {means}", *exit as u8);
    "Exit codes:".to_owned() + &MEANINGS.iter().map(code).collect::<String>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::documented::parses;

    #[test]
    fn every_subcommand_that_is_shown_has_an_example() {
        for sub in command().get_subcommands().filter(|sub| !sub.is_hide_set() && sub.get_name() != "help") {
            assert!(of(&format!("pointsman {}", sub.get_name())).next().is_some(), "{} has none", sub.get_name());
        }
    }

    #[test]
    fn every_example_parses() {
        for (line, _) in EXAMPLES {
            assert_eq!(parses(line), Ok(()), "{line}");
        }
        for line in FIRST.lines().skip(1) {
            let line = line.trim().split("  ").next().unwrap_or_default();
            assert_eq!(parses(line), Ok(()), "{line}");
        }
    }
}
