//! `pointsman mode`: what applications may do.

use super::{
    args::{ModeName, ModeOf},
    client::Client,
    exit::Exit,
    order,
};
use crate::model::route::Mode;
use serde_json::json;

/// Orders it.
pub(super) async fn run(client: &Client, options: &ModeOf) -> Exit {
    let mode = match options.mode {
        ModeName::Open => Mode::Open,
        ModeName::ReadOnly => Mode::ReadOnly,
        ModeName::Hold => Mode::Hold,
        ModeName::Closed => Mode::Closed,
    };
    order::run(client, &options.svc, "mode", json!({ "mode": mode }), &options.common).await
}
