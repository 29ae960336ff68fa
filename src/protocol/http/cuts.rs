//! Lines of a head that may have to be left out or replaced when it is written onwards.

use super::head::BadHead;

/// How many such lines a head may have; more are refused.
pub const MAX_CUTS: usize = 16;

/// Headers that the framing needs or that concern one hop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Line {
    Host,
    ContentLength,
    TransferEncoding,
    Connection,
    Expect,
    AcceptEncoding,
    ContentEncoding,
    /// Concerns one hop only, without being needed here.
    Hop,
}

impl Line {
    /// `None`: the header is handed on and not looked at.
    pub fn of(name: &str) -> Option<Self> {
        let (word, line) = match name.len() {
            2 => ("te", Self::Hop),
            4 => ("host", Self::Host),
            6 => ("expect", Self::Expect),
            7 => ("upgrade", Self::Hop),
            10 if name.as_bytes()[0] | 0x20 == b'c' => ("connection", Self::Connection),
            10 => ("keep-alive", Self::Hop),
            14 if name.as_bytes()[0] | 0x20 == b'c' => ("content-length", Self::ContentLength),
            14 => ("http2-settings", Self::Hop),
            15 => ("accept-encoding", Self::AcceptEncoding),
            16 if name.as_bytes()[0] | 0x20 == b'c' => ("content-encoding", Self::ContentEncoding),
            16 => ("proxy-connection", Self::Hop),
            17 => ("transfer-encoding", Self::TransferEncoding),
            _ => return None,
        };
        name.eq_ignore_ascii_case(word).then_some(line)
    }
}

/// The lines found, by their place in the head.
#[derive(Debug, Clone, Copy)]
pub struct Cuts {
    lines: [(Line, u32, u32); MAX_CUTS],
    len: usize,
}

impl Default for Cuts {
    fn default() -> Self {
        Self { lines: [(Line::Hop, 0, 0); MAX_CUTS], len: 0 }
    }
}

impl Cuts {
    pub fn push(&mut self, line: Line, (from, to): (usize, usize)) -> Result<(), BadHead> {
        if self.lines[..self.len].iter().any(|(_, at, _)| *at as usize == from) {
            return Ok(());
        }
        let place = self.lines.get_mut(self.len).ok_or(BadHead::TooManyHopByHop)?;
        let narrow = |offset| u32::try_from(offset).map_err(|_| BadHead::HeadTooLong(offset));
        *place = (line, narrow(from)?, narrow(to)?);
        self.len += 1;
        Ok(())
    }

    /// To be called when lines were pushed out of their order.
    pub fn sort(&mut self) {
        self.lines[..self.len].sort_unstable_by_key(|(_, from, _)| *from);
    }

    /// Appends the lines of `head` between `from` and the blank line, without those that `leave_out` picks.
    pub fn copy(&self, head: &[u8], mut from: usize, out: &mut Vec<u8>, leave_out: impl Fn(Line) -> bool) {
        for (line, start, end) in &self.lines[..self.len] {
            if leave_out(*line) {
                out.extend_from_slice(&head[from..*start as usize]);
                from = *end as usize;
            }
        }
        out.extend_from_slice(&head[from..head.len() - 2]);
    }
}
