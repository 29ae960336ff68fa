//! Examples of every subcommand: shown under its `--help` and on its man page, and parsed by a test, so that none of them lies.

use super::{
    args::Arguments,
    exit::{Exit, MEANINGS},
};
use clap::{Command, CommandFactory};
use std::fmt::Write;

/// A subcommand, a command line, and what it does.
type Example = (&'static str, &'static str, &'static str);

const EXAMPLES: &[Example] = &[
    ("run", "pointsman run --config pointsman.toml", "serve until SIGTERM"),
    ("check", "pointsman check pointsman.toml", "every mistake of a file at once"),
    ("check", "pointsman check --connect pointsman.toml", "also ask the nodes what they lack"),
    ("check", "pointsman check --schema", "the JSON schema that editors complete and check the file with"),
    ("status", "pointsman status", "every service"),
    ("status", "pointsman status cart --watch", "one service, drawn again as it changes"),
    ("status", "pointsman status --json", "for scripts"),
    ("switchover", "pointsman switchover cart --dry-run", "would it be let through, and if not, why"),
    ("switchover", "pointsman switchover cart --to spare --reason \"kernel update of main\"", "move it"),
    ("switchover", "pointsman switchover checkout --to-site west", "a group of services, one after the other"),
    ("switchover", "pointsman switchover cart --rehearsal", "for practice: it is shown who has"),
    ("approve", "pointsman approve cart-17 --reason \"seen the graph\"", "a second person agrees, and it runs"),
    ("withdraw", "pointsman withdraw cart-17", "nobody needs it any more"),
    ("site", "pointsman site evacuate east --dry-run", "could everything leave"),
    (
        "site",
        "pointsman site evacuate east --reason \"power cut at 04:00\"",
        "everything that is routed there goes elsewhere",
    ),
    ("failover", "pointsman failover cart --dry-run", "would it be let through"),
    ("failover", "pointsman failover cart --accept-loss --reason \"main burns\"", "the primary is gone: move it"),
    ("pause", "pointsman pause cart --for 30m --reason \"network work\"", "no automatic failover for half an hour"),
    ("resume", "pointsman resume cart", "before the pause ends by itself"),
    ("mode", "pointsman mode cart read_only --reason audit", "writes are refused"),
    ("mode", "pointsman mode cart open", "back to normal"),
    ("drain", "pointsman drain cart spare --reason \"disk swap\"", "never choose spare until it is restored"),
    ("restore", "pointsman restore cart spare", "it may be chosen again"),
    ("history", "pointsman history cart --limit 20", "the last twenty records of one service"),
    ("history", "pointsman history --kind refusal", "what was not done, and why"),
    ("operation", "pointsman operation cart-17", "how an operation stands, or how it ended"),
    ("rebuild", "pointsman rebuild cart 10.0.0.5:6379", "what that node alone holds, and how it becomes a standby"),
    ("reload", "pointsman reload", "read the configuration file again"),
    ("healthcheck", "pointsman healthcheck", "exit code 0: a service can be served"),
    ("healthcheck", "pointsman healthcheck --live --listen 127.0.0.1:9321", "exit code 0: the process lives"),
    ("demo", "pointsman demo --redis-server /usr/bin/redis-server", "feel a switch on two servers of its own"),
    ("completions", "pointsman completions bash > /etc/bash_completion.d/pointsman", "for every bash"),
    ("man", "pointsman man --out /usr/local/share/man/man1", "a page for each command"),
    ("man", "pointsman man switchover", "one page, as groff source"),
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
    let mut root = Arguments::command().after_help(format!("{FIRST}\n\n{}", exits()));
    let names: Vec<String> = root.get_subcommands().map(|sub| sub.get_name().to_owned()).collect();
    for name in names {
        let text = help(&name);
        if !text.is_empty() {
            root = root.mut_subcommand(name, |sub| sub.after_help(text));
        }
    }
    root
}

/// The examples of one subcommand, each with what it does.
pub(super) fn of(subcommand: &str) -> impl Iterator<Item = (&'static str, &'static str)> {
    EXAMPLES.iter().filter(move |(name, ..)| *name == subcommand).map(|(_, line, does)| (*line, *does))
}

fn help(subcommand: &str) -> String {
    let lines: Vec<_> = of(subcommand).collect();
    let wide = lines.iter().map(|(line, _)| line.len()).max().unwrap_or_default();
    let mut text = String::new();
    for (line, does) in lines {
        let head = if text.is_empty() { "Examples:" } else { "" };
        // Writing to a String can't fail.
        let _ = write!(text, "{head}\n  {line:wide$}  # {does}");
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
            let nested = sub.has_subcommands();
            assert!(nested || of(sub.get_name()).next().is_some(), "{} has none", sub.get_name());
        }
        for (name, ..) in EXAMPLES {
            assert!(command().find_subcommand(name).is_some(), "{name} is no subcommand");
        }
    }

    #[test]
    fn every_example_parses_as_its_subcommand() {
        for (name, line, _) in EXAMPLES {
            assert!(line.starts_with(&format!("pointsman {name}")), "{line} under {name}");
            assert_eq!(parses(line), Ok(()), "{line}");
        }
        for line in FIRST.lines().skip(1) {
            let line = line.trim().split("  ").next().unwrap_or_default();
            assert_eq!(parses(line), Ok(()), "{line}");
        }
    }
}
