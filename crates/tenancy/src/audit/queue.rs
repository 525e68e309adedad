//! Audit records that wait to be written, by destination, all within one bound.
//!
//! Must not do I/O, and must not lose a record without counting it.

use std::collections::HashMap;
use std::mem;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use domain::retry::Class;
use tokio::sync::Notify;

use super::backlog::Backlog;
use super::destination::Destination;
use super::metrics::{self, Cause};
use super::record::Record;
use super::settings::Settings;

pub(super) struct Queue {
    state: Mutex<State>,
    filled: Notify,
    capacity: usize,
    batch: usize,
    linger: Duration,
}

#[derive(Default)]
struct State {
    backlogs: HashMap<Destination, Backlog>,
    /// Records in backlogs and in batches.
    len: usize,
    dropped: u64,
    hurried: bool,
    closed: bool,
}

/// A destination that a batch can be taken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ready {
    pub(super) destination: Destination,
    /// Its last batch failed.
    pub(super) failing: bool,
}

impl Queue {
    pub(super) fn new(settings: &Settings) -> Self {
        let &Settings { capacity, batch, linger, .. } = settings;
        Self { state: Mutex::default(), filled: Notify::new(), capacity: capacity.max(1), batch: batch.max(1), linger }
    }

    /// Adds a record. A full queue makes room by [`State::evict`]. If it cannot, the record is lost.
    pub(super) fn push(&self, destination: Destination, record: Record) {
        let mut state = self.lock();
        if state.closed {
            return state.lose(Cause::Stopped, 1);
        }
        if state.len >= self.capacity {
            state.lose(Cause::Full, 1);
            if !state.evict() {
                return;
            }
        }
        state.len += 1;
        let now = Instant::now();
        let backlog = state.backlogs.entry(destination).or_insert_with(|| Backlog::new(now + self.linger));
        backlog.push(record, now, self.linger);
        if backlog.records.len() == self.batch {
            self.filled.notify_one();
        }
    }

    /// Half of the queue waits: a record that need not be kept would push out one that must be.
    pub(super) fn is_pressed(&self) -> bool {
        self.lock().len >= self.capacity.div_ceil(2)
    }

    /// Destinations that a batch can be taken for now, the longest waiting first.
    pub(super) fn ready(&self, now: Instant) -> Vec<Ready> {
        let state = self.lock();
        let ready = state.backlogs.iter().filter(|(_, backlog)| backlog.is_ready(self.batch, state.hurried, now));
        let mut ready: Vec<_> = ready.collect();
        ready.sort_unstable_by_key(|(_, backlog)| backlog.due);
        ready.into_iter().map(|(&destination, backlog)| Ready { destination, failing: backlog.failures > 0 }).collect()
    }

    /// Takes the oldest records of a destination, with the number of failures before. [`Self::settle`] or [`Self::restore`] must follow.
    pub(super) fn take(&self, destination: Destination) -> Option<(Vec<Record>, u32)> {
        let mut state = self.lock();
        let backlog = state.backlogs.get_mut(&destination)?;
        backlog.take(self.batch).map(|records| (records, backlog.failures))
    }

    /// Waits until some backlog has become as long as a batch.
    pub(super) async fn filled(&self) {
        self.filled.notified().await;
    }

    /// From now on no record lingers, and what failed before is tried once more.
    pub(super) fn hurry(&self) {
        let mut state = self.lock();
        state.hurried = true;
        state.backlogs.values_mut().for_each(|backlog| backlog.failures = 0);
    }

    /// Accepts no more. What is in it is lost. Returns how much that is.
    pub(super) fn close(&self) -> usize {
        let mut state = self.lock();
        state.closed = true;
        state.backlogs.clear();
        let lost = mem::take(&mut state.len);
        state.lose(Cause::Stopped, lost);
        lost
    }

    pub(super) fn len(&self) -> usize {
        self.lock().len
    }

    pub(super) fn dropped(&self) -> u64 {
        self.lock().dropped
    }

    /// So many records that were taken are written, except for those that the database refused.
    pub(super) fn settle(&self, destination: Destination, records: usize, refused: usize) {
        let mut state = self.lock();
        state.len = state.len.saturating_sub(records);
        state.lose(Cause::Refused, refused);
        let Some(backlog) = state.backlogs.get_mut(&destination) else { return };
        backlog.settle();
        if backlog.records.len() >= self.batch {
            self.filled.notify_one();
        } else if backlog.is_done() {
            state.backlogs.remove(&destination);
        }
    }

    /// Puts records back that were taken and not written.
    pub(super) fn restore(&self, destination: Destination, records: Vec<Record>, class: Class) {
        if let Some(backlog) = self.lock().backlogs.get_mut(&destination) {
            backlog.restore(records, class, destination.seed(), Instant::now());
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Drops the oldest record among those backlogs that have at least their fair share. Destinations that are down have the oldest records, so they lose
    /// records before those that are up, and noisy ones before quiet ones. False when every record is in a batch.
    fn evict(&mut self) -> bool {
        let waiting: usize = self.backlogs.values().map(|backlog| backlog.records.len()).sum();
        let share = waiting.div_ceil(self.backlogs.len().max(1)).max(1);
        let long = self.backlogs.iter_mut().filter(|(_, backlog)| backlog.records.len() >= share);
        let oldest = long.min_by_key(|(_, backlog)| backlog.records.front().map(|oldest| oldest.at));
        let Some((&destination, backlog)) = oldest else { return false };
        backlog.records.pop_front();
        if backlog.is_done() {
            self.backlogs.remove(&destination);
        }
        self.len -= 1;
        true
    }

    fn lose(&mut self, cause: Cause, records: usize) {
        if records > 0 {
            let records = records.try_into().unwrap_or(u64::MAX);
            self.dropped += records;
            metrics::dropped(cause, records);
        }
    }
}
