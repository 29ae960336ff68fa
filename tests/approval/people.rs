//! People with tokens, for tests in which two of them meet.
#![allow(dead_code, reason = "several test programs use a part of it each")]
#![allow(unreachable_pub, reason = "a module of test programs")]

use crate::common::instance::Pointsman;
use pointsman::config::TokenHash;
use serde_json::Value;
use std::fmt::Write as _;
use std::os::unix::fs::OpenOptionsExt;
use std::process::Output;

/// Tables of the configuration: each name with its role; their tokens are made of their names.
pub fn tables(people: &[(&str, &str)]) -> String {
    people.iter().fold(String::new(), |mut text, (name, role)| {
        let hash = TokenHash::of(&token(name));
        write!(text, "[[admin.people]]\nname = \"{name}\"\nrole = \"{role}\"\ntoken_hash = \"{hash}\"\n")
            .expect("text");
        text
    })
}

fn token(name: &str) -> String {
    format!("pm_a-test's-token-of-{name}")
}

/// Runs a subcommand as that person.
pub fn cli(pointsman: &Pointsman, name: &str, arguments: &[&str]) -> Output {
    let file = pointsman.folder().join(format!("{name}.token"));
    let mut options = std::fs::OpenOptions::new();
    let opened = options.write(true).create(true).truncate(true).mode(0o600).open(&file).expect("a token's file");
    std::io::Write::write_all(&mut { opened }, token(name).as_bytes()).expect("writing a token");
    let file = file.display().to_string();
    let all: Vec<&str> = ["--token-file", &file].into_iter().chain(arguments.iter().copied()).collect();
    pointsman.cli(&all)
}

/// As [`cli`], with `--json`; it must end with this exit code. Gives the operation, a refused one's too.
#[track_caller]
pub fn expect(pointsman: &Pointsman, name: &str, arguments: &[&str], code: i32) -> Value {
    let arguments: Vec<&str> = arguments.iter().copied().chain(["--json"]).collect();
    let output = cli(pointsman, name, &arguments);
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let log = || pointsman.log();
    assert_eq!(output.status.code(), Some(code), "{name} {arguments:?}\nout: {out}\nerr: {err}\nlog: {}", log());
    let answer: Value = serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}"));
    answer.get("operation").filter(|operation| operation.is_object()).cloned().unwrap_or(answer)
}
