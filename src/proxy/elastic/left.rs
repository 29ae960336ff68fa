//! What is still to come of a message's body.

use crate::protocol::http::{BadChunk, Body, ChunkScanner, Scanned};

/// What is still to come of a body.
#[derive(Clone, Copy, Debug)]
pub enum Left {
    /// Nothing.
    Nothing,
    /// So many bytes, at least one.
    Length(u64),
    /// Chunks.
    Chunked(ChunkScanner),
    /// All until the connection ends.
    UntilClose,
}

impl Left {
    /// All of a body.
    pub fn of(body: Body) -> Self {
        match body {
            Body::None => Self::Nothing,
            Body::Length(length) => Self::Length(length),
            Body::Chunked => Self::Chunked(ChunkScanner::default()),
            Body::UntilClose => Self::UntilClose,
        }
    }

    /// True when nothing is.
    pub fn is_nothing(&self) -> bool {
        matches!(self, Self::Nothing)
    }

    /// How many of the next bytes belong to the body.
    pub fn pass(&mut self, bytes: &[u8]) -> Result<usize, BadChunk> {
        if let Self::Chunked(scanner) = self {
            let found = scanner.scan(bytes)?;
            return Ok(self.scanned(found));
        }
        Ok(self.count(bytes.len()))
    }

    /// The same; what they carry, without the framing of chunks, is appended to `out`.
    pub fn decode(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<usize, BadChunk> {
        if let Self::Chunked(scanner) = self {
            let found = scanner.decode(bytes, out)?;
            return Ok(self.scanned(found));
        }
        let len = self.count(bytes.len());
        out.extend_from_slice(bytes.get(..len).unwrap_or_default());
        Ok(len)
    }

    fn scanned(&mut self, found: Scanned) -> usize {
        if found.done {
            *self = Self::Nothing;
        }
        found.len
    }

    fn count(&mut self, len: usize) -> usize {
        match self {
            Self::Nothing | Self::Chunked(_) => 0,
            Self::UntilClose => len,
            Self::Length(left) => {
                let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(len);
                *left -= taken as u64;
                if *left == 0 {
                    *self = Self::Nothing;
                }
                taken
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_ends_where_its_framing_says() {
        let mut left = Left::of(Body::Length(5));
        assert_eq!(left.pass(b"abc"), Ok(3));
        assert!(!left.is_nothing());
        let mut out = Vec::new();
        assert_eq!(left.decode(b"deGET /", &mut out), Ok(2));
        assert!(left.is_nothing() && out == b"de");
        assert_eq!(left.pass(b"x"), Ok(0));

        let mut left = Left::of(Body::Chunked);
        out.clear();
        assert_eq!(left.decode(b"3\r\nabc\r\n0\r", &mut out), Ok(10));
        assert!(!left.is_nothing());
        assert_eq!(left.decode(b"\n\r\nGET", &mut out), Ok(3));
        assert!(left.is_nothing() && out == b"abc");

        let mut left = Left::of(Body::UntilClose);
        assert_eq!(left.pass(b"all"), Ok(3));
        assert!(!left.is_nothing());
    }
}
