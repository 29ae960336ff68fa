//! The process's own numbers, read from `/proc/self` when scraped. A number that can't be read is left out.

use super::families::Family;
use prometheus::proto::MetricFamily;
use std::fs;

/// Linux reports times to programs in hundredths of a second on every architecture Pointsman runs on.
const TICKS_PER_SECOND: f64 = 100.0;

/// `pointsman_process_*`.
pub(super) fn families() -> Vec<MetricFamily> {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let gauges = [
        (
            "pointsman_process_resident_memory_bytes",
            "Resident memory in bytes.",
            field(&status, "VmRSS:", 0).map(|kib| kib * 1024.0),
        ),
        ("pointsman_process_threads", "Threads.", field(&status, "Threads:", 0)),
        ("pointsman_process_open_fds", "Open file descriptors.", open_fds()),
        ("pointsman_process_max_fds", "Most file descriptors it may open.", field(&limits, "Max open files", 0)),
        ("pointsman_process_start_time_seconds", "Start, in seconds since 1970.", start_time(&stat)),
    ];
    let mut all: Vec<_> = gauges
        .into_iter()
        .filter_map(|(name, help, value)| {
            let mut family = Family::gauge(name, help);
            family.set(&[], value?);
            family.end()
        })
        .collect();
    if let Some(seconds) = cpu_seconds(&stat) {
        let mut family = Family::counter("pointsman_process_cpu_seconds_total", "User and system time in seconds.");
        family.count(&[], seconds);
        all.extend(family.end());
    }
    all
}

/// The `index`-th number after `name` in a file of lines.
fn field(text: &str, name: &str, index: usize) -> Option<f64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    rest.split_whitespace().nth(index)?.parse().ok()
}

/// Fields of `/proc/self/stat` after the command's name, which may hold blanks and ends at the last parenthesis.
fn after_name(stat: &str, index: usize) -> Option<f64> {
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(index)?.parse().ok()
}

fn cpu_seconds(stat: &str) -> Option<f64> {
    Some((after_name(stat, 11)? + after_name(stat, 12)?) / TICKS_PER_SECOND)
}

fn start_time(stat: &str) -> Option<f64> {
    let boot = field(&fs::read_to_string("/proc/stat").ok()?, "btime", 0)?;
    Some(boot + after_name(stat, 19)? / TICKS_PER_SECOND)
}

#[expect(clippy::cast_precision_loss, reason = "a process has far fewer than 2^52 descriptors")]
fn open_fds() -> Option<f64> {
    // The folder's own descriptor is one of those counted.
    Some(fs::read_dir("/proc/self/fd").ok()?.count().saturating_sub(1) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_every_number() {
        let names: Vec<_> = families().iter().map(|family| family.name().to_owned()).collect();
        assert_eq!(names.len(), 6, "{names:?}");
    }

    #[test]
    fn a_name_with_blanks_and_parentheses_is_skipped() {
        let stat = "1 (a ) b) S 0 0 0 0 0 0 0 0 0 0 250 150 0 0 0 0 1 0 500";
        assert_eq!(cpu_seconds(stat), Some(4.0));
    }
}
