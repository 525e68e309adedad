//! Audit records that were taken from the queue to be written together.
//!
//! Every batch is settled once, or its records are the first of their destination again, whatever becomes of the task that took it.
//!
//! Must not write: `delivery` does.

use std::mem;
use std::sync::Arc;

use domain::retry::Class;

use super::destination::Destination;
use super::queue::Queue;
use super::record::Record;

/// See the module.
pub(super) struct Batch {
    queue: Arc<Queue>,
    pub(super) destination: Destination,
    pub(super) records: Vec<Record>,
    /// How often they were tried before.
    pub(super) failures: u32,
    class: Class,
}

impl Batch {
    /// The oldest records of a destination, if no other batch of it is being written.
    pub(super) fn take(queue: &Arc<Queue>, destination: Destination) -> Option<Self> {
        let (records, failures) = queue.take(destination)?;
        Some(Self { queue: Arc::clone(queue), destination, records, failures, class: Class::Transient })
    }

    /// They are written, except for those that the database refused.
    pub(super) fn settle(mut self, refused: usize) {
        let records = mem::take(&mut self.records);
        self.queue.settle(self.destination, records.len(), refused);
    }

    /// They could not be written, with an error of this class.
    pub(super) fn fail(mut self, class: Class) {
        self.class = class;
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        if !self.records.is_empty() {
            self.queue.restore(self.destination, mem::take(&mut self.records), self.class);
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::{TimeDelta, Utc};
    use uuid::Uuid;

    use std::time::{Duration, Instant};

    use domain::names::TenantId;

    use super::*;
    use crate::audit::queue::Ready;
    use crate::audit::settings::Settings;

    const DOWN: Destination = Destination::School(TenantId(Uuid::from_u128(1)));
    const NOISY: Destination = Destination::School(TenantId(Uuid::from_u128(2)));
    const UP: Destination = Destination::School(TenantId(Uuid::from_u128(3)));

    fn queue(capacity: usize, batch: usize) -> Arc<Queue> {
        Arc::new(Queue::new(&Settings { capacity, batch, ..Settings::default() }))
    }

    /// The n-th record of a destination. Later ones are younger.
    fn push(queue: &Queue, destination: Destination, numbers: std::ops::Range<u32>) {
        for n in numbers {
            let at = Utc::now() + TimeDelta::seconds(n.into());
            let (tenant, user, address, success) = (None, None, None, true);
            let (id, resource, request_id) = (Uuid::now_v7(), n.to_string(), None);
            queue.push(
                destination,
                Record { id, tenant, user, action: "a".into(), resource, address, at, success, reason: None, request_id },
            );
        }
    }

    fn numbers(batch: &Batch) -> Vec<u32> {
        batch.records.iter().map(|record| record.resource.parse().unwrap()).collect()
    }

    fn drain(queue: &Arc<Queue>, destination: Destination) -> Vec<u32> {
        std::iter::from_fn(|| Batch::take(queue, destination).map(|batch| (numbers(&batch), batch.settle(0)).0)).flatten().collect()
    }

    #[test]
    fn a_full_queue_loses_exactly_as_many_as_are_too_many_and_the_oldest_first() {
        let queue = queue(10, 4);
        push(&queue, DOWN, 0..35);
        assert_eq!((queue.len(), queue.dropped()), (10, 25));
        assert_eq!(drain(&queue, DOWN), (25..35).collect::<Vec<_>>());
        assert_eq!((queue.len(), queue.dropped()), (0, 25));
    }

    #[test]
    fn a_noisy_destination_pays_for_a_full_queue_and_quiet_ones_keep_their_records() {
        let queue = queue(10, 4);
        push(&queue, DOWN, 0..2);
        push(&queue, NOISY, 10..40);
        push(&queue, UP, 50..53);
        assert_eq!((queue.len(), queue.dropped()), (10, 25));
        assert_eq!(drain(&queue, DOWN), [0, 1]);
        assert_eq!(drain(&queue, UP), [50, 51, 52]);
        assert_eq!(drain(&queue, NOISY), (35..40).collect::<Vec<_>>());
    }

    #[test]
    fn records_being_written_count_and_are_never_evicted() {
        let queue = queue(4, 4);
        push(&queue, DOWN, 0..4);
        let batch = Batch::take(&queue, DOWN).unwrap();
        push(&queue, UP, 10..12);
        assert_eq!((queue.len(), queue.dropped()), (4, 2));
        assert_eq!(numbers(&batch), [0, 1, 2, 3]);
        batch.settle(1);
        assert_eq!((queue.len(), queue.dropped()), (0, 3));
    }

    #[test]
    fn a_batch_that_is_not_settled_is_first_again_and_not_due_at_once() {
        let queue = queue(100, 4);
        push(&queue, DOWN, 0..6);
        let batch = Batch::take(&queue, DOWN).unwrap();
        assert!(Batch::take(&queue, DOWN).is_none(), "two batches of one destination at once");
        push(&queue, DOWN, 6..8);
        drop(batch);
        assert_eq!(queue.ready(Instant::now()), []);
        queue.hurry();
        assert_eq!(queue.ready(Instant::now()), [Ready { destination: DOWN, failing: false }]);
        Batch::take(&queue, DOWN).unwrap().fail(Class::Denied);
        assert_eq!((queue.ready(Instant::now()), queue.len()), (vec![], 8));
        assert_eq!(drain(&queue, DOWN), (0..8).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn records_linger_for_others_but_not_for_long_and_not_when_there_are_enough() {
        let linger = Duration::from_hours(1);
        let queue = Queue::new(&Settings { batch: 4, linger, ..Settings::default() });
        push(&queue, UP, 0..1);
        assert_eq!(queue.ready(Instant::now()), []);
        assert_eq!(queue.ready(Instant::now() + linger), [Ready { destination: UP, failing: false }]);
        push(&queue, NOISY, 0..4);
        queue.filled().await;
        assert_eq!(queue.ready(Instant::now()), [Ready { destination: NOISY, failing: false }]);
    }

    #[test]
    fn a_closed_queue_says_what_it_lost_and_counts_what_still_comes() {
        let queue = queue(100, 4);
        push(&queue, UP, 0..3);
        assert_eq!((queue.close(), queue.len()), (3, 0));
        push(&queue, UP, 3..5);
        assert_eq!((queue.len(), queue.dropped()), (0, 5));
    }
}
