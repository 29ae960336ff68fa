//! Bodies of the API's POST requests. Unknown fields are refused, so that a typing error never changes what is done.

use super::problem::Problem;
use crate::{
    config::units::parse_duration,
    model::{guard::Guard, name::ClusterName, operation::Command, route::Epoch},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::time::Duration;

/// How long the approach of a planned switch may take when the request doesn't say.
pub(super) const APPROACH: Duration = Duration::from_secs(30);
/// A pause always ends: within a week.
const LONGEST_PAUSE: Duration = Duration::from_hours(168);
/// The longest reason that is kept.
const LONGEST_REASON: usize = 1024;

/// Body of `switchover` and `failover`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
#[expect(clippy::struct_excessive_bools, reason = "independent wishes of an operator, each with its name in JSON")]
pub struct SwitchBody {
    /// The cluster to go to; else the next in order.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// Why, in the operator's words.
    pub reason: String,
    /// Only evaluate the guards.
    pub dry_run: bool,
    /// Refuse unless the route is at this epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub if_epoch: Option<u64>,
    /// How long to wait for the end, e.g. `30s`; then the answer is 202. Absent: until it ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wait: Option<String>,
    /// How long a planned switch may wait for sessions that can't move and for the candidate, e.g. `30s` (the default).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<String>,
    /// Cut sessions that can't move instead of refusing.
    pub cut_sessions: bool,
    /// A failover: writes that only the old primary has may be lost.
    pub accept_loss: bool,
    /// A planned switch: what the target describes in another way, or lacks, is accepted. As `override` of `difference`, without a reason.
    pub accept_difference: bool,
    /// A planned switch that is done for practice: it is shown who practised, and when.
    pub rehearsal: bool,
    /// Guards to pass by name; each is recorded.
    #[serde(rename = "override", skip_serializing_if = "Vec::is_empty")]
    pub overrides: Vec<String>,
}

/// Body of `pause`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PauseBody {
    /// For how long, e.g. `10m`; at most a week.
    #[serde(rename = "for")]
    pub duration: String,
    /// Why.
    #[serde(default)]
    pub reason: String,
}

/// Body of `resume`; may be absent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ResumeBody {
    /// Why.
    pub reason: String,
}

/// Body of `mode`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ModeBody {
    /// `open`, `read_only`, `hold` or `closed`.
    pub mode: String,
    /// Why.
    #[serde(default)]
    pub reason: String,
}

/// Body of `drain` and `restore`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NamedBody {
    /// The cluster.
    pub cluster: String,
    /// Why.
    #[serde(default)]
    pub reason: String,
}

/// Body of an operation's `approve` and `withdraw`; may be absent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ConsentBody {
    /// Why.
    pub reason: String,
    /// How long to wait for the end of what was approved, e.g. `30s`; then the answer is 202. Absent: until it ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wait: Option<String>,
}

/// What a body asks for, before it is known who asks.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wish {
    pub(super) command: Command,
    pub(super) reason: String,
    pub(super) if_epoch: Option<Epoch>,
    pub(super) overrides: Vec<Guard>,
    pub(super) wait: Option<Duration>,
    pub(super) rehearsal: bool,
}

impl Wish {
    fn new(command: Command, reason: String) -> Result<Self, Problem> {
        short_enough(&reason)?;
        Ok(Self { command, reason, if_epoch: None, overrides: Vec::new(), wait: None, rehearsal: false })
    }
}

/// A reason that can be kept.
pub(super) fn short_enough(reason: &str) -> Result<(), Problem> {
    if reason.len() > LONGEST_REASON {
        return Err(Problem::bad_request(format!("reason: at most {LONGEST_REASON} bytes")));
    }
    Ok(())
}

/// Reads the body of an operation's action, and how long the caller waits.
pub(super) fn consent(action: &str, body: &[u8]) -> Result<(ConsentBody, Option<Duration>), Problem> {
    if !matches!(action, "approve" | "withdraw") {
        return Err(Problem::not_found(format!("an operation has no action {action:?}")));
    }
    let body: ConsentBody = parse(body)?;
    short_enough(&body.reason)?;
    let wait = body.wait.as_deref().map(|text| duration("wait", text)).transpose()?;
    Ok((body, wait))
}

/// Reads the body of the action that the path names.
pub(super) fn wish(action: &str, body: &[u8]) -> Result<Wish, Problem> {
    match action {
        "switchover" | "failover" => switch(action, parse(body)?),
        "pause" => {
            let body: PauseBody = parse(body)?;
            let duration = duration("for", &body.duration)?;
            if duration.is_zero() || duration > LONGEST_PAUSE {
                return Err(Problem::bad_request("for: more than nothing and at most a week (168h)"));
            }
            Wish::new(Command::Pause(duration), body.reason)
        }
        "resume" => Wish::new(Command::Resume, parse::<ResumeBody>(body)?.reason),
        "mode" => {
            let body: ModeBody = parse(body)?;
            let mode = crate::model::route::Mode::ALL.into_iter().find(|mode| mode.as_str() == body.mode);
            let mode = mode.ok_or_else(|| Problem::bad_request("mode: open, read_only, hold or closed"))?;
            Wish::new(Command::Mode(mode), body.reason)
        }
        "drain" | "restore" => {
            let body: NamedBody = parse(body)?;
            let cluster = ClusterName::from(body.cluster);
            let command = if action == "drain" { Command::Drain(cluster) } else { Command::Restore(cluster) };
            Wish::new(command, body.reason)
        }
        _ => Err(Problem::not_found(format!("a service has no action {action:?}"))),
    }
}

fn switch(action: &str, body: SwitchBody) -> Result<Wish, Problem> {
    let to = body.to.map(ClusterName::from);
    let command = if action == "switchover" {
        let timeout = body.timeout.as_deref().map_or(Ok(APPROACH), |text| duration("timeout", text))?;
        Command::Switchover { to, dry_run: body.dry_run, cut_sessions: body.cut_sessions, timeout }
    } else {
        if body.rehearsal {
            return Err(Problem::bad_request("rehearsal: a failover is no practice; rehearse a switchover"));
        }
        if body.accept_difference {
            return Err(Problem::bad_request("accept_difference: a failover doesn't ask what differs"));
        }
        if !body.accept_loss && !body.dry_run {
            return Err(Problem::bad_request("a failover by hand needs accept_loss: writes may be lost"));
        }
        Command::Failover { to, dry_run: body.dry_run, accept_loss: body.accept_loss }
    };
    let mut wish = Wish::new(command, body.reason)?;
    wish.if_epoch = body.if_epoch.map(Epoch);
    wish.rehearsal = body.rehearsal;
    wish.wait = body.wait.as_deref().map(|text| duration("wait", text)).transpose()?;
    wish.overrides = guards(&body.overrides, &wish.reason)?;
    if body.accept_difference && !wish.overrides.contains(&Guard::Difference) {
        wish.overrides.push(Guard::Difference);
    }
    Ok(wish)
}

/// Guards that are passed by name, which takes a reason.
pub(super) fn guards(names: &[String], reason: &str) -> Result<Vec<Guard>, Problem> {
    let guard = |name: &String| {
        Guard::parse(name).ok_or_else(|| {
            let known: Vec<_> = Guard::ALL.iter().map(|guard| guard.as_str()).collect();
            Problem::bad_request(format!("override: no guard {name:?}; there are {}", known.join(", ")))
        })
    };
    let guards = names.iter().map(guard).collect::<Result<Vec<_>, _>>()?;
    if !guards.is_empty() && reason.is_empty() {
        return Err(Problem::bad_request("override: needs a reason, which is recorded"));
    }
    Ok(guards)
}

/// An absent body is an empty object, so that only what is needed must be there.
pub(super) fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    let body = if body.iter().all(u8::is_ascii_whitespace) { b"{}" } else { body };
    serde_json::from_slice(body).map_err(|error| Problem::bad_request(format!("body: {error}")))
}

/// A duration with its unit.
pub(super) fn duration(field: &str, text: &str) -> Result<Duration, Problem> {
    parse_duration(text)
        .map_err(|invalid| Problem::bad_request(format!("{field}: {}; {}", invalid.message, invalid.help)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::route::Mode;

    fn refused(action: &str, body: &str) -> String {
        wish(action, body.as_bytes()).expect_err("must be refused").detail
    }

    #[test]
    fn only_what_is_needed_must_be_there() {
        let switch = wish("switchover", b"").expect("an empty body");
        assert_eq!(
            switch.command,
            Command::Switchover { to: None, dry_run: false, cut_sessions: false, timeout: APPROACH }
        );
        assert_eq!(wish("resume", b"{}").expect("resume").command, Command::Resume);
        let mode = wish("mode", br#"{"mode":"read_only","reason":"audit"}"#).expect("mode");
        assert_eq!((mode.command, mode.reason.as_str()), (Command::Mode(Mode::ReadOnly), "audit"));
    }

    #[test]
    fn every_field_of_a_switch_arrives() {
        let body = br#"{"to":"spare","reason":"r","dry_run":true,"if_epoch":7,"wait":"30s","timeout":"5s",
                        "cut_sessions":true,"accept_loss":false,"rehearsal":true,"override":["fit"]}"#;
        let wish = wish("switchover", body).expect("a valid body");
        let command = Command::Switchover {
            to: Some("spare".into()),
            dry_run: true,
            cut_sessions: true,
            timeout: Duration::from_secs(5),
        };
        assert_eq!(wish.command, command);
        assert_eq!((wish.if_epoch, wish.wait), (Some(Epoch(7)), Some(Duration::from_secs(30))));
        assert_eq!((wish.overrides, wish.rehearsal), (vec![Guard::Fit], true));
    }

    #[test]
    fn an_accepted_difference_passes_that_guard_alone_and_needs_no_reason() {
        let wish = wish("switchover", br#"{"accept_difference":true}"#).expect("a valid body");
        assert_eq!(wish.overrides, [Guard::Difference]);
        let refused = refused("failover", r#"{"accept_loss":true,"accept_difference":true}"#);
        assert!(refused.contains("accept_difference"), "{refused}");
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        assert!(refused("switchover", r#"{"dryrun":true}"#).contains("dryrun"));
        assert!(refused("switchover", r#"{"wait":"30"}"#).starts_with("wait:"));
        assert!(refused("switchover", r#"{"override":["luck"],"reason":"x"}"#).contains("luck"));
        assert!(refused("switchover", r#"{"override":["fit"]}"#).contains("reason"));
        assert!(refused("failover", "{}").contains("accept_loss"));
        assert!(refused("failover", r#"{"accept_loss":true,"rehearsal":true}"#).contains("rehearsal"));
        assert!(refused("pause", "{}").contains("for"));
        assert!(refused("pause", r#"{"for":"0s"}"#).contains("week"));
        assert!(refused("mode", r#"{"mode":"half"}"#).contains("read_only"));
        assert!(refused("drain", "[]").starts_with("body:"));
        assert_eq!(wish("explode", b"").expect_err("unknown").status, 404);
        assert_eq!(consent("explode", b"").expect_err("unknown").status, 404);
        assert_eq!(consent("approve", b"{\"reason\":1}").expect_err("no text").status, 400);
    }
}
