//! `LOCAL INFILE`: the application's file goes to the node, packet by packet, up to an empty one.

use super::session::{Need, Phase, Session};
use crate::protocol::mysql::packet::{Framer, HEADER, Header, MAX_PAYLOAD};
use crate::proxy::desk::SCRATCH;
use std::{
    rc::Rc,
    task::{Context, Poll, ready},
};

/// Finds the empty packet that ends a file, in bytes cut anywhere.
#[derive(Debug, Default)]
pub struct FileEnd {
    header: [u8; HEADER],
    have: usize,
    /// Payload bytes of the current packet that are still to come.
    left: usize,
    /// The current packet continues the one before.
    continues: bool,
}

impl FileEnd {
    /// Returns how many bytes belong to the file, and whether it ends with them.
    fn next(&mut self, bytes: &[u8]) -> (usize, bool) {
        let mut at = 0;
        while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
            if self.left > 0 {
                let taken = self.left.min(rest.len());
                self.left -= taken;
                at += taken;
                continue;
            }
            let taken = (HEADER - self.have).min(rest.len());
            let (from, into) = (rest.get(..taken), self.header.get_mut(self.have..self.have + taken));
            if let (Some(from), Some(into)) = (from, into) {
                into.copy_from_slice(from);
            }
            self.have += taken;
            at += taken;
            let Some(header) = Header::read(&self.header).filter(|_| self.have == HEADER) else { continue };
            self.have = 0;
            self.left = header.len;
            let ended = header.len == 0 && !self.continues;
            self.continues = header.len == MAX_PAYLOAD;
            if ended {
                return (at, true);
            }
        }
        (at, false)
    }
}

impl Session {
    /// Passes the application's file on.
    pub(super) fn poll_file(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Need>> {
        match ready!(self.poll_to_node(cx)) {
            Ok(()) => {}
            Err(need) => return Poll::Ready(Err(need)),
        }
        let desk = Rc::clone(&self.lane.desk);
        let mut scratch = desk.scratch.borrow_mut();
        let many = if self.inbox.is_empty() {
            match ready!(self.client.reader.poll_read(cx, &mut scratch)) {
                Ok(0) | Err(_) => return Poll::Ready(Err(Need::End)),
                Ok(many) => many,
            }
        } else {
            let many = self.inbox.len().min(SCRATCH);
            if let (Some(room), Some(bytes)) = (scratch.get_mut(..many), self.inbox.get(..many)) {
                room.copy_from_slice(bytes);
            }
            self.inbox.drain(..many);
            many
        };
        let bytes = scratch.get(..many).unwrap_or_default();
        let Phase::File(end, _) = &mut self.phase else { return Poll::Ready(Ok(())) };
        let (used, ended) = end.next(bytes);
        let (now, later) = bytes.split_at(used.min(bytes.len()));
        self.to_node.extend_from_slice(now);
        self.inbox.splice(..0, later.iter().copied());
        if ended && let Phase::File(_, answer) = std::mem::replace(&mut self.phase, Phase::Idle) {
            self.phase = Phase::Request { framer: Framer::default(), ended: true, answer: Some(answer) };
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_found_wherever_the_bytes_are_cut() {
        let file = b"\x03\0\0\x02abc\x01\0\0\x03d\0\0\0\x04\x01\0\0\0\x0e";
        for cut in 0..=file.len() {
            let mut end = FileEnd::default();
            let (used, ended) = end.next(&file[..cut]);
            if cut >= 16 {
                assert_eq!((used, ended), (16, true));
            } else {
                assert_eq!((used, ended), (cut, false));
                assert_eq!(end.next(&file[cut..]), (16 - cut, true));
            }
        }
    }

    #[test]
    fn an_empty_packet_behind_a_full_one_is_no_end() {
        let mut end = FileEnd::default();
        let mut file = vec![0xff, 0xff, 0xff, 2];
        file.resize(HEADER + MAX_PAYLOAD, b'x');
        file.extend_from_slice(b"\0\0\0\x03\0\0\0\x04");
        assert_eq!(end.next(&file), (file.len(), true));
        assert_eq!(FileEnd::default().next(&file[..file.len() - HEADER]), (file.len() - HEADER, false));
    }
}
