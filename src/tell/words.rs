//! The words of each notice: its alert's name, how bad it is, one line, and what is known.
//!
//! Input: operations, records, services. Output: texts of bounded length. Never: a secret; the sources have none.

use crate::{
    config::Notice,
    model::{
        group::{GroupMember, GroupOperation},
        guard::Refusal,
        operation::{Loss, Operation, Outcome},
        view::ServiceView,
    },
};

/// The most characters of a text: a report belongs into the journal, not into an alert.
const LONGEST: usize = 2000;

/// The alert's name: the same as in `monitoring/pointsman.rules.yml` where both know of it.
pub(super) fn alert(notice: Notice) -> &'static str {
    match notice {
        Notice::Failover => "PointsmanFailover",
        Notice::Failed => "PointsmanSwitchFailed",
        Notice::Blocked => "PointsmanBlocked",
        Notice::NotReady => "PointsmanNotReadyForFailover",
        Notice::Override => "PointsmanOverrideUsed",
        Notice::Approval => "PointsmanApprovalWaiting",
        Notice::Journal => "PointsmanJournalNotWritable",
        Notice::Configuration => "PointsmanConfigurationRefused",
        Notice::Switchover => "PointsmanSwitchover",
        Notice::Refused => "PointsmanSwitchRefused",
        Notice::Start => "PointsmanStarted",
        Notice::Record => "PointsmanRecord",
    }
}

/// `critical` is to wake somebody, `warning` is for the working day, `info` for the record.
pub(super) fn severity(notice: Notice) -> &'static str {
    match notice {
        Notice::Failed | Notice::Blocked | Notice::Journal => "critical",
        Notice::Failover | Notice::NotReady | Notice::Override | Notice::Approval | Notice::Configuration => "warning",
        Notice::Switchover | Notice::Refused | Notice::Start | Notice::Record => "info",
    }
}

/// Where the runbook has a section on it: the anchor that a heading with the alert's name gets.
pub(super) fn runbook(base: &str, notice: Notice) -> String {
    match notice {
        Notice::Record => base.to_owned(),
        _ => format!("{base}#{}", alert(notice).to_ascii_lowercase()),
    }
}

/// One line and what is known.
pub(super) type Words = (String, String);

/// A switch that ended.
pub(super) fn ended(operation: &Operation) -> Words {
    let Operation { svc, kind, from, to, outcome, .. } = operation;
    let name = |cluster: &Option<_>| cluster.as_ref().map_or_else(|| "nowhere".to_owned(), ToString::to_string);
    let (from, to) = (name(from), name(to));
    let summary = format!("{svc}: {kind} from {from} to {to}: {}", outcome.as_str().replace('_', " "));
    (summary, facts(operation))
}

/// What is known of an operation, as sentences.
fn facts(operation: &Operation) -> String {
    let Operation { id, actor, approver, reason, detail, guards, epoch_before, epoch_after, .. } = operation;
    let mut all = vec![format!("Operation {id} by {actor}")];
    if let Some(approver) = approver {
        all.push(format!("Approved by {approver}"));
    }
    for (what, text) in [("Why", reason), ("What happened", detail)] {
        if !text.is_empty() {
            all.push(format!("{what}: {text}"));
        }
    }
    if !guards.is_empty() {
        all.push(format!("Guards: {}", listed(guards)));
    }
    if let Some(ms) = operation.client_stall_ms {
        all.push(format!("Longest wait of a request: {ms:.1} ms"));
    }
    let Loss { known, count, unit, detail } = &operation.lost;
    if *count > 0 || !known {
        let bound = if *known { "" } else { "at most " };
        all.push(format!("Lost: {bound}{count} {unit} {detail}").trim_end().to_owned());
    }
    all.push(format!("Epoch {}", epoch_after.unwrap_or(*epoch_before)));
    cut(all.join(". ") + ".")
}

/// Guards and what they found.
pub(super) fn listed(refusals: &[Refusal]) -> String {
    let each = refusals.iter().map(|refusal| format!("{}: {}", refusal.name.as_str(), refusal.detail));
    cut(each.collect::<Vec<_>>().join("; "))
}

pub(super) fn blocked(view: &ServiceView) -> Words {
    (format!("{}: {}, an operator has to decide", view.name, view.state.as_str()), cut(view.note.clone()))
}

pub(super) fn not_ready(view: &ServiceView) -> Words {
    (format!("{}: a failover would be refused", view.name), listed(&view.failover_ready.reasons))
}

pub(super) fn journal(view: &ServiceView, why: &str) -> Words {
    (format!("{}: the journal can't be written", view.name), cut(why.to_owned()))
}

pub(super) fn approval(operation: &Operation) -> Words {
    let Operation { id, svc, kind, actor, .. } = operation;
    let until = operation.expires.map(|until| format!(" until {until:.0}")).unwrap_or_default();
    let summary = format!("{svc}: a {kind} that {actor} asked for waits for a second person{until}");
    (summary, format!("`pointsman approve {id}` or `pointsman withdraw {id}`. {}", facts(operation)))
}

pub(super) fn group_approval(operation: &GroupOperation) -> Words {
    let GroupOperation { id, group, kind, actor, expires, .. } = operation;
    let until = expires.map(|until| format!(" until {until:.0}")).unwrap_or_default();
    let summary = format!("{group}: a {} that {actor} asked for waits for a second person{until}", kind.as_str());
    (summary, format!("`pointsman approve {id}` or `pointsman withdraw {id}`. {}", group_facts(operation)))
}

/// An operation of a group or a site that ended otherwise than it should.
pub(super) fn group_ended(operation: &GroupOperation) -> Words {
    let GroupOperation { group, kind, outcome, .. } = operation;
    let summary = format!("{group}: {} of all members: {}", kind.as_str(), outcome.as_str().replace('_', " "));
    (summary, group_facts(operation))
}

fn group_facts(operation: &GroupOperation) -> String {
    let GroupOperation { id, actor, reason, detail, members, .. } = operation;
    let mut all = vec![format!("Operation {id} by {actor}")];
    for (what, text) in [("Why", reason), ("What happened", detail)] {
        if !text.is_empty() {
            all.push(format!("{what}: {text}"));
        }
    }
    let member = |member: &GroupMember| {
        let outcome = member.outcome.map_or("not yet", Outcome::as_str).replace('_', " ");
        format!("{}: {outcome}", member.svc)
    };
    all.push(format!("Members: {}", members.iter().map(member).collect::<Vec<_>>().join(", ")));
    cut(all.join(". ") + ".")
}

pub(super) fn configuration(problem: &str) -> Words {
    ("the configuration file was refused, the old one is in force".to_owned(), cut(problem.to_owned()))
}

/// At most [`LONGEST`] characters.
pub(super) fn cut(mut text: String) -> String {
    if let Some((at, _)) = text.char_indices().nth(LONGEST) {
        text.truncate(at);
        text.push('…');
    }
    text
}
