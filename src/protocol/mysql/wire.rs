//! Integers and strings of the wire, each read checked against the bytes that are there.
//!
//! Source: the manual's "Protocol Basics", "Integers" and "Strings".

use std::fmt;

/// Bytes that don't hold what the protocol says they do: too short, or a length beyond the packet's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed;

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("malformed packet")
    }
}

impl std::error::Error for Malformed {}

/// Reads one packet's payload from its start to its end.
#[derive(Debug, Clone, Copy)]
pub struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    /// Starts at the payload's first byte.
    pub fn new(payload: &'a [u8]) -> Self {
        Self { rest: payload }
    }

    /// What was not read yet; reads nothing.
    pub fn left(&self) -> &'a [u8] {
        self.rest
    }

    /// True when everything was read.
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next `count` bytes.
    #[inline]
    pub fn take(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(Malformed)?;
        self.rest = rest;
        Ok(taken)
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(Malformed)?;
        self.rest = rest;
        Ok(*taken)
    }

    /// One byte.
    #[inline]
    pub fn u8(&mut self) -> Result<u8, Malformed> {
        self.array::<1>().map(|[byte]| byte)
    }

    /// Two bytes, least significant first.
    #[inline]
    pub fn u16(&mut self) -> Result<u16, Malformed> {
        self.array().map(u16::from_le_bytes)
    }

    /// Four bytes, least significant first.
    #[inline]
    pub fn u32(&mut self) -> Result<u32, Malformed> {
        self.array().map(u32::from_le_bytes)
    }

    /// Eight bytes, least significant first.
    #[inline]
    pub fn u64(&mut self) -> Result<u64, Malformed> {
        self.array().map(u64::from_le_bytes)
    }

    /// A length-encoded integer. A first byte of 0xfb (NULL) or 0xff (an error) is none.
    #[inline]
    pub fn lenenc(&mut self) -> Result<u64, Malformed> {
        match self.u8()? {
            small @ 0..=0xfa => Ok(u64::from(small)),
            0xfc => self.u16().map(u64::from),
            0xfd => self.array::<3>().map(|[a, b, c]| u64::from(u32::from_le_bytes([a, b, c, 0]))),
            0xfe => self.u64(),
            0xfb | 0xff => Err(Malformed),
        }
    }

    /// A string behind its length-encoded length.
    #[inline]
    pub fn lenenc_bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let len = usize::try_from(self.lenenc()?).map_err(|_| Malformed)?;
        self.take(len)
    }

    /// A string that a zero byte ends; the zero byte is read too, and must be there.
    pub fn nul(&mut self) -> Result<&'a [u8], Malformed> {
        let end = self.rest.iter().position(|&byte| byte == 0).ok_or(Malformed)?;
        let text = self.take(end)?;
        self.take(1)?;
        Ok(text)
    }

    /// A string that a zero byte or the packet's end ends.
    pub fn nul_or_rest(&mut self) -> &'a [u8] {
        self.nul().unwrap_or_else(|Malformed| std::mem::take(&mut self.rest))
    }

    /// Everything that is left.
    pub fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.rest)
    }
}

/// Appends a length-encoded integer in its shortest form.
pub fn put_lenenc(out: &mut Vec<u8>, value: u64) {
    let bytes = value.to_le_bytes();
    match value {
        0..=0xfa => out.push(bytes[0]),
        0xfb..=0xffff => {
            out.push(0xfc);
            out.extend_from_slice(&bytes[..2]);
        }
        0x1_0000..=0xff_ffff => {
            out.push(0xfd);
            out.extend_from_slice(&bytes[..3]);
        }
        _ => {
            out.push(0xfe);
            out.extend_from_slice(&bytes);
        }
    }
}

/// Appends a string behind its length-encoded length.
pub fn put_lenenc_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_lenenc(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Appends a string and the zero byte that ends it. A zero byte inside the string would end it early, so the string is cut there.
pub fn put_nul(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend(bytes.iter().copied().take_while(|&byte| byte != 0));
    out.push(0);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(value: u64, bytes: Vec<u8>) {
            let mut out = Vec::new();
            put_lenenc(&mut out, value);
            put_lenenc_bytes(&mut out, &bytes);
            let mut cursor = Cursor::new(&out);
            prop_assert_eq!(cursor.lenenc(), Ok(value));
            prop_assert_eq!(cursor.lenenc_bytes(), Ok(bytes.as_slice()));
            prop_assert!(cursor.is_empty());
            for cut in 0..out.len() {
                let mut cursor = Cursor::new(&out[..cut]);
                prop_assert!(cursor.lenenc().and_then(|_| cursor.lenenc_bytes()).is_err());
            }
        }
    }

    #[test]
    fn lengths_change_form_where_the_manual_says() {
        for (value, len) in
            [(0xfa, 1), (0xfb, 3), (0xffff, 3), (0x1_0000, 4), (0xff_ffff, 4), (0x100_0000, 9), (u64::MAX, 9)]
        {
            let mut out = Vec::new();
            put_lenenc(&mut out, value);
            assert_eq!(out.len(), len, "{value:#x}");
        }
    }

    #[test]
    fn null_and_error_are_no_lengths() {
        assert_eq!(Cursor::new(&[0xfb]).lenenc(), Err(Malformed));
        assert_eq!(Cursor::new(&[0xff]).lenenc(), Err(Malformed));
        assert_eq!(Cursor::new(b"\xfe\xff\xff\xff\xff\xff\xff\xff\xffx").lenenc_bytes(), Err(Malformed));
    }

    #[test]
    fn zero_ended_strings() {
        let mut cursor = Cursor::new(b"ab\0cd");
        assert_eq!((cursor.nul(), cursor.nul()), (Ok(&b"ab"[..]), Err(Malformed)));
        assert_eq!((cursor.nul_or_rest(), cursor.is_empty()), (&b"cd"[..], true));
        let mut out = Vec::new();
        put_nul(&mut out, b"a\0b");
        assert_eq!(out, b"a\0");
    }
}
