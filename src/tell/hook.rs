//! One webhook at work: reads on in the journal, looks at the services, delivers, and remembers.
//!
//! Inputs: the handle, its settings, its file. Outputs: deliveries, counts, log lines. While an endpoint doesn't take what it is sent
//! nothing is kept in memory but the conditions: the journal keeps the rest.

use super::{
    alertmanager,
    book::Book,
    event::Event,
    pace::{Next, Pace},
    plain::{self, Sender},
    plan::{Now, Plan, plan},
    post::{Trouble, post},
    seen::{Seen, holds},
};
use crate::{
    config::{Config, Replication, Webhook, WebhookFormat},
    control::{Handle, JournalFilter},
    model::{record::Record, view::ServiceView},
    telemetry::WebhookMetrics,
};
use jiff::Timestamp;
use std::{
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::time::{Instant, sleep, timeout};

/// How often the services are looked at when no event says that they changed.
const LOOK: Duration = Duration::from_secs(1);
/// How long records are gathered: an operation writes several.
const GATHER: Duration = Duration::from_millis(100);
/// The book is saved after so many records of which there was nothing to tell.
const SILENT: u64 = 500;

/// One webhook.
pub(super) struct Hook {
    settings: Webhook,
    number: u64,
    handle: Handle,
    metrics: WebhookMetrics,
    file: PathBuf,
    instance: String,
    book: Book,
    /// Up to where the file knows.
    saved: u64,
    seen: Seen,
    pace: Pace,
    /// No attempt before.
    not_before: Instant,
}

impl Hook {
    /// `number` is no other webhook's of this process.
    pub(super) fn new(
        settings: Webhook,
        number: u64,
        state_dir: &Path,
        handle: Handle,
        metrics: WebhookMetrics,
    ) -> Self {
        let file = state_dir.join("webhooks").join(format!("{}.json", settings.name));
        let instance = rustix::system::uname().nodename().to_string_lossy().into_owned();
        metrics.begin(&settings.name);
        Self {
            settings,
            number,
            handle,
            metrics,
            file,
            instance,
            book: Book::default(),
            saved: 0,
            seen: Seen::default(),
            pace: Pace::new(),
            not_before: Instant::now(),
        }
    }

    /// Works until the task is ended.
    pub(super) async fn run(mut self) {
        let mut follower = self.handle.follow(None);
        self.open().await;
        loop {
            self.turn().await;
            // Whatever happened: it is a reason to look. Nobody publishes any more when control has ended: then time alone is.
            if timeout(LOOK, follower.changed()).await == Ok(false) {
                sleep(LOOK).await;
            }
            sleep(GATHER).await;
        }
    }

    async fn open(&mut self) {
        let (file, (head, _)) = (self.file.clone(), self.handle.head());
        let opened = tokio::task::spawn_blocking(move || Book::open(&file, head)).await;
        let (book, trouble) =
            opened.unwrap_or_else(|error| (Book { after: head, ..Book::default() }, Some(error.to_string())));
        if let Some(error) = trouble {
            tracing::error!(
                hook = self.settings.name,
                error,
                "what was told is not known: telling from the journal's end on"
            );
        }
        self.book = book;
        // A first start is remembered at once, so that a restart before the first delivery loses nothing.
        self.save().await;
    }

    /// Tells everything that is to be told now, unless an attempt failed a moment ago.
    async fn turn(&mut self) {
        loop {
            let config = self.handle.configuration();
            let page = self.next_records().await;
            // Looked at after the journal: what a record says is already so.
            let views = self.handle.services();
            let time = self.look(&views, &config);
            let whole = page.len() < self.pace.page();
            if Instant::now() < self.not_before {
                break;
            }
            let Plan { events, book } = plan(&self.book, page, &self.seen, now(&self.settings, &views, time));
            if events.is_empty() {
                self.book = book;
                if self.book.after >= self.saved + SILENT {
                    self.save().await;
                }
            } else if self.deliver(&events, &views, &config).await {
                self.book = book;
                self.seen.settle();
                self.save().await;
            } else {
                break;
            }
            if whole {
                break;
            }
        }
        let (head, _) = self.handle.head();
        self.metrics.behind(&self.settings.name, head.saturating_sub(self.book.after));
    }

    async fn next_records(&self) -> Vec<Record> {
        let filter = JournalFilter { after: self.book.after, limit: self.pace.page(), ..JournalFilter::default() };
        if self.handle.head().0 <= filter.after {
            return Vec::new();
        }
        match self.handle.journal(&filter).await {
            Ok(records) => {
                let missing = records.first().map_or(0, |first| first.seq.saturating_sub(filter.after + 1));
                if missing > 0 {
                    let hook = &self.settings.name;
                    tracing::error!(
                        hook,
                        missing,
                        after = filter.after,
                        "records were gone before the webhook was told of them"
                    );
                }
                records
            }
            Err(error) => {
                tracing::error!(hook = self.settings.name, error, "the journal can't be read");
                Vec::new()
            }
        }
    }

    fn look(&mut self, views: &[ServiceView], config: &Config) -> Timestamp {
        let external = config.services.iter().filter(|service| service.replication == Replication::External);
        let external: Vec<_> = external.map(|service| service.name.clone()).collect();
        let time = Timestamp::now();
        let refused = self.handle.config_problem();
        let groups = self.handle.group_operations();
        self.seen.look(holds(views, &external, &groups, refused.as_deref().map(String::as_str)), time);
        let (book, now) = (&self.book, now(&self.settings, views, time));
        self.seen.forget(|key, condition| !book.has(key) && !now.long_enough(key.0, condition.lasted(time)));
        time
    }

    /// Whether every message was taken. What was taken before one that wasn't is sent again with it.
    async fn deliver(&mut self, events: &[Event], views: &[ServiceView], config: &Config) -> bool {
        let (seq, hash) = self.handle.head();
        let sender = Sender {
            hook: &self.settings.name,
            instance: &self.instance,
            runbooks: &config.telemetry.runbook_url,
            head: format!("{seq}:{hash}"),
            views,
        };
        let bodies = match self.settings.format {
            WebhookFormat::Alertmanager => alertmanager::bodies(events, &sender),
            WebhookFormat::Json => vec![plain::body(events, &sender)],
        };
        for body in bodies {
            match post(&self.settings, body).await {
                Ok(()) => self.metrics.count(&self.settings.name, "delivered"),
                Err(trouble) if self.failed(&trouble) => {}
                Err(_) => return false,
            }
        }
        if self.pace.failing() {
            tracing::info!(hook = self.settings.name, "the webhook takes what it is told again");
        }
        self.pace.succeeded();
        true
    }

    /// Says what went wrong and when it is tried again; true where it isn't, because the endpoint will never take this.
    fn failed(&mut self, trouble: &Trouble) -> bool {
        let hook = &self.settings.name;
        self.metrics.count(hook, trouble.as_str());
        match self.pace.failed(trouble) {
            Next::GiveUp => {
                let record = self.book.after + 1;
                tracing::error!(hook, error = %trouble, record, "given up: the endpoint does not take this");
                self.metrics.count(hook, "given_up");
                true
            }
            Next::Again(wait) => {
                self.not_before = Instant::now() + wait;
                tracing::warn!(hook, error = %trouble, url = %self.settings.url, again_in = ?wait, "the webhook could not be told");
                false
            }
        }
    }

    async fn save(&mut self) {
        let (book, file, number) = (self.book.clone(), self.file.clone(), self.number);
        let after = book.after;
        let saved = tokio::task::spawn_blocking(move || book.save(&file, number)).await;
        match saved.map_err(std::io::Error::other).and_then(|saved| saved) {
            Ok(()) => self.saved = after,
            Err(error) => {
                let file = self.file.display();
                tracing::error!(hook = self.settings.name, %error, %file, "what was told can't be written: a restart tells it again");
            }
        }
    }
}

/// The world as a plan is made of it.
fn now<'a>(settings: &'a Webhook, views: &'a [ServiceView], time: Timestamp) -> Now<'a> {
    Now { time, views, wanted: &settings.events, not_ready_after: settings.not_ready_after }
}
