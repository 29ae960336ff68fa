//! `pointsman run`: the proxy itself.

use super::args::ConfigFile;
use std::process::ExitCode;

/// Runs until SIGTERM; a configuration that can't be used is code 2.
pub(super) fn run(options: &ConfigFile) -> ExitCode {
    crate::app::run(&options.config)
}
