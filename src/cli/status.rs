//! `pointsman status`: a table for people, JSON for scripts.

use super::{
    args::Status,
    client::{Client, segment},
    exit::Exit,
    output::show,
    table,
};
use crate::model::view::ServiceView;
use std::{io::IsTerminal, time::Duration};

/// From one look to the next under `--watch`.
const AGAIN: Duration = Duration::from_secs(1);

/// Prints it once, or again and again.
pub(super) async fn run(client: &Client, options: &Status, no_color: bool) -> Exit {
    loop {
        let views = match ask(client, options.svc.as_deref()).await {
            Ok(views) => views,
            Err(exit) => return exit,
        };
        let terminal = std::io::stdout().is_terminal();
        if options.watch && terminal && !options.json {
            // Clears the screen and goes to its first line.
            show(format_args!("\x1b[2J\x1b[H"));
        }
        let shown = if options.json {
            show(format_args!("{}\n", serde_json::json!({ "services": views })))
        } else {
            show(format_args!("{}\n", table::render(&views, table::width(), terminal && colors(no_color))))
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

async fn ask(client: &Client, svc: Option<&str>) -> Result<Vec<ServiceView>, Exit> {
    #[derive(serde::Deserialize)]
    struct Services {
        services: Vec<ServiceView>,
    }
    match svc {
        Some(svc) => Ok(vec![client.get_json(&format!("/v1/services/{}", segment(svc))).await?]),
        None => Ok(client.get_json::<Services>("/v1/services").await?.services),
    }
}
