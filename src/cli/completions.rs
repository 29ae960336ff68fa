//! `pointsman completions`: a shell's completions from the grammar; bash's also ask the Pointsman that runs for names.

use super::{client::Client, examples, exit::Exit, output::show, status};
use clap::Args;
use clap_complete::Shell;
use std::{collections::BTreeSet, process::ExitCode};

/// Its arguments.
#[derive(Debug, Args)]
pub(super) struct Completions {
    /// The shell.
    shell: Shell,
}

/// Of the hidden command that completions ask.
#[derive(Debug, Args)]
pub(super) struct Names {
    /// The clusters of this service; else the services.
    svc: Option<String>,
}

/// Follows the generated function: puts names in place of the placeholder of a service or a cluster.
const LIVE: &str = r#"
# Names of services and clusters come from the Pointsman that runs, if one answers.
_pointsman_live() {
    _pointsman "$@"
    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} sub=${COMP_WORDS[1]} names="" reply
    [[ $word == -* ]] && return 0
    if [[ $before == --to ]]; then
        names=$(command "$1" names "${COMP_WORDS[2]}" 2>/dev/null)
    elif [[ $before == -* ]]; then
        return 0
    elif [[ $COMP_CWORD == 2 && " SERVICE_COMMANDS " == *" $sub "* ]]; then
        names=$(command "$1" names 2>/dev/null)
    elif [[ $COMP_CWORD == 3 && ( $sub == drain || $sub == restore ) ]]; then
        names=$(command "$1" names "$before" 2>/dev/null)
    fi
    [[ -z $names ]] && return 0
    local kept=()
    for reply in "${COMPREPLY[@]}"; do
        [[ $reply == [\<\[]* ]] || kept+=("$reply")
    done
    mapfile -t COMPREPLY < <(compgen -W "$names" -- "$word")
    COMPREPLY+=("${kept[@]}")
}
complete -F _pointsman_live -o nosort -o bashdefault -o default pointsman
"#;

/// Prints them.
pub(super) fn run(options: &Completions) -> ExitCode {
    let mut command = examples::grammar();
    let mut text = Vec::new();
    clap_complete::generate(options.shell, &mut command, "pointsman", &mut text);
    let mut text = String::from_utf8_lossy(&text).into_owned();
    if options.shell == Shell::Bash {
        text += &LIVE.replace("SERVICE_COMMANDS", &of_services(&command).join(" "));
    }
    show(format_args!("{text}"));
    Exit::Done.into()
}

/// The subcommands whose first word is a service.
fn of_services(command: &clap::Command) -> Vec<&str> {
    let takes = |sub: &&clap::Command| sub.get_positionals().next().is_some_and(|first| first.get_id() == "svc");
    command.get_subcommands().filter(takes).map(clap::Command::get_name).collect()
}

/// The names of services and groups, or of one's clusters, one a line.
pub(super) async fn names(client: &Client, options: &Names) -> Exit {
    let picture = match status::look(client, options.svc.as_deref()).await {
        Ok(picture) => picture,
        Err(blind) => return blind.complain(),
    };
    let names: Vec<String> = match &options.svc {
        // A group's name stands where a service's may.
        None => picture.names(),
        Some(_) => {
            let clusters = picture.views.iter().flat_map(|view| &view.clusters);
            clusters.map(|cluster| cluster.name.to_string()).collect::<BTreeSet<_>>().into_iter().collect()
        }
    };
    for name in names {
        show(format_args!("{name}\n"));
    }
    Exit::Done
}
