//! The command line's grammar.

use super::{audit::Audit, history_options::History};
use crate::{config::units::parse_duration, model::record::RecordKind};
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::{net::SocketAddr, path::PathBuf, time::Duration};

/// Carries applications' connections to Redis, MySQL or Elasticsearch to the cluster that holds the route, and moves the route.
#[derive(Debug, Parser)]
#[command(name = "pointsman", version, propagate_version = true, arg_required_else_help = true)]
pub(super) struct Arguments {
    #[command(flatten)]
    pub(super) access: super::access::Access,
    /// No colours (also: the variable `NO_COLOR`).
    #[arg(long, global = true, help_heading = super::access::REACHING)]
    pub(super) no_color: bool,
    #[command(subcommand)]
    pub(super) command: Sub,
}

#[derive(Debug, Subcommand)]
pub(super) enum Sub {
    /// Run the proxy.
    Run(ConfigFile),
    /// Check a configuration file: every error at once.
    Check(Check),
    /// Show services, clusters, roles, health and readiness.
    Status(Status),
    /// Move a service, or a group, as planned; refuses rather than lose.
    Switchover(Switchover),
    /// Move a service by hand when its primary is gone.
    Failover(Failover),
    /// Agree, as a second person, to a switch that waits for one.
    Approve(super::consent::Consent),
    /// Give up a switch that waits for a second person.
    Withdraw(super::consent::Consent),
    /// Act on everything in one site.
    #[command(subcommand)]
    Site(super::groups::Site),
    /// Switch automatic failover off for a while.
    Pause(Pause),
    /// Switch automatic failover on again.
    Resume(Plain),
    /// Set what applications may do: open, `read_only`, hold or closed.
    Mode(ModeOf),
    /// Take a cluster out of what may be chosen.
    Drain(OfCluster),
    /// Put a drained cluster back.
    Restore(OfCluster),
    /// Show the journal: what was decided, or not, by whom and why.
    History(History),
    /// Show one operation, running or ended.
    Operation(OperationOf),
    /// Prove that the journal is whole and was not rewritten.
    Audit(Audit),
    /// Show what a fenced node alone holds, and the commands that make it a standby again.
    Rebuild(Rebuild),
    /// Read the configuration file again.
    Reload(Reload),
    /// Make a token for a person, and the lines of the configuration that let it in.
    Token(super::token::TokenFor),
    /// Ask whether a Pointsman is ready, for containers.
    Healthcheck(Healthcheck),
    /// Start real servers and feel a planned switch.
    Demo(crate::demo::Options),
    /// Print a shell's completions.
    Completions(super::completions::Completions),
    /// Print a manual page, or write all of them to a folder.
    Man(super::man::Man),
    /// Names of services or clusters, for completions.
    #[command(hide = true)]
    Names(super::completions::Names),
}

#[derive(Debug, Args)]
pub(super) struct ConfigFile {
    /// The configuration file.
    #[arg(long, short, default_value = "/etc/pointsman/pointsman.toml")]
    pub(super) config: PathBuf,
}

#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "independent switches of a command line")]
pub(super) struct Check {
    /// The configuration file.
    #[arg(long, short, default_value = "/etc/pointsman/pointsman.toml")]
    pub(super) config: PathBuf,
    /// The same, without the option's name.
    #[arg(conflicts_with = "config")]
    pub(super) file: Option<PathBuf>,
    /// Also ask the nodes: versions, missing rights, advice.
    #[arg(long, conflicts_with = "no_secrets")]
    pub(super) connect: bool,
    /// Don't open password and TLS files.
    #[arg(long)]
    pub(super) no_secrets: bool,
    /// Print JSON.
    #[arg(long)]
    pub(super) json: bool,
    /// Only print the JSON schema of the file, for editors.
    #[arg(long, exclusive = true)]
    pub(super) schema: bool,
}

#[derive(Debug, Args)]
pub(super) struct Status {
    /// Only this service, or the services of this group.
    pub(super) svc: Option<String>,
    /// Print JSON.
    #[arg(long)]
    pub(super) json: bool,
    /// Draw it again as it changes, until Ctrl-C.
    #[arg(long)]
    pub(super) watch: bool,
    /// Wait at most so long for a Pointsman that answers and is ready for a switchover, e.g. 30s.
    #[arg(long, value_name = "D", value_parser = duration, conflicts_with = "watch")]
    pub(super) until_ready: Option<Written>,
}

/// What every order has.
#[derive(Debug, Args)]
pub(super) struct Common {
    /// Why; kept in the journal.
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(super) reason: String,
    /// Print JSON.
    #[arg(long)]
    pub(super) json: bool,
    /// An idempotency key: the same order under the same key is carried out once.
    #[arg(long)]
    pub(super) key: Option<String>,
}

/// What both switches have.
#[derive(Debug, Args)]
pub(super) struct Switch {
    /// The service.
    pub(super) svc: String,
    /// The cluster to go to; else the next in order.
    #[arg(long)]
    pub(super) to: Option<String>,
    /// Only say whether it would be let through.
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Refuse unless the route is at this epoch.
    #[arg(long, value_name = "N")]
    pub(super) if_epoch: Option<u64>,
    /// Pass this guard by name; needs a reason, is recorded.
    #[arg(long = "override", value_name = "GUARD", requires = "reason")]
    pub(super) overrides: Vec<String>,
    #[command(flatten)]
    pub(super) common: Common,
}

#[derive(Debug, Args)]
pub(super) struct Switchover {
    #[command(flatten)]
    pub(super) switch: Switch,
    /// Of a group: the site to go to, instead of a cluster.
    #[arg(long, value_name = "SITE", conflicts_with = "to")]
    pub(super) to_site: Option<String>,
    /// How long to wait for sessions that can't move and for the candidate, e.g. 30s.
    #[arg(long, value_name = "D", value_parser = duration)]
    pub(super) timeout: Option<Written>,
    /// Cut sessions that can't move instead of refusing.
    #[arg(long)]
    pub(super) cut_sessions: bool,
    /// It is done for practice; at least two people should have.
    #[arg(long)]
    pub(super) rehearsal: bool,
    /// Accept what `--dry-run` lists as different in the target (Elasticsearch): indices, mappings, templates.
    #[arg(long)]
    pub(super) accept_difference: bool,
}

#[derive(Debug, Args)]
pub(super) struct Failover {
    #[command(flatten)]
    pub(super) switch: Switch,
    /// Writes that only the old primary has may be lost.
    #[arg(long, required_unless_present = "dry_run")]
    pub(super) accept_loss: bool,
}

#[derive(Debug, Args)]
pub(super) struct Pause {
    /// The service.
    pub(super) svc: String,
    /// For how long, e.g. 10m; a pause always ends.
    #[arg(long = "for", value_name = "D", value_parser = duration)]
    pub(super) duration: Written,
    #[command(flatten)]
    pub(super) common: Common,
}

#[derive(Debug, Args)]
pub(super) struct Plain {
    /// The service.
    pub(super) svc: String,
    #[command(flatten)]
    pub(super) common: Common,
}

/// Modes as the command line takes them.
#[derive(Clone, Copy, Debug, ValueEnum)]
#[value(rename_all = "snake_case")]
pub(super) enum ModeName {
    /// Reads and writes.
    Open,
    /// Commands that only read.
    ReadOnly,
    /// Requests wait, within bounds.
    Hold,
    /// Requests are refused.
    Closed,
}

#[derive(Debug, Args)]
pub(super) struct ModeOf {
    /// The service.
    pub(super) svc: String,
    /// The mode.
    pub(super) mode: ModeName,
    #[command(flatten)]
    pub(super) common: Common,
}

#[derive(Debug, Args)]
pub(super) struct OfCluster {
    /// The service.
    pub(super) svc: String,
    /// The cluster.
    pub(super) cluster: String,
    #[command(flatten)]
    pub(super) common: Common,
}

#[derive(Debug, Args)]
pub(super) struct OperationOf {
    /// The operation's id, as op-12.
    pub(super) id: String,
    /// Print JSON.
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
pub(super) struct Rebuild {
    /// The service.
    pub(super) svc: String,
    /// The node's address, as configured.
    pub(super) node: String,
    /// Print JSON.
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
pub(super) struct Reload {
    /// Print JSON.
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
pub(super) struct Healthcheck {
    /// The address of `telemetry.listen`.
    #[arg(long, default_value = "127.0.0.1:9321")]
    pub(super) listen: SocketAddr,
    /// Only whether it lives, not whether it can serve.
    #[arg(long)]
    pub(super) live: bool,
    /// How long the answer may take.
    #[arg(long, value_name = "D", default_value = "3s", value_parser = duration)]
    pub(super) timeout: Written,
}

/// A duration as it was written, known to be valid: the API takes it as text.
#[derive(Clone, Debug)]
pub(super) struct Written(pub(super) String);

/// A duration that is more than nothing.
pub(super) fn duration(text: &str) -> Result<Written, String> {
    match parse_duration(text) {
        Ok(Duration::ZERO) => Err("must be more than nothing".to_owned()),
        Ok(_) => Ok(Written(text.to_owned())),
        Err(invalid) => Err(format!("{}; {}", invalid.message, invalid.help)),
    }
}

/// The API's own spelling decides which kinds there are.
pub(super) fn kind(text: &str) -> Result<String, String> {
    let known: Result<RecordKind, _> = serde_json::from_value(text.into());
    match known {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err("decision, refusal, operation, override, configuration, start or stop".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_grammar_is_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn mistakes_are_refused_before_anything_is_sent() {
        for line in [
            "pointsman failover cart",
            "pointsman pause cart",
            "pointsman pause cart --for 10",
            "pointsman pause cart --for 0s",
            "pointsman mode cart half",
            "pointsman switchover cart --override fit",
            "pointsman switchover",
            "pointsman history --kind gossip",
            "pointsman token",
            "pointsman token ann --role king",
            "pointsman status --client-key k",
            "pointsman history --since yesterday",
            "pointsman history --timeline",
            "pointsman history cart --timeline --follow",
            "pointsman audit",
            "pointsman audit verify --head 3:ab",
        ] {
            assert!(Arguments::try_parse_from(line.split(' ')).is_err(), "{line}");
        }
        for line in [
            "pointsman failover cart --dry-run",
            "pointsman pause cart --for 10m",
            "pointsman mode cart read_only --reason audit",
            "pointsman switchover cart --override fit --reason tested",
            "pointsman approve cart-17 --reason seen",
            "pointsman site evacuate east --partial --dry-run",
            "pointsman switchover cart --rehearsal",
            "pointsman token ann --role approver --json",
            "pointsman status --admin https://h:1 --token-file t --ca c --client-certificate c --client-key k",
            "pointsman audit verify --state-dir /x --json",
            "pointsman history cart --timeline",
            "pointsman history cart --timeline cart-3 --json",
            "pointsman history --since 2h --until 2026-11-22T01:02:03Z --actor x --text y --operation cart-1 --newest",
            "pointsman history cart --kind refusal --after 7 --limit 3",
        ] {
            assert!(Arguments::try_parse_from(line.split(' ')).is_ok(), "{line}");
        }
    }
}
