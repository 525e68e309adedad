//! Records that wait to be written, one line for each sink, all within one bound. Does no I/O.
//!
//! Every record that is taken out as part of a [`Batch`] is settled once or stands at the front of its line again, whatever becomes of who took it.

use std::collections::{HashMap, VecDeque};
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use domain::names::TenantId;
use domain::retry::{self, Class};
use tokio::sync::Notify;

use super::metrics::{self, Reason};
use super::{Record, Settings};

/// Where records are to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Sink {
    /// The master database.
    Platform,
    /// The school's own.
    School(TenantId),
}

pub(super) struct Queue {
    state: Mutex<State>,
    filled: Notify,
    capacity: usize,
    batch: usize,
    linger: Duration,
}

#[derive(Default)]
struct State {
    lines: HashMap<Sink, Line>,
    /// Records in lines and in batches.
    held: usize,
    dropped: u64,
    hurried: bool,
    closed: bool,
}

/// What waits for one sink.
struct Line {
    records: VecDeque<Record>,
    /// When they are to be written, unless as many as a batch holds wait already.
    due: Instant,
    taken: bool,
    /// Batches that failed in a row.
    failures: u32,
}

/// A sink whose time has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Due {
    pub(super) sink: Sink,
    /// Its last batch failed.
    pub(super) failing: bool,
}

impl Queue {
    pub(super) fn new(settings: &Settings) -> Self {
        let &Settings { capacity, batch, linger, .. } = settings;
        Self { state: Mutex::default(), filled: Notify::new(), capacity: capacity.max(1), batch: batch.max(1), linger }
    }

    /// Adds a record to its sink's line. A full queue makes room by [`State::evict`]; otherwise the record is lost.
    pub(super) fn push(&self, sink: Sink, record: Record) {
        let mut state = self.lock();
        if state.closed {
            return state.lose(Reason::Stopped, 1);
        }
        if state.held >= self.capacity {
            state.lose(Reason::Full, 1);
            if !state.evict() {
                return;
            }
        }
        state.held += 1;
        let line = state.lines.entry(sink).or_insert_with(|| Line::new(Instant::now() + self.linger));
        if line.records.is_empty() && line.failures == 0 {
            line.due = Instant::now() + self.linger;
        }
        line.records.push_back(record);
        if line.records.len() == self.batch {
            self.filled.notify_one();
        }
    }

    /// More waits than can be trusted to be written soon: what need not be recorded would push out what must be.
    pub(super) fn is_pressed(&self) -> bool {
        self.lock().held >= self.capacity.div_ceil(2)
    }

    /// Sinks that a batch can be taken for now; who waits for longest comes first.
    pub(super) fn due(&self, now: Instant) -> Vec<Due> {
        let state = self.lock();
        let ready = state.lines.iter().filter(|(_, line)| state.hurried && line.failures == 0 || line.is_due(self.batch, now));
        let mut ready: Vec<_> = ready.filter(|(_, line)| !line.taken && !line.records.is_empty()).collect();
        ready.sort_unstable_by_key(|(_, line)| line.due);
        ready.into_iter().map(|(&sink, line)| Due { sink, failing: line.failures > 0 }).collect()
    }

    /// The oldest records of a sink, at most as many as a batch holds; none while another batch of it is out, so that batches stay in order.
    pub(super) fn take(self: &Arc<Self>, sink: Sink) -> Option<Batch> {
        let mut state = self.lock();
        let line = state.lines.get_mut(&sink).filter(|line| !line.taken && !line.records.is_empty())?;
        line.taken = true;
        let records = line.records.drain(..line.records.len().min(self.batch)).collect();
        Some(Batch { queue: Arc::clone(self), sink, records, failures: line.failures, class: Class::Transient })
    }

    /// Ends when some line has become as long as a batch.
    pub(super) async fn filled(&self) {
        self.filled.notified().await;
    }

    /// From now on nothing waits for company, and whatever failed before is tried once more.
    pub(super) fn hurry(&self) {
        let mut state = self.lock();
        state.hurried = true;
        state.lines.values_mut().for_each(|line| line.failures = 0);
    }

    /// Takes no more; what it holds is lost. Says how much that is.
    pub(super) fn close(&self) -> usize {
        let mut state = self.lock();
        state.closed = true;
        state.lines.clear();
        let lost = mem::take(&mut state.held);
        state.lose(Reason::Stopped, lost);
        lost
    }

    pub(super) fn len(&self) -> usize {
        self.lock().held
    }

    pub(super) fn dropped(&self) -> u64 {
        self.lock().dropped
    }

    fn settle(&self, sink: Sink, records: usize, refused: usize) {
        let mut state = self.lock();
        state.held = state.held.saturating_sub(records);
        state.lose(Reason::Refused, refused);
        let Some(line) = state.lines.get_mut(&sink) else { return };
        (line.taken, line.failures) = (false, 0);
        if line.records.len() >= self.batch {
            self.filled.notify_one();
        } else if line.records.is_empty() {
            state.lines.remove(&sink);
        }
    }

    fn give_back(&self, sink: Sink, records: Vec<Record>, class: Class) {
        let mut state = self.lock();
        let Some(line) = state.lines.get_mut(&sink) else { return };
        line.taken = false;
        line.failures = line.failures.saturating_add(1);
        line.due = Instant::now() + retry::wait(class, line.failures, sink.seed());
        for record in records.into_iter().rev() {
            line.records.push_front(record);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Takes the oldest record from those lines that hold at least their fair share. Sinks that are down hold the oldest ones, so they pay for a full
    /// queue before those that are up, and the noisy ones of them before the quiet. False when everything is in batches.
    fn evict(&mut self) -> bool {
        let waiting: usize = self.lines.values().map(|line| line.records.len()).sum();
        let share = waiting.div_ceil(self.lines.len().max(1)).max(1);
        let long = self.lines.iter_mut().filter(|(_, line)| line.records.len() >= share);
        let Some((&sink, line)) = long.min_by_key(|(_, line)| line.records.front().map(|oldest| oldest.at)) else { return false };
        line.records.pop_front();
        if line.records.is_empty() && !line.taken {
            self.lines.remove(&sink);
        }
        self.held -= 1;
        true
    }

    fn lose(&mut self, reason: Reason, records: usize) {
        if records > 0 {
            let records = records.try_into().unwrap_or(u64::MAX);
            self.dropped += records;
            metrics::dropped(reason, records);
        }
    }
}

impl Line {
    fn new(due: Instant) -> Self {
        Self { records: VecDeque::new(), due, taken: false, failures: 0 }
    }

    fn is_due(&self, batch: usize, now: Instant) -> bool {
        self.due <= now || (self.failures == 0 && self.records.len() >= batch)
    }
}

impl Sink {
    /// The word in metrics and logs.
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Platform => "platform",
            Self::School(_) => "school",
        }
    }

    /// Spreads the retries of sinks that failed together.
    fn seed(self) -> u64 {
        match self {
            Self::Platform => 0,
            Self::School(TenantId(tenant)) => tenant.as_u64_pair().1,
        }
    }
}

/// Records taken out to be written. Dropped unsettled, they stand at the front of their line again, to be tried later.
pub(super) struct Batch {
    queue: Arc<Queue>,
    pub(super) sink: Sink,
    pub(super) records: Vec<Record>,
    /// How often they were tried before.
    pub(super) failures: u32,
    class: Class,
}

impl Batch {
    /// They are written, all but those that the database refused; done with them.
    pub(super) fn settle(mut self, refused: usize) {
        let records = mem::take(&mut self.records);
        self.queue.settle(self.sink, records.len(), refused);
    }

    /// They could not be written, for a reason of this class.
    pub(super) fn fail(mut self, class: Class) {
        self.class = class;
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        if !self.records.is_empty() {
            self.queue.give_back(self.sink, mem::take(&mut self.records), self.class);
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::{TimeDelta, Utc};
    use uuid::Uuid;

    use super::*;

    const DOWN: Sink = Sink::School(TenantId(Uuid::from_u128(1)));
    const NOISY: Sink = Sink::School(TenantId(Uuid::from_u128(2)));
    const UP: Sink = Sink::School(TenantId(Uuid::from_u128(3)));

    fn queue(capacity: usize, batch: usize) -> Arc<Queue> {
        Arc::new(Queue::new(&Settings { capacity, batch, ..Settings::default() }))
    }

    /// The n-th record of a sink; later ones are younger.
    fn push(queue: &Queue, sink: Sink, numbers: std::ops::Range<u32>) {
        for n in numbers {
            let at = Utc::now() + TimeDelta::seconds(n.into());
            let (tenant, user, address, success) = (None, None, None, true);
            let (id, resource, request_id) = (Uuid::now_v7(), n.to_string(), None);
            queue.push(sink, Record { id, tenant, user, action: "a".into(), resource, address, at, success, reason: None, request_id });
        }
    }

    fn numbers(batch: &Batch) -> Vec<u32> {
        batch.records.iter().map(|record| record.resource.parse().unwrap()).collect()
    }

    fn drain(queue: &Arc<Queue>, sink: Sink) -> Vec<u32> {
        std::iter::from_fn(|| queue.take(sink).map(|batch| (numbers(&batch), batch.settle(0)).0)).flatten().collect()
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
    fn a_noisy_sink_pays_for_a_full_queue_and_quiet_ones_keep_their_records() {
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
    fn records_that_are_being_written_count_and_are_never_pushed_out() {
        let queue = queue(4, 4);
        push(&queue, DOWN, 0..4);
        let batch = queue.take(DOWN).unwrap();
        push(&queue, UP, 10..12);
        assert_eq!((queue.len(), queue.dropped()), (4, 2));
        assert_eq!(numbers(&batch), [0, 1, 2, 3]);
        batch.settle(1);
        assert_eq!((queue.len(), queue.dropped()), (0, 3));
    }

    #[test]
    fn a_batch_that_is_not_settled_stands_in_front_again_and_is_not_due_at_once() {
        let queue = queue(100, 4);
        push(&queue, DOWN, 0..6);
        let batch = queue.take(DOWN).unwrap();
        assert!(queue.take(DOWN).is_none(), "two batches of one sink at once");
        push(&queue, DOWN, 6..8);
        drop(batch);
        assert_eq!(queue.due(Instant::now()), []);
        queue.hurry();
        assert_eq!(queue.due(Instant::now()), [Due { sink: DOWN, failing: false }]);
        queue.take(DOWN).unwrap().fail(Class::Denied);
        assert_eq!((queue.due(Instant::now()), queue.len()), (vec![], 8));
        assert_eq!(drain(&queue, DOWN), (0..8).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn records_wait_for_company_but_not_for_long_and_not_when_there_is_enough() {
        let linger = Duration::from_hours(1);
        let queue = Queue::new(&Settings { batch: 4, linger, ..Settings::default() });
        push(&queue, UP, 0..1);
        assert_eq!(queue.due(Instant::now()), []);
        assert_eq!(queue.due(Instant::now() + linger), [Due { sink: UP, failing: false }]);
        push(&queue, NOISY, 0..4);
        queue.filled().await;
        assert_eq!(queue.due(Instant::now()), [Due { sink: NOISY, failing: false }]);
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
