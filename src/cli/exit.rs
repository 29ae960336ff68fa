//! Exit codes: what came of it, in one number.

use crate::model::operation::Outcome;
use std::process::ExitCode;

/// How a command ended. The numbers are the interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exit {
    /// What was asked for is so.
    Done = 0,
    /// Bad usage or configuration, unknown service or cluster.
    Usage = 2,
    /// Refused, nothing changed.
    Refused = 3,
    /// Failed and rolled back, the old route serves.
    RolledBack = 4,
    /// Partial or unknown: look.
    Unknown = 5,
    /// Waits for a second person.
    Waiting = 6,
    /// No Pointsman answers there.
    NoAnswer = 69,
    /// Not allowed.
    NotAllowed = 77,
}

/// Each code in words, for help and manual pages.
pub(super) const MEANINGS: [(Exit, &str); 8] = [
    (Exit::Done, "done, or so already"),
    (Exit::Usage, "bad usage or configuration, unknown service or cluster"),
    (Exit::Refused, "refused, nothing changed; also a dry run that would be"),
    (Exit::RolledBack, "failed and rolled back, the old route serves"),
    (Exit::Unknown, "partly done, or the outcome is unknown: look at pointsman status"),
    (Exit::Waiting, "waits for a second person: pointsman approve ID"),
    (Exit::NoAnswer, "no Pointsman answers there"),
    (Exit::NotAllowed, "not allowed"),
];

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// The code of an answer: the operation's outcome if there is one, else the HTTP status.
pub(super) fn code(outcome: Option<Outcome>, status: u16) -> Exit {
    match outcome {
        Some(Outcome::Done) => Exit::Done,
        Some(Outcome::Refused) => Exit::Refused,
        Some(Outcome::RolledBack) => Exit::RolledBack,
        Some(Outcome::Waiting) => Exit::Waiting,
        Some(Outcome::Partial | Outcome::Unknown | Outcome::Running) => Exit::Unknown,
        None => match status {
            200..=299 => Exit::Done,
            401 | 403 => Exit::NotAllowed,
            409 | 422 | 429 => Exit::Refused,
            400..=499 => Exit::Usage,
            _ => Exit::Unknown,
        },
    }
}

/// Prints a complaint on standard error and returns the code.
pub(super) fn complain(exit: Exit, message: &str) -> Exit {
    eprintln!("pointsman: {message}");
    exit
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_outcome_and_status_has_its_code() {
        let table = [
            (Some(Outcome::Done), 200, 0),
            (Some(Outcome::Refused), 422, 3),
            (Some(Outcome::Refused), 409, 3),
            (Some(Outcome::Refused), 200, 3),
            (Some(Outcome::RolledBack), 500, 4),
            (Some(Outcome::Partial), 500, 5),
            (Some(Outcome::Unknown), 500, 5),
            (Some(Outcome::Running), 202, 5),
            (Some(Outcome::Waiting), 202, 6),
            (None, 200, 0),
            (None, 400, 2),
            (None, 404, 2),
            (None, 403, 77),
            (None, 401, 77),
            (None, 409, 3),
            (None, 422, 3),
            (None, 429, 3),
            (None, 415, 2),
            (None, 421, 2),
            (None, 408, 2),
            (None, 413, 2),
            (None, 500, 5),
            (None, 503, 5),
        ];
        for (outcome, status, expected) in table {
            assert_eq!(code(outcome, status) as u8, expected, "{outcome:?} {status}");
        }
        assert_eq!((Exit::NoAnswer as u8, Exit::NotAllowed as u8), (69, 77));
    }
}
