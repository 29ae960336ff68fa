//! Reads a parsed file into a `Config`: the top of the file, and what its parts share.
//!
//! Input: the spanned tree, options, the folder that relative paths start from. Output: a `Config` that is whole if no error
//! was reported. Never: network I/O; files are opened only where secrets are asked for.

mod access;
mod admin;
mod approval;
mod clusters;
mod groups;
mod journal;
mod places;
mod search;
mod service;
mod telemetry;
mod users;

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::load::Options;
use super::problem::{Code, Problem};
use super::schema::Config;
use super::source::Source;
use super::table::{Field, Sink, Table};
use crate::model::person::Role;
use places::Places;

const DAY: Duration = Duration::from_hours(24);
const MS_10: Duration = Duration::from_millis(10);
const MS_100: Duration = Duration::from_millis(100);
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_mins(1);
const TEN_MINUTES: Duration = Duration::from_mins(10);
const TO_A_DAY: RangeInclusive<Duration> = Duration::ZERO..=DAY;
const MAX_WORKERS: u32 = 64;
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// What every part of the file needs while it is read.
struct Reader<'s> {
    sink: Sink<'s>,
    options: Options,
    /// Relative paths begin here: the folder of the file.
    base: PathBuf,
    places: Places,
    /// Of the people that the file names.
    roles: Vec<Role>,
}

impl Reader<'_> {
    /// A path as it is to be opened.
    fn path(&mut self, field: &Field<'_>) -> Option<PathBuf> {
        Some(self.base.join(field.text(&mut self.sink)?))
    }
}

/// Reads the whole file. The second part tells what is wrong with it.
pub(super) fn config(
    root: Table<'_>,
    source: &Source,
    base: &Path,
    options: Options,
) -> (Option<Config>, Vec<Problem>) {
    let (sink, base) = (Sink::new(source), base.to_path_buf());
    let mut reader = Reader { sink, options, base, places: Places::default(), roles: Vec::new() };
    let config = top(root, &mut reader);
    (config, reader.sink.finish())
}

fn top(mut root: Table<'_>, r: &mut Reader<'_>) -> Option<Config> {
    let state_dir = root.get("state_dir").and_then(|field| r.path(&field));
    let grace = root.get("grace").and_then(|field| field.duration(&mut r.sink, &TO_A_DAY));
    let workers = root.get("workers").and_then(|field| field.integer(&mut r.sink, 1..=MAX_WORKERS));
    let admin = admin::admin(root.section(&mut r.sink, "admin"), r);
    r.roles = admin.people.iter().map(|person| person.role).collect();
    let telemetry = telemetry::telemetry(root.section(&mut r.sink, "telemetry"), r);
    let journal = journal::journal(root.section(&mut r.sink, "journal"), r);
    let services = root.get("services").map(|field| field.table(&mut r.sink));
    if services.is_none() {
        r.sink.whole_file(Code::Missing, "the file has no service", "add a table `[services.NAME]`");
    }
    let names = services.as_ref().and_then(Option::as_ref).map(Table::keys).unwrap_or_default();
    let mut services = services.flatten().map(|table| service::services(&table, r));
    let groups = root.table(&mut r.sink, "groups");
    let groups = groups.map(|table| groups::groups(&table, services.as_deref().unwrap_or_default(), &names, r));
    let groups = groups.unwrap_or_default();
    for service in services.iter_mut().flatten() {
        let own = groups.iter().find(|group| group.members.contains(&service.name));
        service.group = own.map(|group| group.name.clone());
    }
    root.finish(&mut r.sink);
    Some(Config {
        state_dir: state_dir.unwrap_or_else(|| PathBuf::from("/var/lib/pointsman")),
        grace: grace.unwrap_or(Duration::from_secs(30)),
        workers: workers.map_or_else(default_workers, |workers| workers as usize),
        admin,
        telemetry,
        journal,
        services: services?,
        groups,
    })
}

/// One up to four cores, then a quarter of them: sharing upstreams, one worker carried more than two on a small machine.
fn default_workers() -> usize {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    (cores / 4).clamp(1, MAX_WORKERS as usize)
}
