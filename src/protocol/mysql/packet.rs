//! Packets: a header of a three-byte length and a sequence number, and a payload.
//!
//! A *logical* packet of [`MAX_PAYLOAD`] bytes or more is sent as several *physical* ones; the last is shorter than that, and may be empty.
//! [`Framer`] follows logical packets through slices cut anywhere without holding a byte of them.
//!
//! Source: the manual's "MySQL Packets".

/// Bytes of a header.
pub const HEADER: usize = 4;

/// The longest payload of a physical packet; one of exactly this length is followed by another that continues it.
pub const MAX_PAYLOAD: usize = 0xff_ffff;

/// A physical packet's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Bytes of payload, 0 to [`MAX_PAYLOAD`].
    pub len: usize,
    /// Counts up from 0 within a command and its answer, and wraps.
    pub sequence: u8,
}

impl Header {
    /// The header at the front of `buf`; `None` if it isn't wholly there.
    #[inline]
    pub fn read(buf: &[u8]) -> Option<Self> {
        let &[a, b, c, sequence] = buf.first_chunk()?;
        Some(Self { len: u32::from_le_bytes([a, b, c, 0]) as usize, sequence })
    }

    /// The header's bytes. A length above [`MAX_PAYLOAD`] can't be said and loses its upper bits: [`write`] splits.
    #[inline]
    pub fn bytes(self) -> [u8; HEADER] {
        let [a, b, c, ..] = self.len.to_le_bytes();
        [a, b, c, self.sequence]
    }

    /// True when another physical packet continues this one.
    #[inline]
    pub fn continues(self) -> bool {
        self.len == MAX_PAYLOAD
    }
}

/// The physical packet at the front of `buf`, header and payload; `None` if it isn't wholly there.
#[inline]
pub fn read(buf: &[u8]) -> Option<(Header, &[u8])> {
    let header = Header::read(buf)?;
    Some((header, buf.get(HEADER..HEADER + header.len)?))
}

/// Appends a logical packet, split as its length asks. Returns the sequence number that the next packet has.
pub fn write(out: &mut Vec<u8>, sequence: u8, payload: &[u8]) -> u8 {
    let (mut rest, mut sequence) = (payload, sequence);
    loop {
        let (piece, tail) = rest.split_at(rest.len().min(MAX_PAYLOAD));
        out.extend_from_slice(&Header { len: piece.len(), sequence }.bytes());
        out.extend_from_slice(piece);
        sequence = sequence.wrapping_add(1);
        if piece.len() < MAX_PAYLOAD {
            return sequence;
        }
        rest = tail;
    }
}

/// Appends a packet whose payload `fill` appends, without a copy of it unless it has to be split. Returns the next sequence number.
pub fn write_with(out: &mut Vec<u8>, sequence: u8, fill: impl FnOnce(&mut Vec<u8>)) -> u8 {
    let start = out.len();
    out.extend_from_slice(&[0; HEADER]);
    fill(out);
    let len = out.len() - start - HEADER;
    if len >= MAX_PAYLOAD {
        let payload = out.split_off(start + HEADER);
        out.truncate(start);
        return write(out, sequence, &payload);
    }
    out[start..start + HEADER].copy_from_slice(&Header { len, sequence }.bytes());
    sequence.wrapping_add(1)
}

/// Appends a command: sequence 0, the command's byte, its argument.
pub fn command(out: &mut Vec<u8>, command: u8, argument: &[u8]) {
    write_with(out, 0, |out| {
        out.push(command);
        out.extend_from_slice(argument);
    });
}

/// What [`Framer::next`] found in a slice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Framed {
    /// Bytes from the slice's start that belong to the current logical packet, headers included.
    pub len: usize,
    /// True when the logical packet ends with them.
    pub ended: bool,
}

/// Follows one logical packet after another through slices cut anywhere; 12 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Framer {
    /// Payload bytes of the current physical packet that are still to come.
    left: u32,
    /// The header's length field so far.
    len: [u8; 3],
    /// Bytes of the current header that were seen.
    header: u8,
    /// True from the end of a physical packet of [`MAX_PAYLOAD`] to the end of the last that continues it.
    continued: bool,
}

impl Framer {
    /// Takes the bytes at the front of `buf` that belong to the current logical packet (the next one, if none has begun). They are consumed:
    /// the next call starts behind them.
    #[inline]
    pub fn next(&mut self, buf: &[u8]) -> Framed {
        // Nearly every packet is short and wholly there.
        if self.is_idle()
            && let Some(header) = Header::read(buf)
            && !header.continues()
            && buf.len() >= HEADER + header.len
        {
            return Framed { len: HEADER + header.len, ended: true };
        }
        self.slowly(buf)
    }

    fn slowly(&mut self, buf: &[u8]) -> Framed {
        let mut at = 0;
        loop {
            while usize::from(self.header) < HEADER {
                let Some(&byte) = buf.get(at) else { return Framed { len: at, ended: false } };
                at += 1;
                if let Some(slot) = self.len.get_mut(usize::from(self.header)) {
                    *slot = byte;
                }
                self.header += 1;
                let [a, b, c] = self.len;
                self.left = u32::from_le_bytes([a, b, c, 0]);
            }
            let taken = self.left.min(u32::try_from(buf.len() - at).unwrap_or(u32::MAX));
            at += taken as usize;
            self.left -= taken;
            if self.left > 0 {
                return Framed { len: at, ended: false };
            }
            let continued = self.len == [0xff; 3];
            *self = Self { continued, ..Self::default() };
            if !continued {
                return Framed { len: at, ended: true };
            }
        }
    }

    /// True between logical packets.
    #[inline]
    pub fn is_idle(&self) -> bool {
        self.header == 0 && !self.continued
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_packets_are_split_and_the_last_part_is_shorter() {
        for len in
            [0, 1, MAX_PAYLOAD - 2, MAX_PAYLOAD - 1, MAX_PAYLOAD, MAX_PAYLOAD + 1, MAX_PAYLOAD + 2, 2 * MAX_PAYLOAD]
        {
            let payload = vec![7; len];
            let (mut out, mut same) = (Vec::new(), Vec::new());
            let next = write(&mut out, 254, &payload);
            let parts = len / MAX_PAYLOAD + 1;
            assert_eq!(out.len(), len + parts * HEADER, "{len}");
            assert_eq!(next, 254_u8.wrapping_add(u8::try_from(parts).expect("few parts")));
            assert_eq!(write_with(&mut same, 254, |out| out.extend_from_slice(&payload)), next);
            assert!(out == same);
            let (mut rest, mut found) = (out.as_slice(), Vec::new());
            while let Some((header, payload)) = read(rest) {
                found.push(header);
                rest = &rest[HEADER + payload.len()..];
            }
            assert!(rest.is_empty());
            assert_eq!(found.len(), parts);
            assert!(found.iter().rev().skip(1).all(|header| header.continues()) && !found[parts - 1].continues());
            assert!(
                (254..).zip(&found).all(|(sequence, header): (u32, _)| u32::from(header.sequence) == sequence % 256)
            );
        }
    }

    /// Ends of the logical packets in `bytes` when they come in pieces of `step` bytes.
    fn ends(bytes: &[u8], step: usize) -> Vec<usize> {
        let (mut framer, mut at, mut ends) = (Framer::default(), 0, Vec::new());
        for piece in bytes.chunks(step) {
            let mut rest = piece;
            while !rest.is_empty() {
                let part = framer.next(rest);
                assert!(part.len > 0 && (part.ended || part.len == rest.len()));
                at += part.len;
                rest = &rest[part.len..];
                if part.ended {
                    assert!(framer.is_idle());
                    ends.push(at);
                }
            }
        }
        ends
    }

    #[test]
    fn ends_are_found_wherever_the_bytes_are_cut() {
        let mut bytes = Vec::new();
        let mut expected = Vec::new();
        for payload in [&b"\x03select 1"[..], b"", b"\x0e", b"\x03do 2"] {
            write(&mut bytes, 0, payload);
            expected.push(bytes.len());
        }
        for step in 1..=bytes.len() {
            assert_eq!(ends(&bytes, step), expected, "{step}");
        }
    }

    #[test]
    fn a_packet_of_several_parts_ends_with_its_last() {
        for len in [MAX_PAYLOAD - 1, MAX_PAYLOAD, MAX_PAYLOAD + 1] {
            let mut bytes = Vec::new();
            write(&mut bytes, 0, &vec![1; len]);
            let end = bytes.len();
            write(&mut bytes, 0, b"\x0e");
            for step in [65_536, MAX_PAYLOAD + 3, MAX_PAYLOAD + 4, MAX_PAYLOAD + 5, MAX_PAYLOAD + 7, bytes.len()] {
                assert_eq!(ends(&bytes, step), [end, bytes.len()], "{len} {step}");
            }
        }
    }
}
