//! Tells people: webhooks that follow the journal and the state of the services.
//!
//! Inputs: control's [`Handle`] and the webhooks of the configuration. Outputs: HTTP POSTs in Alertmanager's form or as plain JSON,
//! counts of them, and one small file a webhook in `state_dir/webhooks`, which says what was told. The queue is the journal itself: a
//! webhook remembers the last record that it delivered, so that what could not be delivered is told after a restart too, and what was
//! is not (a crash between the two tells it twice: at least once). It never writes to the journal, never makes control or the data
//! path wait, and never shows a token or the path of an address.

mod alertmanager;
mod book;
mod event;
mod hook;
mod pace;
mod plain;
mod plan;
mod post;
mod seen;
#[cfg(test)]
mod tests;
mod words;

use crate::{config::Webhook, control::Handle, telemetry::Metrics};
use hook::Hook;
use std::{collections::BTreeMap, time::Duration};
use tokio::{
    task::JoinHandle,
    time::{MissedTickBehavior, interval},
};

/// How often it is looked whether a reload changed the webhooks.
const LOOK: Duration = Duration::from_millis(500);

/// A webhook at work. Dropping it ends it, in the middle of a delivery too: what wasn't confirmed is told by its successor.
struct Working {
    settings: Webhook,
    task: JoinHandle<()>,
}

impl Drop for Working {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Keeps one task a configured webhook until the future is dropped. Each works by itself: one that hangs delays no other.
pub async fn run(handle: Handle, metrics: Metrics) {
    let mut working: BTreeMap<String, Working> = BTreeMap::new();
    let mut started = 0;
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        looks.tick().await;
        let config = handle.configuration();
        let wanted = &config.telemetry.webhooks;
        working.retain(|name, hook| {
            let stays = wanted.contains(&hook.settings) && !hook.task.is_finished();
            if hook.task.is_finished() {
                tracing::error!(hook = name, "a webhook's task died and is started again");
            }
            if !wanted.iter().any(|other| other.name == *name) {
                metrics.webhooks().forget(name);
            }
            stays
        });
        for settings in wanted.iter().filter(|hook| !working.contains_key(&hook.name)).cloned().collect::<Vec<_>>() {
            started += 1;
            let metrics = metrics.webhooks().clone();
            let hook = Hook::new(settings.clone(), started, &config.state_dir, handle.clone(), metrics);
            working.insert(settings.name.clone(), Working { settings, task: tokio::spawn(hook.run()) });
        }
    }
}
