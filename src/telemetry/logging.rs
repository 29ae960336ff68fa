//! The tracing set-up: text or JSON lines on standard error, by a level or a filter.

use std::{
    fmt,
    io::{self, IsTerminal},
};
use tracing_subscriber::EnvFilter;

/// Why logging could not be started.
#[derive(Debug)]
pub struct LogError(String);

impl fmt::Display for LogError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for LogError {}

/// Starts logging for the whole process; `filter` is a level or a tracing filter such as `info,pointsman::control=debug`.
/// Fails on a filter that can't be read, and when logging was started before.
pub fn start_logging(filter: &str, json: bool) -> Result<(), LogError> {
    let parsed = EnvFilter::try_new(filter).map_err(|error| LogError(format!("log filter {filter:?}: {error}")))?;
    let color = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let lines = tracing_subscriber::fmt().with_env_filter(parsed).with_writer(io::stderr).with_ansi(color);
    if json { lines.json().flatten_event(true).try_init() } else { lines.try_init() }
        .map_err(|error| LogError(format!("logging: {error}")))
}
