//! `pointsman rebuild`: what a fenced node holds that nobody else has, and how an operator makes it a standby again.
//!
//! It only shows. The commands are the operator's to run, since they give up what the node alone holds.

use super::{
    args,
    client::{Client, segment},
    exit::Exit,
    output::say,
};
use crate::model::view::Rebuild;

/// Shows it.
pub(super) async fn run(client: &Client, options: &args::Rebuild) -> Exit {
    let path = format!("/v1/services/{}/nodes/{}/rebuild", segment(&options.svc), segment(&options.node));
    let rebuild: Rebuild = match client.get_json(&path).await {
        Ok(rebuild) => rebuild,
        Err(exit) => return exit,
    };
    if options.json {
        say!("{}", serde_json::json!(rebuild));
    } else {
        print(&options.node, &rebuild);
    }
    Exit::Done
}

fn print(node: &str, rebuild: &Rebuild) {
    let Rebuild { holds, look, commands } = rebuild;
    if holds.is_empty() {
        say!("{node} holds nothing that the primary doesn't have.");
    } else {
        say!("{node} holds what nobody else has: {holds}");
    }
    if !look.is_empty() {
        say!("To look at it, or to save it:");
        for command in look {
            say!("  {command}");
        }
    }
    say!("To make it a standby again{}:", if holds.is_empty() { "" } else { ", which gives that up" });
    for command in commands {
        say!("  {command}");
    }
}
