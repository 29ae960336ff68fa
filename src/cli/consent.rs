//! `pointsman approve` and `pointsman withdraw`: a second person's word on a switch that waits for one.

use super::{
    args::Common,
    client::{Client, segment},
    exit::Exit,
    order,
};

use clap::Args;

/// Which operation.
#[derive(Debug, Args)]
pub(super) struct Consent {
    /// The operation's id, as cart-17; `pointsman status` shows what waits.
    pub(super) id: String,
    #[command(flatten)]
    pub(super) common: Common,
}

/// Gives it.
pub(super) async fn run(client: &Client, action: &str, options: &Consent) -> Exit {
    let id = &options.id;
    let place =
        order::Place { path: format!("/v1/operations/{}/{action}", segment(id)), look: format!("operation {id}") };
    order::run_at(client, &place, serde_json::json!({ "wait": order::FIRST_WAIT }), &options.common).await
}
