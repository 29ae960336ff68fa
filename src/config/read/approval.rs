//! Reads `require_approval` and `approval_timeout` of a service.
//!
//! Input: the service's table, the people read before. Output: an `Approval` that somebody can give. Never: who they are.

use super::{DAY, Reader, SECOND};
use crate::config::approval::Approval;
use crate::config::problem::Code;
use crate::config::table::{Field, Table};
use crate::model::person::Role;

/// What a service asks of a switch by hand.
pub(super) fn approval(table: &mut Table<'_>, r: &mut Reader<'_>) -> Approval {
    let default = Approval::default();
    let field = table.get("require_approval");
    let required = field.as_ref().and_then(|field| field.boolean(&mut r.sink)).unwrap_or(default.required);
    let timeout = table.get("approval_timeout").and_then(|field| field.duration(&mut r.sink, &(SECOND..=DAY)));
    if let Some(field) = field.filter(|_| required) {
        two_people(&field, r);
    }
    Approval { required, timeout: timeout.unwrap_or(default.timeout) }
}

/// Root may always ask, so that one approver is enough for a consent; two people with names are meant.
fn two_people(field: &Field<'_>, r: &mut Reader<'_>) {
    let least = |role| r.roles.iter().filter(|has| **has >= role).count();
    let (approvers, operators) = (least(Role::Approver), least(Role::Operator));
    let help = "a second person is one of `[[admin.people]]` with role = \"approver\", beside the one who asks";
    if approvers == 0 {
        let message = format!("`{}`: nobody could approve a switch, since no person is an approver", field.name);
        r.sink.error(field.span.clone(), Code::Missing, message, help);
    } else if operators < 2 {
        let message = format!("`{}`: only one person may give orders or approve them, beside root", field.name);
        r.sink.warning(field.span.clone(), Code::Doubtful, message, help);
    }
}
