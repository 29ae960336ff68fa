//! `pointsman status`: a table for people, JSON for scripts.

use super::{
    args::Status,
    client::{Client, Lost, Reply, segment},
    exit::{Exit, complain},
    groups,
    output::show,
    table, watch,
};
use crate::model::{group::GroupView, view::ServiceView};
use std::io::IsTerminal;

/// Prints it once, or again and again.
pub(super) async fn run(client: &Client, options: &Status, no_color: bool) -> Exit {
    let color = std::io::stdout().is_terminal() && colors(no_color);
    if options.watch {
        return watch::run(client, options, color).await;
    }
    let (views, groups) = match all(client, options.svc.as_deref()).await {
        Ok(found) => found,
        Err(exit) => return exit,
    };
    if options.json {
        show(format_args!("{}\n", serde_json::json!({ "services": views, "groups": groups })));
    } else {
        show(format_args!("{}\n{}", table::render(&views, table::width(), color), groups::lines(&groups)));
    }
    Exit::Done
}

/// One service, the members of one group, or all services; and the groups that they belong to.
async fn all(client: &Client, name: Option<&str>) -> Result<(Vec<ServiceView>, Vec<GroupView>), Exit> {
    let mut groups = groups::all(client).await?;
    if let Some(group) = name.and_then(|name| groups.iter().find(|group| group.name == name)).cloned() {
        let mut views = ask(client, None).await?;
        views.retain(|view| group.members.contains(&view.name));
        return Ok((views, vec![group]));
    }
    let views = ask(client, name).await?;
    groups.retain(|group| views.iter().any(|view| group.members.contains(&view.name)));
    Ok((views, groups))
}

/// Whether colours are wanted: neither `--no-color` nor a non-empty `NO_COLOR`.
pub(super) fn colors(no_color: bool) -> bool {
    !no_color && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Asks for all services, or for one. What isn't a success is complained about.
pub(super) async fn ask(client: &Client, svc: Option<&str>) -> Result<Vec<ServiceView>, Exit> {
    let complaint = |lost: Lost| complain(lost.exit(), &lost.to_string());
    let reply = client.get(&path(svc)).await.map_err(complaint)?;
    if reply.status.is_success() { read(&reply, svc).map_err(complaint) } else { Err(super::report::failed(&reply)) }
}

/// Where that is asked for.
pub(super) fn path(svc: Option<&str>) -> String {
    svc.map_or_else(|| "/v1/services".to_owned(), |svc| format!("/v1/services/{}", segment(svc)))
}

/// Reads an answer to [`path`].
pub(super) fn read(reply: &Reply, svc: Option<&str>) -> Result<Vec<ServiceView>, Lost> {
    #[derive(serde::Deserialize)]
    struct Services {
        services: Vec<ServiceView>,
    }
    match svc {
        Some(_) => Ok(vec![reply.json()?]),
        None => Ok(reply.json::<Services>()?.services),
    }
}
