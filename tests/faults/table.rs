//! Runs faults as trials that look like any other test, and prints what became of each as one table.

use crate::common::skip;
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use std::{
    any::Any,
    panic::{catch_unwind, resume_unwind},
    process::ExitCode,
    sync::mpsc::{Sender, channel},
    time::{Duration, Instant},
};

/// How much of a failure's words fits into the table; all of them are printed where it happens.
const WORDS: usize = 160;

/// Its rows, what goes wrong, what must hold, whether it is slow, and who tries it.
#[derive(Clone, Copy)]
pub struct Fault(pub &'static str, pub &'static str, pub &'static str, pub bool, pub fn() -> String);

/// What became of a fault.
struct Row {
    fault: Fault,
    held: &'static str,
    measured: String,
    took: Duration,
}

/// Thrown by a scenario that this machine can't play.
struct Skipped(String);

/// Ends a scenario that this machine can't play: it counts as neither held nor failed, and is named.
pub fn skip(why: &str) -> ! {
    // No panic, so that nothing is printed as one.
    resume_unwind(Box::new(Skipped(why.to_owned())))
}

/// Ends the scenario if a server isn't installed.
pub fn needs(component: &str) {
    if !skip::is_installed(component) {
        skip(component);
    }
}

/// Runs what the command line asks for, prints the table, gives the exit code: 0 only if all that ran held.
pub fn run(arguments: &Arguments, faults: &[Fault]) -> ExitCode {
    let (rows, ended) = channel();
    let trials = faults.iter().map(|fault| trial(*fault, rows.clone())).collect();
    let conclusion = libtest_mimic::run(arguments, trials);
    let mut rows: Vec<Row> = ended.try_iter().collect();
    // Trials that ran side by side ended in any order.
    rows.sort_by_key(|row| faults.iter().position(|fault| fault.1 == row.fault.1));
    if !rows.is_empty() {
        print(&rows);
    }
    conclusion.exit_code()
}

fn trial(fault: Fault, rows: Sender<Row>) -> Trial {
    let Fault(number, name, _, slow, scenario) = fault;
    let run = move || {
        let begun = Instant::now();
        let result = catch_unwind(scenario).map_err(words);
        let row = |held, measured: &str| Row { fault, held, measured: measured.to_owned(), took: begun.elapsed() };
        let (row, outcome) = match result {
            Ok(measured) => (row("yes", &measured), Ok(Completion::Completed)),
            Err(Ended::Skipped(why)) => {
                skip::note_for(name, &why);
                (row("skipped", &format!("needs {why}")), Ok(Completion::ignored_with(why)))
            }
            Err(Ended::Failed(why)) => (row("NO", &why), Err(Failed::from(why))),
        };
        let _ = rows.send(row);
        outcome
    };
    Trial::ignorable_test(name, run).with_kind(number).with_ignored_flag(slow)
}

enum Ended {
    Skipped(String),
    Failed(String),
}

fn words(thrown: Box<dyn Any + Send>) -> Ended {
    match thrown.downcast::<Skipped>() {
        Ok(skipped) => Ended::Skipped(skipped.0),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
            Ended::Failed(text.unwrap_or_else(|| "a panic without words".into()))
        }
    }
}

fn print(rows: &[Row]) {
    println!("\n| row | fault | must hold | held | measured | s |\n|---|---|---|---|---|---|");
    for Row { fault: Fault(number, name, must, ..), held, measured, took } in rows {
        let measured: String = measured.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "/");
        let short: String = measured.chars().take(if *held == "NO" { WORDS } else { usize::MAX }).collect();
        println!("| {number} | {name} | {must} | {held} | {short} | {:.1} |", took.as_secs_f64());
    }
    let count = |held| rows.iter().filter(|row| row.held == held).count();
    println!("\n{} held, {} did not, {} skipped", count("yes"), count("NO"), count("skipped"));
}
