//! One request on its way: what is known of it, and the bytes that go to the node.

use super::{cluster::Cluster, left::Left, out::Out};
use crate::protocol::{
    elastic::{Request, Retry, refusal::Refusal},
    http::{Method, RequestHead},
};
use std::{rc::Rc, time::Instant};

/// So much of a request is kept, so that it can be sent again: head and body, in bytes.
pub const KEPT: usize = 64 << 10;

/// What is changed in the answer.
pub enum Rewrite {
    /// Nothing.
    No,
    /// The id of a cursor gets its cluster's envelope.
    Cursor,
    /// The nodes become one, at this address.
    Sniff(Box<str>),
}

/// A request.
#[expect(clippy::struct_excessive_bools, reason = "independent facts, not the states of one thing")]
pub struct Ask {
    /// Its method.
    pub method: Method,
    /// What it may do.
    pub request: Request,
    /// The client may send another one behind it.
    pub keep_alive: bool,
    /// The client waits for `100 Continue`.
    pub expects: bool,
    /// When its head was read.
    pub begun: Instant,
    /// Head and body as they go to the node; all of them while `whole`, else what hasn't gone yet.
    pub out: Out,
    /// What the client hasn't sent of the body, as far as was read.
    pub left: Left,
    /// `out` has everything from the beginning.
    pub whole: bool,
    /// What is changed in the answer.
    pub rewrite: Rewrite,
    /// The only cluster that it may go to, if not the routed one: it holds the cursor, or may have executed the request already.
    pub cluster: Option<Rc<Cluster>>,
    /// It was sent, and the answer was lost.
    pub sent: bool,
    /// It can't be sent to any node.
    pub refused: Option<Refusal>,
    tried: Option<(Rc<Cluster>, u64)>,
}

impl Ask {
    /// The request of that head; nothing is written yet.
    pub fn new(head: &RequestHead<'_>, request: Request) -> Self {
        Self {
            method: head.method,
            request,
            keep_alive: head.keep_alive,
            expects: head.expect_continue,
            begun: Instant::now(),
            out: Out::default(),
            left: Left::of(head.body),
            whole: true,
            rewrite: Rewrite::No,
            cluster: None,
            sent: false,
            refused: None,
            tried: None,
        }
    }

    /// The nodes of the cluster that didn't take it, by their bits.
    pub fn tried(&self, cluster: &Rc<Cluster>) -> u64 {
        self.tried.as_ref().filter(|(of, _)| Rc::ptr_eq(of, cluster)).map_or(0, |(_, tried)| *tried)
    }

    /// Notes that a node didn't take it, or lost its answer.
    pub fn note_tried(&mut self, cluster: &Rc<Cluster>, place: usize) {
        let tried = self.tried(cluster) | 1 << place;
        self.tried = Some((Rc::clone(cluster), tried));
    }

    /// All nodes may be tried again.
    pub fn forget_tried(&mut self) {
        self.tried = None;
    }

    /// Whether it may be sent again although a node may have executed it.
    pub fn is_repeatable(&self) -> bool {
        self.whole && self.request.retry != Retry::Never
    }
}
