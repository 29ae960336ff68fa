//! What is counted of the admin API: requests that were not let through, and event streams.
//!
//! Inputs: the admin floor's calls. Output: three families in the registry, each series from the start. It never knows who asked.

use super::Metrics;
use prometheus::{IntCounter, IntCounterVec, IntGauge, Opts, Registry};

/// Why a request was not let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denial {
    /// A header that isn't what the standard says, or that can be read in two ways.
    Malformed,
    /// Meant for another host.
    Host,
    /// Sent by a page of another origin.
    Origin,
    /// A process on the Unix socket that nobody named.
    Peer,
    /// No token where it takes one.
    NoToken,
    /// A token that nobody has.
    BadToken,
    /// Somebody who is known, and whose role isn't enough.
    Role,
    /// Somebody who asks too often.
    Rate,
    /// Too many event streams.
    Streams,
}

impl Denial {
    /// Every reason, so that each has its series from the start.
    pub const ALL: [Self; 9] = [
        Self::Malformed,
        Self::Host,
        Self::Origin,
        Self::Peer,
        Self::NoToken,
        Self::BadToken,
        Self::Role,
        Self::Rate,
        Self::Streams,
    ];

    /// The label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Host => "host",
            Self::Origin => "origin",
            Self::Peer => "peer",
            Self::NoToken => "no_token",
            Self::BadToken => "bad_token",
            Self::Role => "role",
            Self::Rate => "rate",
            Self::Streams => "streams",
        }
    }
}

/// The handles of what is counted.
#[derive(Clone, Debug)]
pub(super) struct AdminCounts {
    denied: IntCounterVec,
    streams: IntGauge,
    gaps: IntCounter,
}

impl AdminCounts {
    /// Fresh counters at 0 in `registry`, which has none of these names.
    pub(super) fn register(registry: &Registry) -> Self {
        let valid = "constant names and labels are valid";
        let denied = IntCounterVec::new(
            Opts::new(
                "pointsman_admin_denied_total",
                "Requests to the admin API that were not let through, by reason.",
            ),
            &["reason"],
        )
        .expect(valid);
        for why in Denial::ALL {
            denied.with_label_values(&[why.as_str()]);
        }
        let streams = IntGauge::new("pointsman_admin_streams", "Event streams that are followed now.").expect(valid);
        let gaps = IntCounter::new(
            "pointsman_admin_stream_gaps_total",
            "How often a follower was told that it missed events: too slow, or away for too long.",
        )
        .expect(valid);
        let once = "each name is registered once";
        registry.register(Box::new(denied.clone())).expect(once);
        registry.register(Box::new(streams.clone())).expect(once);
        registry.register(Box::new(gaps.clone())).expect(once);
        Self { denied, streams, gaps }
    }
}

impl Metrics {
    /// Counts a request that the admin API didn't let through.
    pub fn denied(&self, why: Denial) {
        self.admin.denied.with_label_values(&[why.as_str()]).inc();
    }

    /// So many event streams more, or less.
    pub fn streams(&self, change: i64) {
        self.admin.streams.add(change);
    }

    /// Counts a follower that missed events.
    pub fn stream_gap(&self) {
        self.admin.gaps.inc();
    }
}
