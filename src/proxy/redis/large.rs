//! Requests that are long in coming: they go to a pinned upstream as their bytes come, and are never kept whole.
//!
//! Input: the beginning of a request, then more of it. Output: the same bytes in the pinned upstream's queue. Never: a request
//! that the mode or the deny list doesn't let through, as far as its beginning tells.

use super::{
    act::Act,
    session::{Flow, Session},
};
use crate::protocol::redis::{
    command::{DenyList, Route, classify},
    scan::RequestScanner,
};

/// An incomplete request larger than this goes to a pinned upstream as its bytes come.
pub(super) const STREAM: usize = 32 * 1024;

impl Session {
    /// The beginning of a request that may be long in coming.
    pub(super) fn incomplete(&mut self, bytes: &[u8], deny: &DenyList) -> (usize, Flow) {
        if self.scanner.streaming() {
            let many = self.scanner.take(bytes.len());
            self.stream_on(bytes.get(..many).unwrap_or_default());
            return (many, Flow::Done);
        }
        if bytes.len() < STREAM {
            return (0, Flow::Done);
        }
        let Some(head) = self.scanner.head(bytes) else { return (0, Flow::Done) };
        let class = classify(&head, bytes, deny);
        if matches!(class.route, Route::Local(_)) {
            return (0, if bytes.len() > 32 * STREAM { Flow::Last } else { Flow::Done });
        }
        if let Some(flow) = self.refused(&class, &head, bytes) {
            // What follows of it can't be told from new requests by the client's own count, so the session ends.
            return if matches!(flow, Flow::Done) { (0, self.end()) } else { (0, self.scan_again(flow)) };
        }
        if let Some(flow) = self.busy(&class) {
            return if matches!(flow, Flow::Done) { (0, self.end()) } else { (0, self.scan_again(flow)) };
        }
        if self.pinned.is_none() {
            let flow = if self.client.outstanding() > 0 { Flow::Quiet } else { Flow::Again(Act::Pin) };
            return (0, self.scan_again(flow));
        }
        let many = self.scanner.take(bytes.len());
        self.ask(&class, bytes.get(..many).unwrap_or_default());
        (many, Flow::Done)
    }

    /// Has the scanner begin this request anew.
    fn scan_again(&mut self, flow: Flow) -> Flow {
        self.scanner = RequestScanner::default();
        flow
    }

    /// Sends more of a large request.
    pub(super) fn stream_on(&mut self, bytes: &[u8]) {
        if let Some(pinned) = &mut self.pinned {
            pinned.queue.extend(bytes);
        }
    }

    /// True while the rest of a large request is awaited.
    pub(super) fn is_streaming(&self) -> bool {
        self.scanner.streaming()
    }
}
