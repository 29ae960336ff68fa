//! What `pointsman history` takes.

use super::args::kind;
use crate::config::units::parse_duration;
use clap::Args;
use jiff::Timestamp;

#[derive(Debug, Args)]
pub(super) struct History {
    /// Only this service, or the services of this group.
    pub(super) svc: Option<String>,
    /// Only records of this kind: decision, refusal, operation, override, configuration, start or stop.
    #[arg(long, value_parser = kind)]
    pub(super) kind: Option<String>,
    /// Only by this person, or pointsman.
    #[arg(long, value_name = "NAME")]
    pub(super) actor: Option<String>,
    /// Not written before: a time as 2026-11-22T01:02:03Z, or how long ago, as 2h.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub(super) since: Option<Moment>,
    /// Not written later.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub(super) until: Option<Moment>,
    /// Only about this operation.
    #[arg(long, value_name = "ID")]
    pub(super) operation: Option<String>,
    /// Only with this text in its words, its reason or its actor.
    #[arg(long)]
    pub(super) text: Option<String>,
    /// Only records with a greater number.
    #[arg(long, value_name = "SEQ")]
    pub(super) after: Option<u64>,
    /// At most so many: the last ones, or with `--after` the first behind it.
    #[arg(long, value_name = "N")]
    pub(super) limit: Option<usize>,
    /// The newest first.
    #[arg(long, conflicts_with = "after")]
    pub(super) newest: bool,
    /// Go on showing what comes, until Ctrl-C.
    #[arg(long)]
    pub(super) follow: bool,
    /// An incident moment by moment, evidence and phases with it: that of this operation, or the service's last one.
    #[arg(long, value_name = "ID", num_args = 0..=1, default_missing_value = "", requires = "svc",
        conflicts_with_all = ["kind", "actor", "since", "until", "operation", "text", "after", "limit", "newest", "follow"])]
    pub(super) timeline: Option<String>,
    /// Print JSON.
    #[arg(long)]
    pub(super) json: bool,
}

/// A moment, as it was written or so long ago.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Moment(pub(super) Timestamp);

fn moment(text: &str) -> Result<Moment, String> {
    if let Ok(time) = text.parse() {
        return Ok(Moment(time));
    }
    let ago = parse_duration(text).ok().and_then(|ago| jiff::SignedDuration::try_from(ago).ok());
    let time = ago.and_then(|ago| Timestamp::now().checked_sub(ago).ok());
    time.map(Moment).ok_or_else(|| "a time as 2026-11-22T01:02:03Z, or how long ago, as 30m, 2h or 7d".to_owned())
}
