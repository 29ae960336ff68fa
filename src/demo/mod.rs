//! `pointsman demo`: real servers, a real Pointsman, a visible load, a planned switch there and back, a primary that is killed,
//! and what was felt.
//!
//! Inputs: the paths of the servers' programs. Output: text on standard output whose last lines are for scripts, and an exit code
//! that is 0 only if the promises held. It starts processes of its own and ends them in every case; after a
//! `kill -9` only its folder `pointsman-demo-PID` is left in the system's folder for temporary files. It never touches
//! servers that it didn't start.

/// `println!` for a reader that may be gone: the show goes on, and its exit code stays true.
macro_rules! say {
    ($($argument:tt)*) => {{
        let text = format_args!("{}\n", format_args!($($argument)*));
        let _ = std::io::Write::write_fmt(&mut std::io::stdout().lock(), text);
    }};
}

mod crash;
mod elastic;
mod mysql;
mod process;
mod redis;
mod scene;
mod show;
mod store;
mod tally;

use clap::Args;
use std::{path::PathBuf, process::ExitCode};

/// The kinds that can be shown.
const KINDS: [&str; 3] = ["redis", "mysql", "elasticsearch"];

/// What `pointsman demo` takes.
#[derive(Debug, Args)]
pub struct Options {
    /// The redis-server to start.
    #[arg(long, default_value = "redis-server")]
    redis_server: PathBuf,
    /// The mysqld or mariadbd to start; mariadb-install-db is looked for beside it.
    #[arg(long, default_value = "mysqld")]
    mysql_server: PathBuf,
    /// The program that runs one node of OpenSearch or Elasticsearch: home, cluster, HTTP port, transport port, transport ports of all nodes.
    #[arg(long, default_value = "node")]
    search_node: PathBuf,
    /// How long the load runs before the crash, in seconds; a switch at a third and one back at two thirds.
    #[arg(long, default_value_t = 12, value_parser = clap::value_parser!(u64).range(6..=3600))]
    seconds: u64,
    /// The kinds of stores to show, one after the other: redis, mysql, elasticsearch.
    #[arg(long, default_value = "redis")]
    stores: String,
}

/// Runs the demo; the code is 0 only if nothing failed, nothing was lost in a planned switch, and every switch was done.
pub fn main(options: &Options) -> ExitCode {
    if let Some(store) = options.stores.split_whitespace().find(|store| !KINDS.contains(store)) {
        eprintln!("pointsman: demo: this version shows {}, not {store}", KINDS.join(", "));
        return ExitCode::from(2);
    }
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("pointsman: demo: the system gives no event loop: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(show::run(options)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("pointsman: demo: {error}");
            ExitCode::FAILURE
        }
    }
}
