//! Manual pages and completions: every shell has some, bash takes its own and finds the names of the services that run, and groff
//! has nothing to say against the pages.

mod common;

use common::{PATIENCE, instance::Pointsman, instance::program, ports::free_port, redis_server::RedisServer, wait_for};
use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

fn pointsman(arguments: &[&str]) -> String {
    let output = Command::new(program()).args(arguments).output().expect("the binary under test starts");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// Whether the program is there; else it is written down that the test was skipped.
fn is_there(name: &str) -> bool {
    let folders = std::env::var("PATH").unwrap_or_default();
    let found = folders.split(':').any(|folder| Path::new(folder).join(name).exists());
    if !found {
        common::skip::note(name);
    }
    found
}

/// The subcommands that `--help` shows.
fn subcommands() -> Vec<String> {
    let help = pointsman(&["--help"]);
    let list = help.split("Commands:\n").nth(1).and_then(|rest| rest.split("\n\n").next()).expect("a list of commands");
    let lines = list.lines().filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    lines.filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help").map(Into::into).collect()
}

#[test]
fn each_command_has_a_page_with_its_sections() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("man1");
    pointsman(&["man", "--out", out.to_str().expect("UTF-8")]);
    let names = subcommands();
    assert!(names.len() >= 17, "{names:?}");
    for name in [String::new()].into_iter().chain(names.iter().map(|name| format!("-{name}"))) {
        let file = out.join(format!("pointsman{name}.1"));
        let page = std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        for section in
            ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "\"EXIT STATUS\"", "ENVIRONMENT", "FILES", "EXAMPLES"]
        {
            assert!(page.contains(&format!(".SH {section}\n")), "pointsman{name}.1 has no {section}:\n{page}");
        }
        assert!(page.contains("\\fBpointsman"), "pointsman{name}.1 names its command");
    }
    assert_eq!(pointsman(&["man"]), std::fs::read_to_string(out.join("pointsman.1")).expect("a page"));
    assert_eq!(pointsman(&["man", "drain"]), std::fs::read_to_string(out.join("pointsman-drain.1")).expect("a page"));
    let output = Command::new(program()).args(["man", "nonsense"]).output().expect("the binary under test starts");
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output).contains("no such page; there are run, check, status"), "{}", text(&output));
}

#[test]
fn groff_warns_of_nothing() {
    if !is_there("groff") {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    pointsman(&["man", "--out", folder.path().to_str().expect("UTF-8")]);
    let mut pages = 0;
    for entry in std::fs::read_dir(folder.path()).expect("pages") {
        let page = entry.expect("a page").path();
        let mut groff = Command::new("groff");
        let output =
            groff.args(["-man", "-Tutf8", "-ww", "-rLL=80n", "-P-cbou"]).arg(&page).output().expect("groff starts");
        let shown = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.stderr.is_empty(), "{}: {}", page.display(), String::from_utf8_lossy(&output.stderr));
        assert!(shown.contains("EXIT STATUS") && shown.contains("SEE ALSO"), "{}:\n{shown}", page.display());
        pages += 1;
    }
    assert!(pages >= 18, "{pages}");
}

#[test]
fn every_shell_has_completions() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = pointsman(&["completions", shell]);
        for word in ["switchover", "healthcheck", "--accept-loss", "--no-color"] {
            // fish writes options without their dashes.
            assert!(script.contains(word.trim_start_matches("--")), "{shell} lacks {word}");
        }
        assert!(!script.contains("SERVICE_COMMANDS"), "{shell}");
    }
}

#[test]
fn each_shell_that_is_here_takes_its_completions() {
    for (shell, check) in [("bash", "-n"), ("zsh", "-n"), ("fish", "--no-execute")] {
        if !is_there(shell) {
            continue;
        }
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), pointsman(&["completions", shell])).expect("written");
        let output = Command::new(shell).arg(check).arg(file.path()).output().expect("the shell starts");
        assert!(output.status.success() && output.stderr.is_empty(), "{shell}: {}", text(&output));
    }
}

/// What bash offers where the cursor stands at the end of `line`.
fn offered(script: &Path, socket: &Path, line: &str) -> Vec<String> {
    // Bash calls the function with the word that the command was called by.
    let program = program().display().to_string();
    let line = line.replacen("pointsman", &program, 1);
    let words: Vec<String> = line.split(' ').map(|word| format!("'{word}'")).collect();
    let at = words.len() - 1;
    let ask = format!(
        "source '{}'; COMP_WORDS=({}); COMP_CWORD={at}; _pointsman_live '{}' \"${{COMP_WORDS[{at}]}}\" \
         \"${{COMP_WORDS[{}]}}\"; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
        script.display(),
        words.join(" "),
        program,
        at - 1
    );
    let mut bash = Command::new("bash");
    bash.args(["--norc", "-c", &ask]).env("POINTSMAN_ADMIN", format!("unix:{}", socket.display()));
    let output = bash.output().expect("bash starts");
    assert!(output.stderr.is_empty(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).lines().filter(|line| !line.is_empty()).map(Into::into).collect()
}

#[test]
fn bash_offers_the_names_that_run() {
    require_server!("redis7");
    let (primary, replica) = RedisServer::pair("redis7");
    let service = |name: &str, sort: &str| {
        format!(
            "[services.{name}]\nkind = \"redis\"\nreplication = \"{sort}\"\nlisten = [\"127.0.0.1:{}\"]\n\
             [[services.{name}.clusters]]\nname = \"main\"\nnodes = [\"{}\"]\n\
             [[services.{name}.clusters]]\nname = \"spare\"\nnodes = [\"{}\"]\n",
            free_port(),
            primary.address(),
            replica.address()
        )
    };
    let pointsman_there = Pointsman::start(&(service("cart", "managed") + &service("basket", "external")));
    let folder = tempfile::tempdir().expect("a folder");
    let (script, socket) = (folder.path().join("completions"), pointsman_there.folder().join("admin.sock"));
    std::fs::write(&script, pointsman(&["completions", "bash"])).expect("written");
    wait_for("both services answer", PATIENCE, || offered(&script, &socket, "pointsman status ").len() >= 2);
    let has = |line: &str| offered(&script, &socket, line);
    assert!(has("pointsman switchover c").contains(&"cart".to_owned()));
    assert!(!has("pointsman switchover c").contains(&"basket".to_owned()));
    assert!(has("pointsman drain cart ").contains(&"spare".to_owned()));
    assert!(has("pointsman switchover cart --to ").contains(&"main".to_owned()));
    assert!(has("pointsman switchover --").contains(&"--dry-run".to_owned()), "options are offered as before");
    assert!(has("pointsman sta").contains(&"status".to_owned()), "and commands");
    let nowhere = PathBuf::from("/nonexistent/admin.sock");
    assert!(
        !offered(&script, &nowhere, "pointsman drain cart ").contains(&"spare".to_owned()),
        "nobody answers: no names"
    );
}
