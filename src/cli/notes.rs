//! What stands below the table of `status`: what runs or waits for somebody, what a service switches with, and what will hurt one day.

use super::report::ms;
use crate::model::{
    operation::{Operation, Outcome},
    view::ServiceView,
};

/// The lines of these services, in their order.
pub(super) fn notes(views: &[ServiceView]) -> Vec<String> {
    views.iter().flat_map(of_service).collect()
}

fn of_service(view: &ServiceView) -> Vec<String> {
    let name = &view.name;
    let mut lines = Vec::new();
    if let Some(operation) = &view.operation {
        lines.push(format!("{name}: {}", standing(operation)));
    }
    match view.groups.as_slice() {
        [] => {}
        [one] => lines.push(format!("{name}: switches together with the group {one}")),
        many => lines.push(format!("{name}: switches together with the groups {}", many.join(", "))),
    }
    if view.require_approval {
        lines.push(format!("{name}: a switch by hand waits for a second person"));
    }
    lines.extend(view.warnings.iter().map(|warning| format!("{name}: warning: {warning}")));
    lines
}

/// An operation that hasn't ended: how far it is, or whom it waits for and what that person gives.
fn standing(operation: &Operation) -> String {
    let Operation { id, kind, actor, .. } = operation;
    let to = operation.to.as_ref().map(|to| format!(" to {to}")).unwrap_or_default();
    let why = if operation.reason.is_empty() { String::new() } else { format!(" (\"{}\")", operation.reason) };
    let asked = format!("{kind}{to} by {actor}{why}");
    if operation.outcome == Outcome::Waiting {
        let until = operation.expires.map(|time| format!(" until {}", time.strftime("%H:%M:%SZ"))).unwrap_or_default();
        return format!("{id} waits for a second person{until}: {asked}; to agree: pointsman approve {id}");
    }
    let step = operation.phases.last().map(|phase| format!(", {} {}", phase.name.as_str(), ms(phase.ms)));
    format!("{asked} runs as {id}{}", step.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{
        name::Kind,
        operation::{Phase, Step},
        route::Epoch,
    };

    fn operation(outcome: Outcome) -> Operation {
        Operation {
            from: Some("main".into()),
            to: Some("spare".into()),
            epoch_before: Epoch(3),
            actor: "ann".into(),
            expires: "1970-01-01T00:15:00Z".parse().ok(),
            reason: "disk swap".into(),
            outcome,
            phases: vec![Phase { name: Step::Close, ms: 0.4 }],
            ..Operation::begun("cart-17", "cart", "switchover")
        }
    }

    #[test]
    fn a_quiet_service_has_nothing_to_say() {
        assert_eq!(notes(&[ServiceView::unknown("cart".into(), Kind::Redis)]), [""; 0]);
    }

    #[test]
    fn what_runs_what_waits_and_what_will_hurt_is_said() {
        let view = |outcome| ServiceView {
            operation: Some(operation(outcome)),
            groups: vec!["checkout".into()],
            warnings: vec!["all clusters are in one site".into()],
            ..ServiceView::unknown("cart".into(), Kind::Redis)
        };
        let expected = [
            "cart: cart-17 waits for a second person until 00:15:00Z: switchover to spare by ann (\"disk swap\"); to agree: pointsman approve cart-17",
            "cart: switches together with the group checkout",
            "cart: warning: all clusters are in one site",
        ];
        assert_eq!(notes(&[view(Outcome::Waiting)]), expected);
        let runs = notes(&[view(Outcome::Running)]);
        assert_eq!(runs[0], "cart: switchover to spare by ann (\"disk swap\") runs as cart-17, close 0.4 ms");
    }
}
