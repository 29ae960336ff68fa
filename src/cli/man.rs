//! `pointsman man`: manual pages from the grammar itself, with exit codes, files, environment and examples.

use super::{
    examples,
    exit::{Exit, MEANINGS, complain},
    output::show,
};
use clap::{Args, Command};
use clap_mangen::roff::{Inline, Roff, bold, italic, roman};
use std::{
    io,
    path::{Path, PathBuf},
    process::ExitCode,
};

/// Its arguments.
#[derive(Debug, Args)]
pub(super) struct Man {
    /// The page of this command; else the main page.
    #[arg(conflicts_with = "out")]
    command: Option<String>,
    /// Write every page into this folder.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

const FILES: [(&str, &str); 3] = [
    ("/etc/pointsman/pointsman.toml", "The configuration; config/pointsman.toml of the sources names every key."),
    ("/var/lib/pointsman", "The journal: routes, epochs, fences and operations survive restarts here."),
    ("/run/pointsman/admin.sock", "The socket that commands ask. Root and Pointsman's own user may."),
];

/// Prints one page, or writes all of them to a folder.
pub(super) fn run(options: &Man) -> ExitCode {
    let mut root = examples::grammar();
    root.build();
    if let Some(folder) = &options.out {
        return match write_all(&root, folder) {
            Ok(count) => {
                show(format_args!("{count} pages in {}\n", folder.display()));
                Exit::Done.into()
            }
            Err(error) => complain(Exit::Usage, &format!("{}: {error}", folder.display())).into(),
        };
    }
    let command = match &options.command {
        None => Some(&root),
        Some(name) => shown(&root).find(|sub| sub.get_name() == name),
    };
    let Some(command) = command else {
        let known: Vec<_> = shown(&root).map(Command::get_name).collect();
        return complain(Exit::Usage, &format!("no such page; there are {}", known.join(", "))).into();
    };
    show(format_args!("{}", String::from_utf8_lossy(&page(command))));
    Exit::Done.into()
}

fn shown(command: &Command) -> impl Iterator<Item = &Command> {
    command.get_subcommands().filter(|sub| !sub.is_hide_set() && sub.get_name() != "help")
}

fn write_all(command: &Command, folder: &Path) -> io::Result<usize> {
    std::fs::create_dir_all(folder)?;
    std::fs::write(folder.join(format!("{}.1", name(command))), page(command))?;
    let mut count = 1;
    for sub in shown(command) {
        count += write_all(sub, folder)?;
    }
    Ok(count)
}

/// `pointsman-switchover`.
fn name(command: &Command) -> &str {
    command.get_display_name().unwrap_or_else(|| command.get_name())
}

fn page(command: &Command) -> Vec<u8> {
    let source = format!("pointsman {}", env!("CARGO_PKG_VERSION"));
    let man = clap_mangen::Man::new(command.clone()).title(name(command)).source(source).manual("Pointsman");
    let mut text = Vec::new();
    // Writing to memory can't fail.
    let _ = man.render_title(&mut text);
    let _ = man.render_name_section(&mut text);
    let _ = man.render_synopsis_section(&mut text);
    let _ = man.render_description_section(&mut text);
    let _ = man.render_options_section(&mut text);
    if shown(command).next().is_some() {
        let _ = man.render_subcommands_section(&mut text);
    }
    let _ = own_sections(command).to_writer(&mut text);
    text
}

fn own_sections(command: &Command) -> Roff {
    let mut roff = Roff::new();
    let main = command.get_name() == "pointsman";
    let exits = MEANINGS.map(|(exit, means)| ((exit as u8).to_string(), means));
    terms(&mut roff, "EXIT STATUS", exits.iter().map(|(code, means)| (vec![bold(code.as_str())], *means)));
    let variables = environment(command);
    terms(&mut roff, "ENVIRONMENT", variables.iter().map(|(name, means)| (vec![bold(name.as_str())], means.as_str())));
    terms(&mut roff, "FILES", FILES.map(|(path, means)| (vec![italic(path)], means)));
    let of = |sub: &Command| examples::of(sub.get_bin_name().unwrap_or_default()).collect::<Vec<_>>();
    let examples =
        if main { shown(command).flat_map(|sub| of(sub).into_iter().take(1)).collect() } else { of(command) };
    terms(&mut roff, "EXAMPLES", examples.into_iter().map(|(line, does)| (vec![bold(line)], does)));
    roff.control("SH", ["SEE ALSO"]);
    let others: Vec<String> = if main {
        shown(command).map(|sub| format!("{}(1)", name(sub))).collect()
    } else {
        vec!["pointsman(1)".to_owned()]
    };
    roff.text([roman(others.join(", "))]);
    roff
}

/// The variables that stand for options, as the grammar has them, and the one that everybody knows.
fn environment(command: &Command) -> Vec<(String, String)> {
    let of = |argument: &clap::Arg| {
        let (name, option) = (argument.get_env()?.to_str()?.to_owned(), argument.get_long()?);
        let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
        Some((name, format!("As --{option}: {help}")))
    };
    let colors = ("NO_COLOR".to_owned(), "Not empty: no colours, as by --no-color.".to_owned());
    command.get_arguments().filter_map(of).chain([colors]).collect()
}

/// A section of terms with their meanings; none at all where there are no terms.
fn terms<'t>(roff: &mut Roff, head: &str, terms: impl IntoIterator<Item = (Vec<Inline>, &'t str)>) {
    let mut terms = terms.into_iter().peekable();
    if terms.peek().is_some() {
        roff.control("SH", [head]);
    }
    for (term, meaning) in terms {
        roff.control("TP", []);
        roff.text(term);
        roff.text([roman(meaning)]);
    }
}
