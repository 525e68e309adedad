//! The time that a pass may take, without the time that it waits for a place.
//!
//! Must not count work that never ran.

use std::time::Duration;

use tokio::time::Instant;

use crate::controller::error::{Error, Result};

/// What is left of the time.
pub(super) struct Budget(Duration);

impl Budget {
    /// All of it is left.
    pub(super) fn of(time: Duration) -> Self {
        Self(time)
    }

    /// Runs a part of the pass and takes its time from what is left.
    ///
    /// # Errors
    /// The part's own, or [`Error::TimeRanOut`].
    pub(super) async fn spend<T>(&mut self, part: impl Future<Output = Result<T>>) -> Result<T> {
        let began = Instant::now();
        let ended = tokio::time::timeout(self.0, Box::pin(part)).await;
        self.0 = self.0.saturating_sub(began.elapsed());
        ended.unwrap_or(Err(Error::TimeRanOut))
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;

    #[tokio::test]
    async fn a_part_that_takes_longer_than_what_is_left_is_ended_and_leaves_nothing_for_the_next() {
        let mut budget = Budget::of(Duration::from_hours(1));
        assert_eq!(budget.spend(ready(Ok(1))).await.unwrap(), 1);
        let mut budget = Budget::of(Duration::from_millis(1));
        for _ in 0..2 {
            assert!(matches!(budget.spend(pending::<Result<()>>()).await, Err(Error::TimeRanOut)));
        }
        assert_eq!(budget.0, Duration::ZERO);
    }
}
