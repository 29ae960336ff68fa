//! How many requests may be sent again: a share of the traffic, so that a sick cluster isn't asked twice as much as a healthy one.

use std::cell::Cell;

/// What one repetition costs, in the unit of the account.
const PRICE: u32 = 100;
/// What a request brings in: 20 % of a repetition.
const SHARE: u32 = 20;
/// What a second brings in: ten repetitions.
const SECOND: u32 = 10 * PRICE;
/// What is kept at most: enough for all that was in flight at a node that dies.
const MOST: u32 = 256 * PRICE;

/// One lane's account.
#[derive(Debug)]
pub struct Budget(Cell<u32>);

impl Default for Budget {
    fn default() -> Self {
        Self(Cell::new(MOST))
    }
}

impl Budget {
    /// A request was sent for the first time.
    pub fn earn(&self) {
        self.0.set((self.0.get() + SHARE).min(MOST));
    }

    /// A second has passed.
    pub fn second(&self) {
        self.0.set((self.0.get() + SECOND).min(MOST));
    }

    /// True if a request may be sent again.
    pub fn spend(&self) -> bool {
        let rest = self.0.get().checked_sub(PRICE);
        rest.inspect(|rest| self.0.set(*rest)).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fifth_of_the_requests_and_ten_a_second_may_be_repeated() {
        let budget = Budget::default();
        while budget.spend() {}
        (0..10).for_each(|_| budget.earn());
        assert!(budget.spend() && budget.spend() && !budget.spend());
        budget.second();
        assert_eq!((0..100).filter(|_| budget.spend()).count(), 10);
    }
}
