//! `pointsman status --watch`: the same table again and again, on a terminal in place.
//!
//! Inputs: what the API answers each second, or five times a second while something moves; signals; the terminal's size. Outputs: a
//! picture, and plain words when Pointsman went away: what is shown then is old. It never leaves the terminal other than it found it.

use super::{
    args::Status,
    client::Client,
    exit::{Exit, complain},
    output::show,
    status::{self, Picture},
    table,
};
use crate::model::view::{ServiceView, Standing};
use jiff::{SignedDuration, Timestamp};
use rustix::process::{Signal, getpid, kill_process};
use std::{io::IsTerminal, time::Duration};
use tokio::signal::unix::{Signal as Signals, SignalKind, signal};

/// From one look to the next.
const AGAIN: Duration = Duration::from_secs(1);
/// The same, while something moves.
const SOON: Duration = Duration::from_millis(200);
/// A Pointsman that answers later than this is out of touch: what is on the screen may be wrong by now.
const ANSWER: Duration = Duration::from_secs(3);
/// A terminal that doesn't say how large it is.
const SIZE: (usize, usize) = (80, 24);

/// Looks until it is told to stop. Nobody there from the start ends it at once, as without `--watch`.
pub(super) async fn run(client: &Client, options: &Status, color: bool) -> Exit {
    let picture = match status::look(client, options.svc.as_deref()).await {
        Ok(picture) => picture,
        Err(blind) => return blind.complain(),
    };
    let mut wishes = match Wishes::listen() {
        Ok(wishes) => wishes,
        Err(error) => return complain(Exit::Unknown, &format!("the system gives no signals: {error}")),
    };
    let terminal = std::io::stdout().is_terminal() && !options.json;
    let mut watch = Watch {
        client,
        options,
        color,
        screen: terminal.then(Screen::enter),
        picture,
        seen: Timestamp::now(),
        lost: None,
    };
    loop {
        if !watch.show() {
            return Exit::Done;
        }
        match wishes.next(watch.patience()).await {
            Wish::Look => {
                if let Some(exit) = watch.look().await {
                    return exit;
                }
            }
            Wish::Redraw => {}
            Wish::Rest => watch.rest(),
            Wish::Stop => return watch.end(),
        }
    }
}

/// What is on the screen, and how old it is.
struct Watch<'a> {
    client: &'a Client,
    options: &'a Status,
    color: bool,
    /// There is one on a terminal.
    screen: Option<Screen>,
    picture: Picture,
    /// When that was so.
    seen: Timestamp,
    /// Why nothing newer is known.
    lost: Option<String>,
}

impl Watch<'_> {
    /// False when nobody reads any more.
    fn show(&self) -> bool {
        match (&self.screen, &self.lost) {
            (Some(_), lost) => {
                draw(self.client, &self.picture, lost.as_deref().map(|why| (self.seen, why)), self.color)
            }
            (None, Some(_)) => true,
            (None, None) => print(&self.picture, self.options.json),
        }
    }

    fn patience(&self) -> Duration {
        if self.lost.is_none() && self.picture.views.iter().any(moves) { SOON } else { AGAIN }
    }

    /// An exit code where there is no use in looking again.
    async fn look(&mut self) -> Option<Exit> {
        let look = tokio::time::timeout(ANSWER, status::look(self.client, self.options.svc.as_deref()));
        let lost = match look.await {
            Ok(Ok(picture)) => {
                if self.lost.take().is_some() && self.screen.is_none() {
                    eprintln!("pointsman: in touch again");
                }
                (self.picture, self.seen) = (picture, Timestamp::now());
                return None;
            }
            // It answered, and won't answer otherwise: the service is gone, or we may not ask. What is complained about must not
            // go away with the screen.
            Ok(Err(blind)) if blind.is_final() => {
                self.screen = None;
                return Some(blind.complain());
            }
            Ok(Err(blind)) => blind.to_string(),
            Err(_) => format!("{} did not answer within {} s", self.client, ANSWER.as_secs()),
        };
        if self.lost.is_none() && self.screen.is_none() {
            eprintln!("pointsman: {}", out_of_touch(self.seen, &lost));
        }
        self.lost = Some(lost);
        None
    }

    /// Ctrl-Z: the shell gets its terminal as it was, until it brings us to the foreground again.
    fn rest(&mut self) {
        let watched = self.screen.take().is_some();
        // A process may always stop itself.
        let _ = kill_process(getpid(), Signal::STOP);
        self.screen = watched.then(Screen::enter);
    }

    /// The last picture stays where the shell goes on.
    fn end(&mut self) -> Exit {
        if self.screen.take().is_some() {
            let lost = self.lost.as_ref().map(|why| out_of_touch(self.seen, why) + "\n").unwrap_or_default();
            show(format_args!("{lost}{}", self.picture.text(size().0, self.color)));
        }
        Exit::Done
    }
}

/// Whether a second is a long time for what this service does now.
fn moves(view: &ServiceView) -> bool {
    use Standing::{Holding, Isolated, Returning, Suspect, Switching};
    view.operation.is_some() || matches!(view.state, Suspect | Holding | Switching | Returning | Isolated)
}

fn out_of_touch(since: Timestamp, why: &str) -> String {
    let age = Timestamp::now().duration_since(since);
    let age = SignedDuration::from_secs(age.as_secs().max(0));
    format!("LOST TOUCH since {} ({age:#}), what is shown is old: {why}", clock(since))
}

fn clock(time: Timestamp) -> String {
    time.strftime("%H:%M:%SZ").to_string()
}

fn print(picture: &Picture, json: bool) -> bool {
    if json {
        show(format_args!("{}\n", picture.json()))
    } else {
        show(format_args!("{}\n", picture.text(table::width(), false)))
    }
}

/// One picture, over the one before. Each line is cleared behind its end, and the screen below the last.
fn draw(client: &Client, picture: &Picture, lost: Option<(Timestamp, &str)>, color: bool) -> bool {
    let (columns, rows) = size();
    let mut lines: Vec<String> = Vec::new();
    match lost {
        None => {
            let time = clock(Timestamp::now());
            let (long, short) = (format!("{time}  {client}  Ctrl-C ends"), format!("{time}  Ctrl-C ends"));
            lines.push(if long.chars().count() <= columns { long } else { short });
        }
        Some((since, why)) => {
            let loud = |line: String| if color { format!("\x1b[1;31m{line}\x1b[0m") } else { line };
            lines.extend(wrap(&out_of_touch(since, why), columns).into_iter().map(loud));
        }
    }
    lines.push(String::new());
    lines.extend(picture.text(columns, color).lines().flat_map(|line| wrap(line, columns)));
    if lines.len() > rows {
        let hidden = lines.len() - rows + 1;
        lines.truncate(rows - 1);
        let (short, more) = (format!("… {hidden} more lines"), ": a higher window, or one service by its name");
        lines.push(if short.len() + more.len() <= columns { short + more } else { short });
    }
    let text = lines.join("\x1b[K\r\n");
    show(format_args!("\x1b[H{text}\x1b[K\x1b[J"))
}

/// Cuts a line between words so that each piece fits; further ones are indented. What has colours is a row of the table, made to fit.
fn wrap(line: &str, columns: usize) -> Vec<String> {
    if line.chars().count() <= columns || line.contains('\x1b') || columns < 8 {
        return vec![line.to_owned()];
    }
    let mut pieces = vec![String::new()];
    for word in line.split_inclusive(' ') {
        let fits = |piece: &String| piece.chars().count() + word.trim_end().chars().count() <= columns;
        match pieces.last_mut() {
            Some(piece) if fits(piece) => piece.push_str(word),
            _ => pieces.push(format!("  {word}")),
        }
    }
    pieces.retain(|piece| !piece.trim().is_empty());
    pieces.iter().map(|piece| piece.trim_end().to_owned()).collect()
}

/// Columns and rows of the terminal.
fn size() -> (usize, usize) {
    rustix::termios::tcgetwinsize(std::io::stdout())
        .ok()
        .filter(|size| size.ws_col > 0 && size.ws_row > 1)
        .map_or(SIZE, |size| (usize::from(size.ws_col), usize::from(size.ws_row)))
}

/// The terminal's second page, without a cursor and without breaking long lines. Dropping it gives the first page back, whatever ended
/// the watching.
struct Screen;

impl Screen {
    fn enter() -> Self {
        show(format_args!("\x1b[?1049h\x1b[?25l\x1b[?7l"));
        Self
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        show(format_args!("\x1b[?7h\x1b[?25h\x1b[?1049l"));
    }
}

/// What comes next.
enum Wish {
    Look,
    Redraw,
    Rest,
    Stop,
}

/// The signals that say so.
struct Wishes {
    stop: [Signals; 3],
    resized: Signals,
    rest: Signals,
}

impl Wishes {
    fn listen() -> std::io::Result<Self> {
        let stop = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()].map(signal);
        let [interrupt, terminate, hangup] = stop;
        Ok(Self {
            stop: [interrupt?, terminate?, hangup?],
            resized: signal(SignalKind::window_change())?,
            rest: signal(SignalKind::from_raw(Signal::TSTP.as_raw()))?,
        })
    }

    async fn next(&mut self, patience: Duration) -> Wish {
        let [interrupt, terminate, hangup] = &mut self.stop;
        tokio::select! {
            _ = interrupt.recv() => Wish::Stop,
            _ = terminate.recv() => Wish::Stop,
            _ = hangup.recv() => Wish::Stop,
            _ = self.rest.recv() => Wish::Rest,
            _ = self.resized.recv() => Wish::Redraw,
            () = tokio::time::sleep(patience) => Wish::Look,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lines_are_cut_between_words() {
        assert_eq!(wrap("short", 10), ["short"]);
        assert_eq!(wrap("one two three four", 10), ["one two", "  three", "  four"]);
        assert_eq!(wrap("unbreakablewordthatislong", 10), ["  unbreakablewordthatislong"]);
        assert_eq!(wrap("\x1b[31mcoloured row of a table\x1b[0m", 10).len(), 1);
    }

    #[test]
    fn being_out_of_touch_says_since_when() {
        let since = Timestamp::now() - SignedDuration::from_secs(75);
        let said = out_of_touch(since, "no Pointsman answers");
        assert!(said.starts_with(&format!("LOST TOUCH since {} (1m 15s), ", clock(since))), "{said}");
    }
}
