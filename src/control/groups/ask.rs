//! How a handle asks the runner.

use super::{GroupConsent, GroupOrder, GroupReply, runner::Request};
use crate::control::handle::{Handle, Key};
use std::time::Duration;
use tokio::{
    sync::oneshot,
    time::{Instant, timeout_at},
};

/// How long an order may wait to be taken up before the caller hears [`GroupReply::Late`].
const TAKE_UP: Duration = Duration::from_secs(10);

impl Handle {
    /// Gives an order for several services and waits for its end, at most `wait` (absent: however long it takes). With a key, the same
    /// request within a day gets the first one's answer, over restarts too. It goes on when its caller goes away. The end of a dry run, which
    /// nobody can look at later, is waited for in any case: a few seconds.
    pub async fn order_group(&self, order: GroupOrder, wait: Option<Duration>, key: Option<Key>) -> GroupReply {
        let (reply, ended) = oneshot::channel();
        let (accepted, id) = oneshot::channel();
        let wait = wait.filter(|_| !order.dry_run);
        self.ask_group(Request::Order { order, key, reply, accepted }, ended, id, wait).await
    }

    /// A second person's word on an operation of several services.
    pub async fn consent_group(&self, consent: GroupConsent, wait: Option<Duration>) -> GroupReply {
        let (reply, ended) = oneshot::channel();
        let (accepted, id) = oneshot::channel();
        self.ask_group(Request::Consent { consent, reply, accepted }, ended, id, wait).await
    }

    async fn ask_group(
        &self,
        request: Request,
        mut ended: oneshot::Receiver<GroupReply>,
        id: oneshot::Receiver<crate::model::name::OperationId>,
        wait: Option<Duration>,
    ) -> GroupReply {
        let now = Instant::now();
        match timeout_at(now + TAKE_UP, self.shared.groups.send(request)).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) | Err(_) => return GroupReply::Late,
        }
        let Some(wait) = wait else { return ended.await.unwrap_or(GroupReply::Late) };
        match timeout_at(now + wait, &mut ended).await {
            Ok(reply) => reply.unwrap_or(GroupReply::Late),
            Err(_) => id.await.map_or(GroupReply::Late, GroupReply::Running),
        }
    }
}
