//! Wakes one task, by whoever on the same thread has news for it.

use std::{cell::RefCell, task::Waker};

/// The waker of one task.
#[derive(Default)]
pub struct Bell(RefCell<Option<Waker>>);

impl Bell {
    /// Notes the task that has to be woken.
    pub fn register(&self, waker: &Waker) {
        let mut slot = self.0.borrow_mut();
        if !slot.as_ref().is_some_and(|known| known.will_wake(waker)) {
            *slot = Some(waker.clone());
        }
    }

    /// Has it look around.
    pub fn ring(&self) {
        if let Some(waker) = &*self.0.borrow() {
            waker.wake_by_ref();
        }
    }
}
