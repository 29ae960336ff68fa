//! A program on a terminal of its own, and what its screen shows: enough of a terminal to see where characters stand.

use super::common::{PATIENCE, holds_within, instance::program};
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;

/// What came so far, from the thread that reads it.
#[expect(clippy::disallowed_types, reason = "two threads of a test, neither of which runs tasks")]
type Gathered = Arc<std::sync::Mutex<Vec<u8>>>;

/// A program that runs on a terminal.
pub struct Terminal {
    child: Child,
    keyboard: Option<ChildStdin>,
    bytes: Gathered,
    columns: usize,
    rows: usize,
}

impl Terminal {
    /// Runs a line of bash in which `pointsman` is the binary under test, on a terminal of that size.
    #[track_caller]
    pub fn start(admin: &Path, line: &str, columns: usize, rows: usize) -> Self {
        let call = format!("pointsman() {{ '{}' \"$@\"; }}", program().display());
        let line = format!("stty cols {columns} rows {rows}; {call}; {line}");
        let mut child = Command::new("script")
            .args(["--quiet", "--return", "--echo", "never", "--command", &line, "/dev/null"])
            .env("SHELL", "/bin/bash")
            .env("POINTSMAN_ADMIN", format!("unix:{}", admin.display()))
            .env_remove("NO_COLOR")
            .env("TERM", "xterm")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("script, which every Debian has");
        let keyboard = child.stdin.take();
        let mut screen = child.stdout.take().expect("piped");
        let bytes = Gathered::default();
        let gathered = Arc::clone(&bytes);
        // Ends with the program.
        std::thread::spawn(move || {
            let mut piece = [0; 4096];
            while let Ok(many @ 1..) = screen.read(&mut piece) {
                gathered.lock().expect("no panic holds it").extend_from_slice(&piece[..many]);
            }
        });
        Self { child, keyboard, bytes, columns, rows }
    }

    /// Everything that was sent to the screen.
    pub fn sent(&self) -> String {
        String::from_utf8_lossy(&self.bytes.lock().expect("no panic holds it")).into_owned()
    }

    /// What stands on the screen.
    pub fn screen(&self) -> Picture {
        let mut picture = Picture::new(self.columns, self.rows);
        picture.take(&self.sent());
        picture
    }

    /// Waits until the screen is as wanted.
    #[track_caller]
    pub fn wait(&self, what: &str, wanted: impl Fn(&Picture) -> bool) -> Picture {
        let seen = holds_within(PATIENCE, || wanted(&self.screen()));
        let screen = self.screen();
        assert!(seen, "{what}; the screen shows:\n{}", screen.text());
        screen
    }

    /// Types.
    pub fn press(&mut self, keys: &str) {
        let keyboard = self.keyboard.as_mut().expect("open");
        keyboard.write_all(keys.as_bytes()).and_then(|()| keyboard.flush()).expect("the terminal reads");
    }

    /// Waits for the end of the line of bash; gives its exit code.
    #[track_caller]
    pub fn end(&mut self) -> Option<i32> {
        let ended = holds_within(PATIENCE, || matches!(self.child.try_wait(), Ok(Some(_))));
        assert!(ended, "it goes on; the screen shows:\n{}", self.screen().text());
        self.child.wait().expect("its end").code()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // Closing the keyboard hangs up, which ends what still runs there.
        self.keyboard = None;
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A line and a column, from 0.
type Place = (usize, usize);

/// The characters on a screen, of its first page and its second.
#[expect(clippy::struct_excessive_bools, reason = "a terminal's modes, each by itself")]
pub struct Picture {
    lines: Vec<Vec<char>>,
    /// The first page and its cursor, while the second is shown.
    kept: Option<(Vec<Vec<char>>, Place)>,
    columns: usize,
    at: Place,
    pub cursor: bool,
    pub wraps: bool,
    /// Whether anything was ever written beyond the last column, or scrolled on the second page.
    pub overflowed: bool,
    pub coloured: bool,
}

impl Picture {
    fn new(columns: usize, rows: usize) -> Self {
        let lines = vec![vec![' '; columns]; rows];
        Self { lines, kept: None, columns, at: (0, 0), cursor: true, wraps: true, overflowed: false, coloured: false }
    }

    /// Whether the second page is shown.
    pub fn second_page(&self) -> bool {
        self.kept.is_some()
    }

    /// The lines without the blanks at their ends.
    pub fn text(&self) -> String {
        let line = |line: &Vec<char>| line.iter().collect::<String>().trim_end().to_owned();
        self.lines.iter().map(line).collect::<Vec<_>>().join("\n").trim_end().to_owned()
    }

    pub fn shows(&self, text: &str) -> bool {
        self.text().contains(text)
    }

    fn take(&mut self, sent: &str) {
        let mut rest = sent.chars();
        while let Some(c) = rest.next() {
            match c {
                '\x1b' => {
                    let mut sequence = String::new();
                    for c in rest.by_ref().skip_while(|c| *c == '[') {
                        sequence.push(c);
                        if c.is_ascii_alphabetic() {
                            break;
                        }
                    }
                    self.control(&sequence);
                }
                '\r' => self.at.1 = 0,
                '\n' => self.down(),
                c if c.is_control() => {}
                c => self.put(c),
            }
        }
    }

    fn control(&mut self, sequence: &str) {
        match sequence {
            "H" => self.at = (0, 0),
            "K" => {
                let (row, column) = self.at;
                self.lines[row][column.min(self.columns)..].fill(' ');
            }
            "J" => {
                let row = self.at.0;
                self.lines[row + 1..].iter_mut().for_each(|line| line.fill(' '));
            }
            "?1049h" => {
                let blank = vec![vec![' '; self.columns]; self.lines.len()];
                self.kept = Some((std::mem::replace(&mut self.lines, blank), self.at));
            }
            "?1049l" => (self.lines, self.at) = self.kept.take().expect("the second page was shown"),
            "?25l" | "?25h" => self.cursor = sequence.ends_with('h'),
            "?7l" | "?7h" => self.wraps = sequence.ends_with('h'),
            colour if colour.ends_with('m') => self.coloured |= !matches!(colour, "m" | "0m"),
            other => panic!("a sequence that this terminal doesn't know: {other:?}"),
        }
    }

    fn put(&mut self, c: char) {
        if self.at.1 >= self.columns {
            self.overflowed = true;
            if !self.wraps {
                return;
            }
            self.at.1 = 0;
            self.down();
        }
        let (row, column) = self.at;
        self.lines[row][column] = c;
        self.at.1 += 1;
    }

    fn down(&mut self) {
        if self.at.0 + 1 < self.lines.len() {
            self.at.0 += 1;
            return;
        }
        self.overflowed |= self.second_page();
        self.lines.rotate_left(1);
        let last = self.lines.len() - 1;
        self.lines[last].fill(' ');
    }
}
