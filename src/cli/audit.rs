//! `pointsman audit verify`: whether the journal is whole, and the one from which a head was noted.
//!
//! It reads the folder itself, without its lock: a proof that came from the process that wrote the journal would prove nothing. So it
//! works while a Pointsman runs, on a machine where none does, and on a copy.

use super::{
    exit::{Exit, complain},
    output::say,
};
use crate::{
    config::{self, Options},
    coord::local::{self, Head, OpenError, OpenErrorKind},
};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::path::PathBuf;

#[derive(Debug, Args)]
pub(super) struct Audit {
    #[command(subcommand)]
    pub(super) sub: AuditSub,
}

#[derive(Debug, Subcommand)]
pub(super) enum AuditSub {
    /// Check that the journal is whole, and the one from which these heads were noted; also while a Pointsman runs.
    Verify(Verify),
}

#[derive(Debug, Args)]
pub(super) struct Verify {
    /// A head that was noted from a log line (`journal_head`) or an alert; may be given more than once.
    #[arg(long, value_name = "SEQ:HASH", value_parser = head)]
    pub(super) head: Vec<Head>,
    /// The configuration file, which names the folder.
    #[arg(long, short, default_value = "/etc/pointsman/pointsman.toml", conflicts_with = "state_dir")]
    pub(super) config: PathBuf,
    /// The folder itself, as `state_dir` has it: of another machine's copy too.
    #[arg(long, value_name = "DIR")]
    pub(super) state_dir: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    pub(super) json: bool,
}

/// How many digits a hash has.
const HEX: usize = 64;

/// Verifies. Code 0: whole; 5: broken, rewritten, or not proven; 2: there is none, or it can't be read.
pub(super) fn run(options: &Audit) -> Exit {
    let AuditSub::Verify(options) = &options.sub;
    let folder = match folder(options) {
        Ok(folder) => folder,
        Err(exit) => return exit,
    };
    match local::audit(&folder, &options.head) {
        Ok(audit) => {
            whole(&audit, options);
            Exit::Done
        }
        Err(error) => {
            if options.json {
                say!("{}", problem(&error));
            }
            let exit = match error.kind {
                OpenErrorKind::Broken => Exit::Unknown,
                OpenErrorKind::Io if error.detail.contains("ermission denied") => Exit::NotAllowed,
                _ => Exit::Usage,
            };
            complain(exit, &error.detail)
        }
    }
}

/// The state folder that is named, or that the configuration names. Nothing else of that needs to be right.
fn folder(options: &Verify) -> Result<PathBuf, Exit> {
    if let Some(folder) = &options.state_dir {
        return Ok(folder.clone());
    }
    let loaded = config::load(&options.config, Options { secrets: false });
    if let Some(config) = loaded.config {
        return Ok(config.state_dir);
    }
    eprint!("{}", loaded.render_all(false));
    Err(complain(Exit::Usage, "no journal was looked at: name its folder's parent with --state-dir"))
}

fn whole(audit: &local::Audit, options: &Verify) {
    if options.json {
        return say!("{}", as_json(audit));
    }
    let local::Audit { folder, running, segments, first, seq, hash, skipped, removed } = audit;
    say!("whole: records {first} to {seq} in {segments} files of {}", folder.display());
    if *running {
        say!("  a Pointsman has it open: records that it wrote meanwhile may not have been looked at");
    }
    if let Some(removed) = removed.as_ref().filter(|_| *first > 1) {
        let until = removed.until.map(|until| format!(", written until {until:.0},")).unwrap_or_default();
        say!("  proven from record {first} on: those before{until} were removed as configured; their last head");
        say!("  was {}:{}", removed.seq, removed.hash);
    } else if *first > 1 {
        say!(
            "  proven from record {first} on: those before are not here, and continue as the head that was given says"
        );
    }
    if *skipped > 0 {
        say!("  {skipped} records were written by a newer version, and can't be understood by this one");
    }
    match options.head.len() {
        0 => say!(
            "  without a head (--head SEQ:HASH from a log or an alert) this doesn't prove that it wasn't written anew"
        ),
        1 => say!("  the head that was given is in it"),
        many => say!("  all {many} heads that were given are in it"),
    }
    say!("head {seq}:{hash}");
}

fn as_json(audit: &local::Audit) -> Value {
    let local::Audit { folder, running, segments, first, seq, hash, skipped, removed } = audit;
    json!({
        "ok": true, "folder": folder, "running": running, "files": segments, "first": first, "head": { "seq": seq, "hash": hash },
        "skipped": skipped, "removed": removed, "problem": null,
    })
}

fn problem(error: &OpenError) -> Value {
    let OpenError { file, line, record, detail, .. } = error;
    json!({
        "ok": false,
        "problem": { "file": file, "line": line, "record": record, "detail": detail },
    })
}

/// A head as the logs have it.
pub(super) fn head(text: &str) -> Result<Head, String> {
    let form = || format!("as in a log line's journal_head: a number, a colon and {HEX} hexadecimal digits");
    let (seq, hash) = text.split_once(':').ok_or_else(form)?;
    let seq = seq.parse().map_err(|_| form())?;
    let hash = hash.to_ascii_lowercase();
    let is_hash = hash.len() == HEX && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_hash { Ok(Head { seq, hash }) } else { Err(form()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_as_the_log_has_it() {
        let hash = "ab".repeat(32);
        assert_eq!(head(&format!("12:{hash}")), Ok(Head { seq: 12, hash: hash.clone() }));
        assert_eq!(head(&format!("12:{}", hash.to_uppercase())), Ok(Head { seq: 12, hash }));
        for bad in ["", "12", "12:ab", "x:y", &format!("-1:{}", "ab".repeat(32)), &format!("1:{}", "xy".repeat(32))] {
            assert!(head(bad).is_err(), "{bad}");
        }
    }
}
