//! Plays scripts against both sides and says what differs.

use super::mask::Mask;
use super::script::{Action, Section, Step, parse};
use super::side::{Kind, Side};
use super::wire::{Got, LIMIT, SILENCE, Wire, encode};
use crate::common::{holds_within, redis_server::RedisServer};
use std::collections::HashMap;
use std::fmt::Write as _;
use std::time::Instant;

/// What a side said, with the line that asked.
type Transcript = Vec<(usize, String)>;

/// Plays a whole script on servers of that kind; panics with every difference.
#[track_caller]
pub fn compare(kind: &Kind<'_>, text: &str) {
    let sections: Vec<Section> = parse(text)
        .into_iter()
        .filter(|section| section.only.is_empty() || section.only.iter().any(|only| only == kind.component))
        .collect();
    let sides = kind.both();
    let [direct, through] = std::thread::scope(|scope| {
        let runs = sides.each_ref().map(|side| scope.spawn(|| play_all(side, &sections)));
        runs.map(|run| run.join().expect("a side that runs to its end"))
    });
    let mut report = String::new();
    for ((section, left), right) in sections.iter().zip(&direct).zip(&through) {
        describe(&mut report, text, section, left, right);
        if left.last().is_some_and(|(_, reply)| reply.starts_with('(')) {
            let _ = writeln!(report, "{}: the server itself ends it: {:?}", section.name, left.last());
        }
    }
    let log = sides[1].pointsman.as_ref().map(|pointsman| tail(&pointsman.log())).unwrap_or_default();
    assert!(report.is_empty(), "{report}\nthe end of Pointsman's log:\n{log}");
}

fn tail(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}

/// The first difference of a section: what comes after it is its consequence.
fn describe(report: &mut String, text: &str, section: &Section, direct: &Transcript, through: &Transcript) {
    let longest = direct.len().max(through.len());
    let differs = (0..longest).find(|&index| direct.get(index) != through.get(index));
    if let Some(index) = differs {
        let show = |side: &Transcript| side.get(index).map_or("(nothing)".to_owned(), |(_, reply)| reply.clone());
        let line = direct.get(index).or(through.get(index)).map_or(0, |(line, _)| *line);
        let asked = text.lines().nth(line.saturating_sub(1)).unwrap_or_default();
        let _ = write!(
            report,
            "\n{}, line {line}: {asked}\n  direct:    {}\n  pointsman: {}\n",
            section.name,
            show(direct),
            show(through)
        );
    }
}

fn play_all(side: &Side, sections: &[Section]) -> Vec<Transcript> {
    let played = sections.iter().map(|section| {
        let mut server = side.admin();
        let (wires, kept, said) = (HashMap::new(), HashMap::new(), Vec::new());
        let transcript = Player { side, server: &mut server, wires, kept, said }.play(section);
        Side::tidy(&mut server);
        transcript
    });
    played.collect()
}

struct Player<'a> {
    side: &'a Side,
    server: &'a mut Wire,
    wires: HashMap<String, Wire>,
    kept: HashMap<String, Vec<u8>>,
    said: Transcript,
}

impl Player<'_> {
    /// Plays one section, to its end or to the first answer that does not come.
    fn play(mut self, section: &Section) -> Transcript {
        for step in &section.steps {
            if !self.step(step) {
                break;
            }
        }
        self.said
    }

    fn step(&mut self, step: &Step) -> bool {
        let words: Vec<Vec<u8>> = step.words.iter().map(|word| self.filled(word)).collect();
        match &step.action {
            Action::Server => {
                self.server.ask(&words);
                return true;
            }
            Action::WaitInfo => return self.wait_info(step, &words),
            Action::Close => {
                self.wires.remove(&step.connection);
                return true;
            }
            _ => {}
        }
        let side = self.side;
        let wire = self.wires.entry(step.connection.clone()).or_insert_with(|| side.connect());
        if matches!(step.action, Action::Ask(..) | Action::Keep(_) | Action::Send) {
            wire.send(&encode(&words));
        }
        match &step.action {
            Action::SendRaw => {
                wire.send(&words.concat());
                true
            }
            Action::Ask(count, mask) | Action::Read(count, mask) => (0..*count).all(|_| self.read(step, *mask)),
            Action::Keep(name) => self.keep(step, name),
            Action::Again(mask) => self.again(step, *mask, &words),
            Action::Until(mask) => self.until(step, *mask, &words[0]),
            Action::Closed => {
                let closed = wire.frame(LIMIT);
                self.unless(step, &closed, &Got::Closed)
            }
            Action::Silence => {
                let nothing = wire.frame(SILENCE);
                self.unless(step, &nothing, &Got::Silence)
            }
            _ => true,
        }
    }

    /// A word with what was kept put in.
    fn filled(&self, word: &[u8]) -> Vec<u8> {
        let name = word.strip_prefix(b"{").and_then(|rest| rest.strip_suffix(b"}"));
        let kept = name.and_then(|name| self.kept.get(std::str::from_utf8(name).ok()?));
        kept.cloned().unwrap_or_else(|| word.to_vec())
    }

    fn note(&mut self, step: &Step, text: String) {
        self.said.push((step.line, text));
    }

    /// Notes what came, in brackets if something else was expected: that ends the section.
    fn unless(&mut self, step: &Step, got: &Got, expected: &Got) -> bool {
        let text = match got {
            Got::Frame(frame) => Mask::None.apply(frame),
            other => format!("{other:?}"),
        };
        self.note(step, if got == expected { text } else { format!("({text})") });
        got == expected
    }

    fn next(&mut self, step: &Step) -> Result<Vec<u8>, Got> {
        match self.wires.get_mut(&step.connection).expect("just used").frame(LIMIT) {
            Got::Frame(frame) => Ok(frame),
            other => Err(other),
        }
    }

    fn read(&mut self, step: &Step, mask: Mask) -> bool {
        let got = self.next(step);
        let heard = got.is_ok();
        self.note(step, got.map_or_else(|other| format!("({other:?})"), |frame| mask.apply(&frame)));
        heard
    }

    fn keep(&mut self, step: &Step, name: &str) -> bool {
        let Ok(frame) = self.next(step) else {
            self.note(step, "(no answer)".to_owned());
            return false;
        };
        self.note(step, Mask::Type.apply(&frame));
        let end = frame.windows(2).position(|two| two == b"\r\n").expect("a line");
        let value = match frame[0] {
            b'$' => frame[end + 2..frame.len() - 2].to_vec(),
            _ => frame[1..end].to_vec(),
        };
        self.kept.insert(name.to_owned(), value);
        true
    }

    fn until(&mut self, step: &Step, mask: Mask, text: &[u8]) -> bool {
        for _ in 0..10_000 {
            match self.next(step) {
                Ok(frame) if frame.windows(text.len()).any(|part| part == text) => {
                    self.note(step, mask.apply(&frame));
                    return true;
                }
                Ok(_) => {}
                Err(other) => {
                    self.note(step, format!("({other:?})"));
                    return false;
                }
            }
        }
        false
    }

    fn again(&mut self, step: &Step, mask: Mask, words: &[Vec<u8>]) -> bool {
        let [text, command @ ..] = words else { panic!("line {}: a= TEXT COMMAND", step.line) };
        let end = Instant::now() + LIMIT;
        loop {
            self.wires.get_mut(&step.connection).expect("just used").send(&encode(command));
            let reply = self.next(step).unwrap_or_default();
            if reply.windows(text.len()).any(|part| part == text) {
                self.note(step, mask.apply(&reply));
                return true;
            }
            if Instant::now() > end {
                self.note(step, format!("({})", mask.apply(&reply)));
                return false;
            }
        }
    }

    fn wait_info(&mut self, step: &Step, words: &[Vec<u8>]) -> bool {
        let [field, value] = words else { panic!("line {}: wait FIELD VALUE", step.line) };
        let (field, value) = (String::from_utf8_lossy(field), String::from_utf8_lossy(value));
        let server: &RedisServer = &self.side.server;
        if holds_within(LIMIT, || server.info(&field) == value) {
            return true;
        }
        self.note(step, format!("({field} is {}, not {value})", server.info(&field)));
        false
    }
}
