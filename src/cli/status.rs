//! `pointsman status`: a table for people, JSON for scripts.

use super::{
    args::Status,
    client::{Client, segment},
    exit::Exit,
    groups,
    output::show,
    table,
};
use crate::model::{group::GroupView, view::ServiceView};
use std::{io::IsTerminal, time::Duration};

/// From one look to the next under `--watch`.
const AGAIN: Duration = Duration::from_secs(1);

/// Prints it once, or again and again.
pub(super) async fn run(client: &Client, options: &Status, no_color: bool) -> Exit {
    loop {
        let (views, groups) = match ask(client, options.svc.as_deref()).await {
            Ok(found) => found,
            Err(exit) => return exit,
        };
        let terminal = std::io::stdout().is_terminal();
        if options.watch && terminal && !options.json {
            // Clears the screen and goes to its first line.
            show(format_args!("\x1b[2J\x1b[H"));
        }
        let shown = if options.json {
            show(format_args!("{}\n", serde_json::json!({ "services": views, "groups": groups })))
        } else {
            let table = table::render(&views, table::width(), terminal && colors(no_color));
            show(format_args!("{table}\n{}", groups::lines(&groups)))
        };
        if !options.watch || !shown {
            return Exit::Done;
        }
        tokio::select! {
            () = tokio::time::sleep(AGAIN) => {}
            _ = tokio::signal::ctrl_c() => return Exit::Done,
        }
    }
}

/// Whether colours are wanted: neither `--no-color` nor a non-empty `NO_COLOR`.
pub(super) fn colors(no_color: bool) -> bool {
    !no_color && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// One service, the members of one group, or all services; and the groups that they belong to.
async fn ask(client: &Client, name: Option<&str>) -> Result<(Vec<ServiceView>, Vec<GroupView>), Exit> {
    #[derive(serde::Deserialize)]
    struct Services {
        services: Vec<ServiceView>,
    }
    let mut groups = groups::all(client).await?;
    let Some(name) = name else {
        return Ok((client.get_json::<Services>("/v1/services").await?.services, groups));
    };
    if let Some(group) = groups.iter().find(|group| group.name == name).cloned() {
        let all = client.get_json::<Services>("/v1/services").await?.services;
        let members = all.into_iter().filter(|view| group.members.contains(&view.name)).collect();
        return Ok((members, vec![group]));
    }
    let view: ServiceView = client.get_json(&format!("/v1/services/{}", segment(name))).await?;
    groups.retain(|group| group.members.contains(&view.name));
    Ok((vec![view], groups))
}
