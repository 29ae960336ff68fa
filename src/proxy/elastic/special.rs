//! Requests that are more than bytes to pass: those that carry or ask for cursors, whose bodies are read first, and those that ask for the
//! nodes.
//!
//! Input: a request's head, the body behind it. Output: the request as its node is to get it, the cluster it belongs to, and what is changed
//! in its answer. Never: a body of more than [`cursor::MAX_BODY`].

use super::{
    ask::{Ask, KEPT, Rewrite},
    handle::{Ending, Owes},
    left::Left,
    session::{Session, Stop},
};
use crate::{
    config::Listen,
    protocol::{
        elastic::{
            Retry, Special,
            cursor::{self, Mixed},
            refusal::Refusal,
        },
        http::{Body, Coding, RequestChanges, RequestHead, Undecodable},
    },
};
use std::{
    borrow::Cow,
    future::poll_fn,
    task::{Context, Poll, ready},
};

impl Session {
    /// Makes the request what its node is to get.
    pub(super) async fn special(&mut self, head: &RequestHead<'_>, ask: &mut Ask) -> Result<(), Stop> {
        let special = ask.request.special;
        if special == Special::Sniff {
            ask.rewrite = Rewrite::Sniff(self.shown_address(head));
            let changes = RequestChanges { drop_accept_encoding: true, ..RequestChanges::default() };
            head.write(ask.out.fill(&self.desk.pool), &changes);
            return Ok(());
        }
        let mut body = self.desk.pool.take();
        let gathered = self.gather(head, ask, &mut body).await?;
        let plain = if gathered { plain(head, &body) } else { Err(Undecodable::TooLong) };
        if let (Special::UsesCursor, Err(why)) = (special, &plain)
            && head.body != Body::None
        {
            return Err(Stop::Refuse(match why {
                Undecodable::Broken => Refusal::undecodable_cursor(),
                Undecodable::TooLong => Refusal::cursor_body_too_long(),
            }));
        }
        let (mut bare, mut target) = (Vec::new(), String::new());
        let in_body = match &plain {
            Ok(plain) => cursor::unwrap_body(plain, &mut bare).map_err(mixed)?,
            Err(_) => None,
        };
        let in_target = match special {
            Special::UsesCursor => cursor::unwrap_target(head.target, &mut target).map_err(mixed)?,
            _ => None,
        };
        if in_body.zip(in_target).is_some_and(|(body, target)| body != target) {
            return Err(mixed(Mixed));
        }
        if let Some(owner) = in_body.or(in_target) {
            let cluster = self.lane.living(owner).ok_or_else(|| Stop::Refuse(Refusal::cursor_gone(owner)))?;
            ask.cluster = Some(cluster);
            ask.request.retry = ask.request.retry.min(Retry::SameCluster);
        }
        let sent = if in_body.is_some() { &bare } else { &body };
        let names = special != Special::MayUseCursor || in_body.is_some();
        if names {
            ask.rewrite = Rewrite::Cursor;
        }
        let changes = RequestChanges {
            target: in_target.map(|_| target.as_str()),
            drop_accept_encoding: names,
            drop_content_encoding: in_body.is_some(),
            content_length: gathered.then_some(sent.len() as u64),
        };
        let out = ask.out.fill(&self.desk.pool);
        head.write(out, &changes);
        out.extend_from_slice(sent);
        ask.whole = out.len() <= KEPT;
        if gathered {
            ask.expects = false;
        }
        drop(plain);
        self.desk.pool.give(body);
        Ok(())
    }

    /// Reads the whole body, without the framing of chunks. False if there is none or it is too long: then `body` has what was read of it, as it
    /// came.
    async fn gather(&mut self, head: &RequestHead<'_>, ask: &mut Ask, body: &mut Vec<u8>) -> Result<bool, Stop> {
        match head.body {
            Body::None => return Ok(false),
            Body::Length(length) if length > cursor::MAX_BODY as u64 => return Ok(false),
            _ => {}
        }
        if ask.expects {
            self.outbox.fill(&self.desk.pool).extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
            poll_fn(|cx| self.poll_told(cx)).await?;
            ask.expects = false;
        }
        self.handle.owes(Some(Owes::Body), self.lane.second());
        poll_fn(|cx| self.poll_body(ask, body, cx)).await?;
        self.handle.owes(None, 0);
        if !ask.left.is_nothing() {
            return Ok(false);
        }
        if head.body == Body::Chunked {
            let mut data = self.desk.pool.take();
            // It was scanned once before.
            let decoded = Left::of(Body::Chunked).decode(body, &mut data);
            decoded.map_err(|bad| Stop::Refuse(bad.into()))?;
            self.desk.pool.give(std::mem::replace(body, data));
        }
        Ok(true)
    }

    /// Ready when the body is there, or as much of it as is looked at.
    fn poll_body(&mut self, ask: &mut Ask, body: &mut Vec<u8>, cx: &mut Context<'_>) -> Poll<Result<(), Stop>> {
        self.handle.register(cx);
        loop {
            if self.handle.ending() == Ending::Now {
                return Poll::Ready(Err(Stop::Cut));
            }
            if self.handle.take_late() {
                return Poll::Ready(Err(Stop::Refuse(Refusal::too_slow())));
            }
            let mut inbox = std::mem::take(&mut self.inbox);
            let taken = ask.left.pass(&inbox).map_err(|bad| Stop::Refuse(bad.into()))?;
            body.extend(inbox.drain(..taken));
            self.put_back(inbox);
            if ask.left.is_nothing() || body.len() > cursor::MAX_BODY {
                return Poll::Ready(Ok(()));
            }
            if !ready!(self.poll_inbox(cx)) {
                return Poll::Ready(Err(Stop::Cut));
            }
            self.handle.owes(Some(Owes::Body), self.lane.second());
        }
    }

    /// Where clients are told that the one node is: the listener that this one has connected to. Where that listens on every address, or
    /// is a Unix socket, the client knows best what it connected to.
    fn shown_address(&self, head: &RequestHead<'_>) -> Box<str> {
        let settings = self.lane.seat.settings();
        if let Some(local) = self.local
            && settings.listen.contains(&Listen::Tcp(local))
        {
            return local.to_string().into();
        }
        let named = head.header("host").and_then(|host| std::str::from_utf8(host).ok()).filter(|host| !host.is_empty());
        let port = self.local.map_or(80, |local| local.port());
        match (named, self.local) {
            (Some(host), _) if has_port(host) => host.into(),
            (Some(host), _) => format!("{host}:{port}").into(),
            (None, Some(local)) => local.to_string().into(),
            (None, None) => "localhost:80".into(),
        }
    }
}

fn has_port(host: &str) -> bool {
    host.rsplit_once(':').is_some_and(|(_, port)| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()))
}

/// The body without its coding; borrowed where it has none.
fn plain<'b>(head: &RequestHead<'_>, body: &'b [u8]) -> Result<Cow<'b, [u8]>, Undecodable> {
    match Coding::of(head.header("content-encoding")) {
        Coding::Plain => Ok(Cow::Borrowed(body)),
        coding => coding.undo(body, cursor::MAX_BODY).map(Cow::Owned),
    }
}

fn mixed(mixed: Mixed) -> Stop {
    Stop::Refuse(mixed.into())
}
