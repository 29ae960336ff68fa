//! The command line: one file a subcommand. Everything but `run`, `check`, `audit` and `demo` is a client of the admin API.
//!
//! Inputs: arguments, the environment, the API's answers. Outputs: text or JSON on standard output, complaints on standard
//! error, an exit code that tells the truth. It never reads Pointsman's files behind the API's back, but for `audit`, which is there for
//! that.

mod access;
mod args;
mod audit;
mod check;
mod client;
mod completions;
mod consent;
#[cfg(test)]
mod documented;
mod drain;
mod examples;
mod exit;
mod failover;
mod groups;
mod healthcheck;
mod history;
mod history_options;
mod man;
mod mode;
mod notes;
mod operation;
mod order;
mod output;
mod pause;
mod rebuild;
mod reload;
mod report;
mod restore;
mod resume;
mod run;
mod status;
mod switchover;
mod table;
mod timeline;
mod token;
mod watch;

use args::{Arguments, Sub};
use clap::FromArgMatches;
use client::Client;
use exit::Exit;
use std::process::ExitCode;

/// Parses the arguments, does what they say, and answers with the exit code. Bad usage ends with code 2.
pub fn main() -> ExitCode {
    let arguments = match Arguments::from_arg_matches(&examples::command().get_matches()) {
        Ok(arguments) => arguments,
        Err(error) => error.exit(),
    };
    match arguments.command {
        Sub::Run(options) => run::run(&options),
        Sub::Check(options) => check::run(&options, arguments.no_color),
        Sub::Demo(options) => crate::demo::main(&options),
        Sub::Completions(options) => completions::run(&options),
        Sub::Man(options) => man::run(&options),
        Sub::Audit(options) => audit::run(&options).into(),
        Sub::Token(options) => token::run(&options).into(),
        Sub::Healthcheck(options) => alone(healthcheck::run(&options)).into(),
        sub => {
            let client = match arguments.access.client() {
                Ok(client) => client,
                Err(message) => return exit::complain(Exit::Usage, &message).into(),
            };
            alone(remote(sub, &client, arguments.no_color)).into()
        }
    }
}

/// Subcommands that ask a running Pointsman.
async fn remote(sub: Sub, client: &Client, no_color: bool) -> Exit {
    match sub {
        Sub::Status(options) => status::run(client, &options, no_color).await,
        Sub::Switchover(options) => switchover::run(client, &options).await,
        Sub::Failover(options) => failover::run(client, &options).await,
        Sub::Approve(options) => consent::run(client, "approve", &options).await,
        Sub::Withdraw(options) => consent::run(client, "withdraw", &options).await,
        Sub::Site(options) => groups::site(client, &options).await,
        Sub::Pause(options) => pause::run(client, &options).await,
        Sub::Resume(options) => resume::run(client, &options).await,
        Sub::Mode(options) => mode::run(client, &options).await,
        Sub::Drain(options) => drain::run(client, &options).await,
        Sub::Restore(options) => restore::run(client, &options).await,
        Sub::History(options) => history::run(client, &options).await,
        Sub::Operation(options) => operation::run(client, &options).await,
        Sub::Rebuild(options) => rebuild::run(client, &options).await,
        Sub::Reload(options) => reload::run(client, &options).await,
        Sub::Names(options) => completions::names(client, &options).await,
        _ => exit::complain(Exit::Usage, "this command doesn't ask a Pointsman"),
    }
}

/// Runs a client's future on a runtime of this thread.
fn alone(work: impl Future<Output = Exit>) -> Exit {
    match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(work),
        Err(error) => exit::complain(Exit::Unknown, &format!("the system gives no event loop: {error}")),
    }
}
