//! Tests whose server is not installed are skipped, and named: `make test` prints the file written here at its end.

use super::servers_folder;
use std::io::Write;
use std::path::PathBuf;

/// Ends the test early, and writes its name down, when a server is not installed: `require_server!("redis8");`
#[macro_export]
macro_rules! require_server {
    ($name:expr) => {
        if !$crate::common::skip::is_installed($name) {
            $crate::common::skip::note($name);
            return;
        }
    };
}

/// Whether `tests/servers/install` has put this component there.
pub fn is_installed(name: &str) -> bool {
    servers_folder().join(name).join(".installed").exists()
}

/// The file of skipped tests, one line each.
pub fn summary() -> PathBuf {
    std::env::var_os("POINTSMAN_SKIPPED")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/skipped.txt"), PathBuf::from)
}

/// Writes down that the current test was skipped.
pub fn note(needs: &str) {
    note_for(std::thread::current().name().unwrap_or("a test"), needs);
}

/// Writes down that this test was skipped.
pub fn note_for(test: &str, needs: &str) {
    let line = format!("skipped: {test} needs {needs}\n");
    eprint!("{line}");
    let file = std::fs::OpenOptions::new().create(true).append(true).open(summary());
    // One write, so that tests that run side by side don't mix their lines.
    file.and_then(|mut file| file.write_all(line.as_bytes())).expect("a skipped test must be written down");
}
