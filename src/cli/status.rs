//! `pointsman status`: a table for people, JSON for scripts.

use super::{
    args::Status,
    client::{Client, Lost, Reply, segment},
    exit::{Exit, complain},
    output::show,
    table, watch,
};
use crate::{config::units::parse_duration, model::view::ServiceView};
use std::{io::IsTerminal, time::Duration};

/// From one look to the next, where somebody waits for it to be ready.
const AGAIN: Duration = Duration::from_millis(200);

/// Prints it once, or again and again.
pub(super) async fn run(client: &Client, options: &Status, no_color: bool) -> Exit {
    let color = std::io::stdout().is_terminal() && colors(no_color);
    if options.watch {
        return watch::run(client, options, color).await;
    }
    let mut exit = Exit::Done;
    if let Some(patience) = &options.until_ready {
        // The grammar let only durations through.
        let patience = parse_duration(&patience.0).unwrap_or_default();
        if tokio::time::timeout(patience, ready(client, options.svc.as_deref())).await.is_err() {
            exit = Exit::Refused;
        }
    }
    match ask(client, options.svc.as_deref()).await {
        Ok(views) if options.json => {
            show(format_args!("{}\n", serde_json::json!({ "services": views })));
            exit
        }
        Ok(views) => {
            show(format_args!("{}\n", table::render(&views, table::width(), color)));
            if exit == Exit::Done { exit } else { complain(exit, "not ready for a switchover within that time") }
        }
        Err(exit) => exit,
    }
}

/// Comes back when every service that is asked for is ready for a switchover. Nobody there yet is waited for too.
async fn ready(client: &Client, svc: Option<&str>) {
    loop {
        if let Ok(reply) = client.get(&path(svc)).await
            && let Ok(views) = read(&reply, svc)
            && views.iter().all(|view| view.switchover_ready.ready)
        {
            return;
        }
        tokio::time::sleep(AGAIN).await;
    }
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
