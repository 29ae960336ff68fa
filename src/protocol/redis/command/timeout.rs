//! Reads and changes how long a blocking command waits, so that it can be issued again with the time it has left.

use std::time::Duration;

use super::classify::Timeout;
use crate::protocol::redis::scan::{Limits, RequestScanner, Scan};

/// How long a blocking command still has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remaining {
    /// It waits for good.
    Forever,
    /// This long.
    For(Duration),
}

/// What the request asks for; `None` when its timeout can't be read (the server will refuse it).
pub fn block_timeout(frame: &[u8], place: Timeout) -> Option<Remaining> {
    let (start, end) = span(frame, place)?;
    let text = std::str::from_utf8(frame.get(start..end)?).ok()?;
    let duration = match place {
        Timeout::LastSeconds | Timeout::FirstSeconds => Duration::try_from_secs_f64(text.parse().ok()?).ok()?,
        Timeout::BlockMillis | Timeout::LastMillis => Duration::from_millis(text.parse().ok()?),
    };
    Some(if duration.is_zero() { Remaining::Forever } else { Remaining::For(duration) })
}

/// The same request with another timeout; the frame as it is when its timeout can't be found. A time that has run out becomes
/// the shortest one that isn't "for good": a millisecond.
pub fn rewrite_timeout(frame: &[u8], place: Timeout, remaining: Remaining) -> Vec<u8> {
    let Some((start, end)) = span(frame, place) else { return frame.to_vec() };
    let millis = match remaining {
        Remaining::Forever => 0,
        Remaining::For(left) => left.as_millis().max(1),
    };
    let text = match place {
        Timeout::LastSeconds | Timeout::FirstSeconds => format!("{}.{:03}", millis / 1000, millis % 1000),
        Timeout::BlockMillis | Timeout::LastMillis => millis.to_string(),
    };
    // The header line of the argument is replaced with it: `$LEN\r\n` ends where the argument starts.
    let header = frame.get(..start).and_then(|before| before.iter().rposition(|&b| b == b'$'));
    let (Some(before), Some(after)) = (header.and_then(|at| frame.get(..at)), frame.get(end..)) else {
        return frame.to_vec();
    };
    [before, format!("${}\r\n{text}", text.len()).as_bytes(), after].concat()
}

/// How long a `CLIENT PAUSE` lasts; `None` for `CLIENT UNPAUSE`.
pub fn pause_length(frame: &[u8]) -> Option<Duration> {
    let (start, end) = arguments(frame)?.get(2).copied()?;
    std::str::from_utf8(frame.get(start..end)?).ok()?.parse().ok().map(Duration::from_millis)
}

/// Where the timeout's text is in the frame.
fn span(frame: &[u8], place: Timeout) -> Option<(usize, usize)> {
    let args = arguments(frame)?;
    match place {
        Timeout::LastSeconds | Timeout::LastMillis => args.last().copied(),
        Timeout::FirstSeconds => args.get(1).copied(),
        Timeout::BlockMillis => {
            let block = args.iter().position(|&(start, end)| {
                frame.get(start..end).is_some_and(|word| word.eq_ignore_ascii_case(b"BLOCK"))
            })?;
            args.get(block + 1).copied()
        }
    }
}

/// Start and end of every argument of a whole request.
pub(in crate::protocol::redis) fn arguments(frame: &[u8]) -> Option<Vec<(usize, usize)>> {
    let Ok(Scan::Complete(head)) =
        RequestScanner::default().next(frame, &Limits { max_bulk: u64::MAX, authenticated: true })
    else {
        return None;
    };
    let line = |from: usize| frame.get(from..)?.iter().position(|&b| b == b'\n').map(|at| from + at + 1);
    let mut at = line(0)?;
    let mut args = Vec::new();
    for _ in 0..head.argc {
        let start = line(at)?;
        let digits = frame.get(at + 1..start)?.trim_ascii_end();
        let len: usize = std::str::from_utf8(digits).ok()?.parse().ok()?;
        args.push((start, start.checked_add(len)?));
        at = start.checked_add(len)?.checked_add(2)?;
    }
    Some(args)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::redis::scan::expand_inline;

    fn frame(line: &str) -> Vec<u8> {
        let mut out = Vec::new();
        expand_inline(line.as_bytes(), &mut out).expect(line);
        out
    }

    #[test]
    fn each_place_is_read_and_rewritten() {
        let left = Remaining::For(Duration::from_millis(1250));
        for (line, place, was, becomes) in [
            ("BLPOP a b 30", Timeout::LastSeconds, 30_000, "BLPOP a b 1.250"),
            ("BZMPOP 0.5 1 a MIN", Timeout::FirstSeconds, 500, "BZMPOP 1.250 1 a MIN"),
            (
                "XREAD COUNT 2 block 5000 STREAMS s 0",
                Timeout::BlockMillis,
                5000,
                "XREAD COUNT 2 block 1250 STREAMS s 0",
            ),
            ("WAIT 1 100", Timeout::LastMillis, 100, "WAIT 1 1250"),
        ] {
            let bytes = frame(line);
            assert_eq!(block_timeout(&bytes, place), Some(Remaining::For(Duration::from_millis(was))), "{line}");
            assert_eq!(rewrite_timeout(&bytes, place, left), frame(becomes), "{line}");
        }
    }

    #[test]
    fn a_pause_says_how_long() {
        assert_eq!(pause_length(&frame("CLIENT PAUSE 1500 WRITE")), Some(Duration::from_millis(1500)));
        assert_eq!(pause_length(&frame("CLIENT UNPAUSE")), None);
    }

    #[test]
    fn zero_means_for_good_and_run_out_means_at_once() {
        let bytes = frame("BLPOP a 0");
        assert_eq!(block_timeout(&bytes, Timeout::LastSeconds), Some(Remaining::Forever));
        assert_eq!(rewrite_timeout(&bytes, Timeout::LastSeconds, Remaining::Forever), frame("BLPOP a 0.000"));
        assert_eq!(
            rewrite_timeout(&bytes, Timeout::LastSeconds, Remaining::For(Duration::ZERO)),
            frame("BLPOP a 0.001")
        );
    }

    #[test]
    fn what_the_server_will_refuse_stays_as_it_is() {
        for line in ["BLPOP a x", "BLPOP a -1", "BLPOP a nan", "BLPOP a 1e400"] {
            assert_eq!(block_timeout(&frame(line), Timeout::LastSeconds), None, "{line}");
        }
        assert_eq!(rewrite_timeout(b"nonsense", Timeout::LastSeconds, Remaining::Forever), b"nonsense");
    }
}
