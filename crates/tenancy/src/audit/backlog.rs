//! The records that wait for one destination, and when they are to be written.
//!
//! Must not read the clock or count what is lost: the queue does.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use domain::retry::{self, Class};

use super::record::Record;

/// See the module.
pub(super) struct Backlog {
    pub(super) records: VecDeque<Record>,
    /// When they are to be written, unless as many as a batch holds wait already.
    pub(super) due: Instant,
    /// A batch of them is being written.
    pub(super) in_batch: bool,
    /// Batches that failed in a row.
    pub(super) failures: u32,
}

impl Backlog {
    pub(super) fn new(due: Instant) -> Self {
        Self { records: VecDeque::new(), due, in_batch: false, failures: 0 }
    }

    /// Adds a record. The first one waits `linger` for others, unless a failure has set a later time.
    pub(super) fn push(&mut self, record: Record, now: Instant, linger: Duration) {
        if self.records.is_empty() && self.failures == 0 {
            self.due = now + linger;
        }
        self.records.push_back(record);
    }

    /// Whether a batch may be taken now. On a stop (`hurried`) nothing lingers.
    pub(super) fn is_ready(&self, batch: usize, hurried: bool, now: Instant) -> bool {
        let is_due = self.due <= now || (self.failures == 0 && (hurried || self.records.len() >= batch));
        is_due && self.can_be_taken()
    }

    /// Takes the oldest records, at most `batch`. None while another batch is being written, so that batches stay in order.
    pub(super) fn take(&mut self, batch: usize) -> Option<Vec<Record>> {
        if !self.can_be_taken() {
            return None;
        }
        self.in_batch = true;
        Some(self.records.drain(..self.records.len().min(batch)).collect())
    }

    /// The batch is written.
    pub(super) fn settle(&mut self) {
        (self.in_batch, self.failures) = (false, 0);
    }

    /// The batch failed: its records are the first again, after a wait.
    pub(super) fn restore(&mut self, records: Vec<Record>, class: Class, seed: u64, now: Instant) {
        self.in_batch = false;
        self.failures = self.failures.saturating_add(1);
        self.due = now + retry::wait(class, self.failures, seed);
        for record in records.into_iter().rev() {
            self.records.push_front(record);
        }
    }

    /// Nothing of it is left.
    pub(super) fn is_done(&self) -> bool {
        self.records.is_empty() && !self.in_batch
    }

    fn can_be_taken(&self) -> bool {
        !self.in_batch && !self.records.is_empty()
    }
}
