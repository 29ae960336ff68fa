//! `pointsman status`: a table for people, JSON for scripts.

use super::{
    args::Status,
    client::{Client, Lost, Reply, segment},
    exit::{Exit, complain},
    groups,
    output::show,
    table, watch,
};
use crate::{
    config::units::parse_duration,
    model::{group::GroupView, view::ServiceView},
};
use serde::{Deserialize, de::DeserializeOwned};
use std::{fmt, io::IsTerminal, time::Duration};

/// From one look to the next, where somebody waits for it to be ready.
const AGAIN: Duration = Duration::from_millis(200);

/// What one look gave: one service, the members of one group, or all services; and the groups that they belong to.
#[derive(Default)]
pub(super) struct Picture {
    pub(super) views: Vec<ServiceView>,
    groups: Vec<GroupView>,
}

impl Picture {
    /// Of the services and of the groups.
    pub(super) fn names(&self) -> Vec<String> {
        let services = self.views.iter().map(|view| view.name.to_string());
        services.chain(self.groups.iter().map(|group| group.name.clone())).collect()
    }

    /// For people.
    pub(super) fn text(&self, width: usize, color: bool) -> String {
        format!("{}\n{}", table::render(&self.views, width, color), groups::lines(&self.groups))
    }

    /// For scripts.
    pub(super) fn json(&self) -> serde_json::Value {
        serde_json::json!({ "services": self.views, "groups": self.groups })
    }
}

/// Why a look gave nothing.
pub(super) enum Blind {
    /// No answer.
    Lost(Lost),
    /// An answer that is no picture.
    Refused(Reply),
}

impl From<Lost> for Blind {
    fn from(lost: Lost) -> Self {
        Self::Lost(lost)
    }
}

impl fmt::Display for Blind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lost(lost) => lost.fmt(f),
            Self::Refused(reply) => write!(f, "it answered HTTP {}", reply.status),
        }
    }
}

impl Blind {
    /// Whether the same question will never be answered otherwise: we may not ask it, or there is no such thing.
    pub(super) fn is_final(&self) -> bool {
        match self {
            Self::Lost(lost) => matches!(lost, Lost::NotAllowed(_)),
            Self::Refused(reply) => matches!(reply.status.as_u16(), 401 | 403 | 404),
        }
    }

    /// Complains, and gives the exit code.
    pub(super) fn complain(&self) -> Exit {
        match self {
            Self::Lost(lost) => complain(lost.exit(), &lost.to_string()),
            Self::Refused(reply) => super::report::failed(reply),
        }
    }
}

/// Prints it once, or again and again.
pub(super) async fn run(client: &Client, options: &Status, no_color: bool) -> Exit {
    let color = std::io::stdout().is_terminal() && colors(no_color);
    if options.watch {
        return watch::run(client, options, color).await;
    }
    let name = options.svc.as_deref();
    // The grammar let only durations through.
    let patience = options.until_ready.as_ref().map(|patience| parse_duration(&patience.0).unwrap_or_default());
    let late = match patience {
        Some(patience) => tokio::time::timeout(patience, ready(client, name)).await.is_err(),
        None => false,
    };
    let picture = match look(client, name).await {
        Ok(picture) => picture,
        Err(blind) => return blind.complain(),
    };
    if options.json {
        show(format_args!("{}\n", picture.json()));
    } else {
        show(format_args!("{}", picture.text(table::width(), color)));
    }
    if late { complain(Exit::Refused, "not ready for a switchover within that time") } else { Exit::Done }
}

/// Comes back when every service that is asked for is ready for a switchover. Nobody there yet is waited for too.
async fn ready(client: &Client, name: Option<&str>) {
    loop {
        if look(client, name).await.is_ok_and(|picture| picture.views.iter().all(|view| view.switchover_ready.ready)) {
            return;
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// Whether colours are wanted: neither `--no-color` nor a non-empty `NO_COLOR`.
pub(super) fn colors(no_color: bool) -> bool {
    !no_color && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Looks once, and complains of nothing.
pub(super) async fn look(client: &Client, name: Option<&str>) -> Result<Picture, Blind> {
    #[derive(Deserialize)]
    struct Groups {
        groups: Vec<GroupView>,
    }
    #[derive(Deserialize)]
    struct Services {
        services: Vec<ServiceView>,
    }
    let mut groups = get::<Groups>(client, "/v1/groups").await?.groups;
    let group = name.and_then(|name| groups.iter().find(|group| group.name == name)).cloned();
    if let Some(group) = group {
        let mut views = get::<Services>(client, "/v1/services").await?.services;
        views.retain(|view| group.members.contains(&view.name));
        return Ok(Picture { views, groups: vec![group] });
    }
    let views = match name {
        Some(svc) => vec![get(client, &format!("/v1/services/{}", segment(svc))).await?],
        None => get::<Services>(client, "/v1/services").await?.services,
    };
    groups.retain(|group| views.iter().any(|view| group.members.contains(&view.name)));
    Ok(Picture { views, groups })
}

async fn get<T: DeserializeOwned>(client: &Client, path: &str) -> Result<T, Blind> {
    let reply = client.get(path).await?;
    if reply.status.is_success() { Ok(reply.json()?) } else { Err(Blind::Refused(reply)) }
}
