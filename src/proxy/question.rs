//! A question that many ask at once and one asks for all of them.
//!
//! Input: what it is about, and how it is put. Output: an answer to a question that was begun after the asking. Never: two at a time, or
//! an answer that may be older than who asks.

use std::cell::{Cell, RefCell};
use tokio::sync::Notify;

/// A question about a `K`, whose answer is an `A`.
pub struct Question<K, A> {
    /// How many were begun.
    begun: Cell<u64>,
    /// The last one's number, what it was about, and its answer.
    last: RefCell<Option<(u64, K, A)>>,
    asking: Cell<bool>,
    told: Notify,
}

impl<K, A> Default for Question<K, A> {
    fn default() -> Self {
        let (begun, last, asking, told) = Default::default();
        Self { begun, last, asking, told }
    }
}

/// Ends the asking, whatever happens to who asks.
struct Asking<'a, K, A>(&'a Question<K, A>);

impl<K, A> Drop for Asking<'_, K, A> {
    fn drop(&mut self) {
        self.0.asking.set(false);
        self.0.told.notify_waiters();
    }
}

impl<K: PartialEq, A: Clone> Question<K, A> {
    /// The answer to a question about `about` that is put, by somebody, from now on.
    pub async fn ask(&self, about: K, put: impl AsyncFn(&K) -> A) -> A {
        let before = self.begun.get();
        loop {
            let told = self.told.notified();
            if let Some((number, of, answer)) = &*self.last.borrow()
                && *number > before
                && *of == about
            {
                return answer.clone();
            }
            if self.asking.replace(true) {
                told.await;
                continue;
            }
            let _asking = Asking(self);
            let number = self.begun.get() + 1;
            self.begun.set(number);
            let answer = put(&about).await;
            *self.last.borrow_mut() = Some((number, about, answer.clone()));
            return answer;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_asks_at_once_shares_an_answer_that_is_newer_than_the_asking() {
        let (question, put) = (Question::<u8, u64>::default(), Cell::new(0));
        let asked = async |_: &u8| {
            put.set(put.get() + 1);
            tokio::task::yield_now().await;
            put.get()
        };
        let ask = |about| question.ask(about, asked);
        // The first one's was begun before the others asked, so those share a second one.
        assert_eq!(tokio::join!(ask(7), ask(7), ask(7)), (1, 2, 2));
        assert_eq!(ask(7).await, 3, "an older answer is none");
        assert_eq!(tokio::join!(ask(7), ask(8)), (4, 5), "another question");
    }

    #[tokio::test]
    async fn one_who_asks_and_leaves_leaves_the_question_to_others() {
        let question = Question::<u8, u64>::default();
        let never = question.ask(7, async |_: &u8| std::future::pending().await);
        assert!(futures_util::future::poll_immediate(never).await.is_none());
        assert_eq!(question.ask(7, async |_: &u8| 1).await, 1);
    }
}
