//! Codings of a body (RFC 9110, 8.4) that have to be undone where a body is read and not only passed.
//!
//! Input: a whole body and the value of `Content-Encoding`. Output: the bytes without the coding, never more than the caller allows: a small
//! body may stand for a huge one. It doesn't code anything: what was read is sent on without a coding.

use flate2::read::{MultiGzDecoder, ZlibDecoder};
use std::io::Read;

/// How a body is coded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coding {
    /// Not at all.
    Plain,
    /// By gzip (RFC 1952).
    Gzip,
    /// By zlib (RFC 1950), which is called `deflate`.
    Deflate,
    /// In a way, or several, that isn't undone here.
    Unknown,
}

/// Why a coding can't be undone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Undecodable {
    /// The bytes are not what the header says, or the coding isn't known.
    Broken,
    /// There is more than was allowed.
    TooLong,
}

impl Coding {
    /// What the value of `Content-Encoding` means; absent, it is plain.
    pub fn of(value: Option<&[u8]>) -> Self {
        let is = |word: &str| value.is_some_and(|value| value.eq_ignore_ascii_case(word.as_bytes()));
        match value {
            None => Self::Plain,
            Some(_) if is("identity") || is("") => Self::Plain,
            Some(_) if is("gzip") || is("x-gzip") => Self::Gzip,
            Some(_) if is("deflate") => Self::Deflate,
            Some(_) => Self::Unknown,
        }
    }

    /// The body without its coding, if that has at most `most` bytes.
    pub fn undo(self, body: &[u8], most: usize) -> Result<Vec<u8>, Undecodable> {
        let mut plain = Vec::new();
        // One byte more tells a body that is too long from one that just fits.
        let limit = most as u64 + 1;
        let read = match self {
            Self::Plain => body.take(limit).read_to_end(&mut plain),
            Self::Gzip => MultiGzDecoder::new(body).take(limit).read_to_end(&mut plain),
            Self::Deflate => ZlibDecoder::new(body).take(limit).read_to_end(&mut plain),
            Self::Unknown => return Err(Undecodable::Broken),
        };
        match read {
            Ok(length) if length > most => Err(Undecodable::TooLong),
            Ok(_) => Ok(plain),
            Err(_) => Err(Undecodable::Broken),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{
        Compression,
        write::{GzEncoder, ZlibEncoder},
    };
    use std::io::Write;

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(text).expect("a Vec takes everything");
        encoder.finish().expect("a Vec takes everything")
    }

    #[test]
    fn a_coding_is_known_by_its_name() {
        let table = [
            ("gzip", Coding::Gzip),
            ("X-GZIP", Coding::Gzip),
            ("Deflate", Coding::Deflate),
            ("identity", Coding::Plain),
        ];
        for (name, coding) in table {
            assert_eq!(Coding::of(Some(name.as_bytes())), coding, "{name}");
        }
        assert_eq!(Coding::of(None), Coding::Plain);
        assert_eq!(Coding::of(Some(b"gzip, gzip")), Coding::Unknown);
    }

    #[test]
    fn a_body_is_read_whole_and_within_its_bound() {
        let text = b"{\"scroll_id\":\"pm.a.1\"}";
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(text).expect("a Vec takes everything");
        let deflated = encoder.finish().expect("a Vec takes everything");
        let zipped = gzip(text);
        assert_eq!(Coding::Gzip.undo(&zipped, text.len()).as_deref(), Ok(&text[..]));
        assert_eq!(Coding::Deflate.undo(&deflated, text.len()).as_deref(), Ok(&text[..]));
        assert_eq!(Coding::Gzip.undo(&zipped, text.len() - 1), Err(Undecodable::TooLong));
        let bomb = gzip(&vec![b' '; 50 << 20]);
        assert_eq!(Coding::Gzip.undo(&bomb, 1 << 20), Err(Undecodable::TooLong));
        for end in 0..zipped.len() {
            assert_eq!(Coding::Gzip.undo(&zipped[..end], 1 << 20), Err(Undecodable::Broken), "cut at {end}");
        }
        assert_eq!(Coding::Unknown.undo(text, 1 << 20), Err(Undecodable::Broken));
    }
}
