//! A shell command on a terminal of its own, which is what a program that asks for a password wants.

use super::PATIENCE;
use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::mpsc;

/// What was shown, and whether it ended well.
#[derive(Debug)]
pub struct Shown {
    /// Everything on the screen.
    pub text: String,
    /// Its exit code was 0.
    pub success: bool,
}

/// Runs a command in `bash`, with the folders `programs` first in its path. `answer` gives the answer to a prompt by the last line that is shown, if that is
/// one.
#[track_caller]
pub fn run(command: &str, programs: &[PathBuf], answer: impl Fn(&str) -> Option<String>) -> Shown {
    let folders = programs.iter().map(|folder| folder.display().to_string());
    let path = folders.chain(["/usr/bin:/bin".to_owned()]).collect::<Vec<_>>().join(":");
    let mut child = Command::new("script")
        .args(["--quiet", "--return", "--echo", "never", "--command", command, "/dev/null"])
        .env("PATH", path)
        .env("SHELL", "/bin/bash")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("script, which every Debian has");
    let (mut keyboard, mut screen) = (child.stdin.take().expect("piped"), child.stdout.take().expect("piped"));
    let (told, pieces) = mpsc::channel();
    let reader = std::thread::spawn(move || {
        let mut piece = [0; 4096];
        while let Ok(many @ 1..) = screen.read(&mut piece) {
            let _ = told.send(String::from_utf8_lossy(&piece[..many]).into_owned());
        }
    });
    let (mut text, mut answered) = (String::new(), 0);
    while let Ok(piece) = pieces.recv_timeout(PATIENCE * 3) {
        text.push_str(&piece);
        let line = text.get(answered..).unwrap_or_default().rsplit('\n').next().unwrap_or_default();
        if let Some(answer) = answer(line) {
            answered = text.len();
            // Who hangs up on an answer says so by its exit code.
            let _ = keyboard.write_all(format!("{answer}\n").as_bytes());
        }
    }
    drop(keyboard);
    let success = child.wait().expect("its end").success();
    reader.join().expect("the reader");
    Shown { text, success }
}
