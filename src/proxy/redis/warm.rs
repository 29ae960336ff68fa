//! The connection that a shared upstream has on the node which the route will move to, beside the one in use.
//!
//! Input: the node of a switch that is prepared. Output: a connection, logged in, for the driver to go on with. Never: a request
//! on it.

use super::{drive::attempt, lane::Lane, open::Upstream, shared::Shared};
use crate::model::name::NodeAddress;
use std::rc::Rc;

impl Shared {
    /// An upstream on the next node, for when the route moves there.
    pub fn warm_up(&self, node: NodeAddress, upstream: Upstream) {
        *self.warm.borrow_mut() = Some((node, upstream));
    }

    /// Closes it unless it is on that node: the route doesn't move there after all.
    pub fn cool(&self, node: Option<&NodeAddress>) {
        self.warm.borrow_mut().take_if(|(on, _)| Some(&*on) != node);
    }

    /// True when there is one on that node.
    pub fn is_warm(&self, node: &NodeAddress) -> bool {
        self.warm.borrow().as_ref().is_some_and(|(on, _)| on == node)
    }

    /// Takes it, if it is on that node.
    pub fn take_warm(&self, node: &NodeAddress) -> Option<Upstream> {
        self.warm.borrow_mut().take().filter(|(on, _)| on == node).map(|(_, upstream)| upstream)
    }
}

/// Opens an upstream on the node that the route will move to, beside the one in use.
pub fn warm_up(lane: &Rc<Lane>, shared: &Rc<Shared>, node: &NodeAddress) {
    if shared.is_warm(node) || shared.warming.replace(true) {
        return;
    }
    let (lane, shared, node) = (Rc::clone(lane), Rc::clone(shared), node.clone());
    tokio::task::spawn_local(async move {
        if let Ok(upstream) = attempt(&lane, &shared, &node).await {
            shared.warm_up(node, upstream);
        }
        shared.warming.set(false);
        lane.attend.notify_one();
    });
}
