//! Operations and problems in words that help at three in the morning.

use super::{
    client::Reply,
    exit::{Exit, code},
    groups,
    output::say,
};
use crate::{
    admin::Problem,
    model::{
        guard::{Guard, Refusal},
        name::OperationId,
        operation::{Operation, Outcome, Phase},
    },
};
use std::fmt::Write;

/// How the id of a dry run ends; it is no operation that could be looked up.
const DRY_RUN: &str = "-dry-run";

/// An operation that ended, or stands: one line, and one a guard.
pub(super) fn operation(operation: &Operation) -> String {
    let mut text = format!("{} {}: {}", operation.kind, operation.svc, path(operation));
    let moved = operation.epoch_after.is_some_and(|after| after != operation.epoch_before);
    let dry = operation.id.as_str().ends_with(DRY_RUN);
    text.push_str(match operation.outcome {
        Outcome::Done if dry => "would be let through",
        Outcome::Refused if dry => "would be refused",
        Outcome::Done if operation.is_switch() && !moved && operation.phases.is_empty() => "nothing to do",
        Outcome::Done => "done",
        Outcome::Refused => "refused, nothing changed",
        Outcome::RolledBack => "failed and rolled back, the old route serves",
        Outcome::Partial => "partly done, look: pointsman status",
        Outcome::Unknown => "outcome unknown, look: pointsman status",
        Outcome::Running => "runs",
        Outcome::Waiting => "waits for a second person",
    });
    if !operation.phases.is_empty() {
        let _ = write!(text, " in {}", ms(operation.phases.iter().map(|phase| phase.ms).sum()));
    }
    if let Some(stall) = operation.client_stall_ms {
        let _ = write!(text, " (stall {})", ms(stall));
    }
    if let Some(after) = operation.epoch_after.filter(|_| moved) {
        let _ = write!(text, ", epoch {} -> {after}", operation.epoch_before);
    }
    if operation.lost.count > 0 || !operation.lost.known {
        let bound = if operation.lost.known { "" } else { "at most " };
        let _ = write!(text, ", lost {bound}{} {}", operation.lost.count, operation.lost.unit);
        if !operation.lost.detail.is_empty() {
            let _ = write!(text, " ({})", operation.lost.detail);
        }
    }
    if !operation.detail.is_empty() {
        let _ = write!(text, "\n  {}", operation.detail);
    }
    if operation.outcome == Outcome::Waiting {
        waits(&mut text, &operation.id, &operation.actor, operation.expires);
    }
    if operation.outcome == Outcome::Refused {
        refusals(&mut text, &operation.guards, |guard| advice_on(operation, guard));
    } else {
        refusals(&mut text, &operation.guards, |_| String::new());
    }
    for session in &operation.sessions {
        let _ = write!(text, "\n  session {}: {}", session.client, session.why);
    }
    text
}

/// Until when, and what to say to whom.
pub(super) fn waits(text: &mut String, id: &OperationId, actor: &str, until: Option<jiff::Timestamp>) {
    if let Some(until) = until {
        let _ = write!(text, " until {until:.0}");
    }
    let _ = write!(text, "\n  a second person, not {actor}: pointsman approve {id}");
    let _ = write!(text, "\n  to give it up: pointsman withdraw {id}");
}

/// `main -> spare `, or nothing.
fn path(operation: &Operation) -> String {
    match (&operation.from, &operation.to) {
        (Some(from), Some(to)) if from != to => format!("{from} -> {to} "),
        (_, Some(to)) => format!("{to} "),
        _ => String::new(),
    }
}

/// Each refusal once, in one line, and what can be done about its guard behind the last of that guard's.
pub(super) fn refusals(text: &mut String, guards: &[Refusal], advice: impl Fn(Guard) -> String) {
    let mut said: Vec<&Refusal> = Vec::new();
    for refusal in guards {
        if !said.contains(&refusal) {
            said.push(refusal);
        }
    }
    // The order in which guards came first is kept; those of one name stand together.
    let place = |name: Guard| guards.iter().position(|refusal| refusal.name == name);
    said.sort_by_key(|refusal| place(refusal.name));
    for (index, refusal) in said.iter().enumerate() {
        let _ = write!(text, "\n  {}: {}", refusal.name.as_str(), refusal.detail);
        let last = said.get(index + 1).is_none_or(|next| next.name != refusal.name);
        let advice = if last { advice(refusal.name) } else { String::new() };
        if !advice.is_empty() {
            let _ = write!(text, "\n      -> {advice}");
        }
    }
}

/// What can be done about a guard that refused this operation, in words that can be typed as they stand.
fn advice_on(operation: &Operation, guard: Guard) -> String {
    if guard == Guard::Primary && operation.kind == "failover" {
        return format!("pointsman switchover {}", operation.svc);
    }
    advice(guard).replace("SVC", operation.svc.as_str())
}

/// What can be done about a guard that refuses.
pub(super) fn advice(guard: Guard) -> &'static str {
    match guard {
        Guard::Reachable => "start the candidate, or name another with --to",
        Guard::Eligible => "restore it (pointsman restore SVC CLUSTER), make it a standby, or name another with --to",
        Guard::Primary => {
            "a planned switch needs a living primary; if it is gone: pointsman failover SVC --accept-loss"
        }
        Guard::Lag => "wait until `pointsman status` shows less lag, or find what keeps the standby back",
        Guard::Lineage => "the candidate holds another history: make it a fresh standby of the primary",
        Guard::Fit => "make the nodes alike (replication doesn't carry this), or --override fit --reason \"…\"",
        Guard::Difference => "make the clusters alike, or switch all the same with --accept-difference",
        Guard::Rights => "`pointsman check --connect` prints the statements that grant what is missing",
        Guard::Evidence => "look at the primary yourself; if it is gone: --override evidence --reason \"…\"",
        Guard::Tilt => "wait a second: Pointsman looks again by itself",
        Guard::Paused => "pointsman resume SVC",
        Guard::Cooldown => "wait for failover.cooldown to end, or switch by hand",
        Guard::Fence => {
            "an earlier fence is left (docs/operating.md, \"Lifting a fence by hand\"), or stop the primary for sure"
        }
        Guard::Sessions => "wait for these sessions to end, or cut them with --cut-sessions",
        Guard::Journal => "make room in state_dir; nothing is switched that can't be written down",
        Guard::Busy => "wait for the running operation: pointsman history SVC",
        Guard::Approval => "a second person who may approve: pointsman approve ID (pointsman status shows what waits)",
        Guard::Epoch => "the route moved since you looked: pointsman status SVC",
        Guard::Identity => "let exactly one Pointsman manage the service, and name each node once",
        Guard::Route => "the route isn't known or not open: pointsman status SVC, pointsman mode SVC open",
    }
}

/// Milliseconds, as precise as they are worth.
pub(super) fn ms(ms: f64) -> String {
    if ms >= 10_000.0 {
        format!("{:.1} s", ms / 1000.0)
    } else if ms >= 10.0 {
        format!("{ms:.0} ms")
    } else {
        format!("{ms:.1} ms")
    }
}

/// Phases as `close 0.4 ms, fence 1.2 ms`.
pub(super) fn phases(phases: &[Phase]) -> String {
    let shown: Vec<_> = phases.iter().map(|phase| format!("{} {}", phase.name.as_str(), ms(phase.ms))).collect();
    shown.join(", ")
}

/// Reports an order's problem and says its exit code.
pub(super) fn problem(reply: &Reply, json: bool) -> Exit {
    let parsed: Option<Problem> = serde_json::from_slice(&reply.body).ok();
    if json {
        say!("{}", reply.text());
    }
    let Some(problem) = parsed else {
        eprintln!("pointsman: HTTP {}: {}", reply.status, reply.text());
        return code(None, reply.status.as_u16());
    };
    let of_group = problem.group_operation.as_ref().map(|operation| operation.outcome);
    let outcome = problem.operation.as_ref().map(|operation| operation.outcome).or(of_group);
    if !json {
        eprintln!("{}", words(&problem));
    }
    code(outcome, reply.status.as_u16())
}

/// Reports a question that failed.
pub(super) fn failed(reply: &Reply) -> Exit {
    problem(reply, false)
}

fn words(problem: &Problem) -> String {
    if let Some(operation) = &problem.operation {
        return self::operation(operation);
    }
    if let Some(operation) = &problem.group_operation {
        return groups::words(operation);
    }
    let mut text = format!("pointsman: {}: {}", problem.title, problem.detail);
    refusals(&mut text, &problem.guards, |guard| advice(guard).to_owned());
    for line in &problem.problems {
        let _ = write!(text, "\n  {line}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{
        operation::{Loss, Step},
        route::Epoch,
        signal::StuckSession,
    };

    fn switch(outcome: Outcome) -> Operation {
        Operation {
            from: Some("main".into()),
            to: Some("spare".into()),
            epoch_before: Epoch(3),
            epoch_after: Some(Epoch(5)),
            actor: "uid:0".into(),
            outcome,
            phases: vec![Phase { name: Step::Close, ms: 0.4 }, Phase { name: Step::Promote, ms: 11.8 }],
            client_stall_ms: Some(3.12),
            ..Operation::begun("op-9", "cart", "switchover")
        }
    }

    #[test]
    fn done_on_one_line() {
        let text = operation(&switch(Outcome::Done));
        assert_eq!(text, "switchover cart: main -> spare done in 12 ms (stall 3.1 ms), epoch 3 -> 5");
        assert_eq!(phases(&switch(Outcome::Done).phases), "close 0.4 ms, promote 12 ms");
    }

    #[test]
    fn refused_names_each_guard_and_what_to_do() {
        let refused = Operation {
            epoch_after: None,
            phases: vec![],
            client_stall_ms: None,
            guards: vec![Refusal::new(Guard::Lag, "spare is 12 s behind, more than 10 s")],
            sessions: vec![StuckSession { client: "10.0.0.9:4711".into(), why: "unknown command JSON.SET".into() }],
            ..switch(Outcome::Refused)
        };
        let text = operation(&refused);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[0], "switchover cart: main -> spare refused, nothing changed");
        assert_eq!(lines[1], "  lag: spare is 12 s behind, more than 10 s");
        assert!(lines[2].contains("pointsman status"));
        assert_eq!(lines[3], "  session 10.0.0.9:4711: unknown command JSON.SET");
    }

    #[test]
    fn what_to_do_can_be_typed_as_it_stands() {
        let refused = |kind: &str, guard| Operation {
            kind: kind.into(),
            guards: vec![Refusal::new(guard, "so")],
            ..switch(Outcome::Refused)
        };
        let advice = |kind, guard| operation(&refused(kind, guard)).lines().nth(2).map(str::trim).map(str::to_owned);
        assert_eq!(advice("failover", Guard::Primary).as_deref(), Some("-> pointsman switchover cart"));
        assert!(
            advice("switchover", Guard::Primary).is_some_and(|words| words.contains("failover cart --accept-loss"))
        );
        assert_eq!(advice("switchover", Guard::Paused).as_deref(), Some("-> pointsman resume cart"));
    }

    #[test]
    fn a_dry_run_never_sounds_like_a_switch() {
        let dry = |outcome| Operation {
            id: "cart-dry-run".into(),
            epoch_after: Some(Epoch(3)),
            phases: vec![],
            client_stall_ms: None,
            ..switch(outcome)
        };
        assert_eq!(operation(&dry(Outcome::Done)), "switchover cart: main -> spare would be let through");
        assert_eq!(operation(&dry(Outcome::Refused)), "switchover cart: main -> spare would be refused");
    }

    #[test]
    fn what_waits_says_what_to_do() {
        let waiting = Operation {
            epoch_after: None,
            phases: vec![],
            client_stall_ms: None,
            expires: Some(jiff::Timestamp::UNIX_EPOCH),
            ..switch(Outcome::Waiting)
        };
        let text = operation(&waiting);
        let first = "switchover cart: main -> spare waits for a second person until 1970-01-01T00:00:00Z";
        assert!(text.starts_with(first) && text.contains("not uid:0: pointsman approve op-9\n"), "{text}");
    }

    #[test]
    fn there_already_and_losses_are_said() {
        let same = Operation {
            from: Some("spare".into()),
            epoch_after: Some(Epoch(3)),
            phases: vec![],
            client_stall_ms: None,
            ..switch(Outcome::Done)
        };
        assert_eq!(operation(&same), "switchover cart: spare nothing to do");
        let lost = Loss { known: false, count: 120, unit: "bytes".into(), detail: "until main returns".into() };
        let text = operation(&Operation { lost, ..switch(Outcome::Done) });
        assert!(text.ends_with(", lost at most 120 bytes (until main returns)"), "{text}");
    }
}
