//! Who empties the queue: a few batches at once, each of another sink.
//!
//! Sinks that failed, and those on servers that failed last, have writers of their own: however many schools wait for a dead server, the others' records
//! are written by writers that none of them holds.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::queue::{Queue, Sink};
use super::sinks::Sinks;
use super::{Settings, metrics};

/// Losses are told this often.
const REPORT: Duration = Duration::from_mins(1);

/// Writes what [`super::Audit`] was given. There is one of it.
pub struct Writer {
    queue: Arc<Queue>,
    sinks: Arc<Sinks>,
    settings: Settings,
    sound: Lane,
    doubtful: Lane,
    /// Runs the daily maintenance of the master database.
    maintenance: JoinSet<()>,
    reported: u64,
    report_due: Instant,
}

/// Some writers, and the sinks that wait for one.
struct Lane {
    due: VecDeque<Sink>,
    writing: JoinSet<()>,
    writers: usize,
}

impl Writer {
    pub(super) fn new(queue: Arc<Queue>, sinks: Arc<Sinks>, settings: Settings) -> Self {
        let writers = settings.writers.max(1);
        let (sound, doubtful) = (Lane::new(writers), Lane::new(writers.div_ceil(2)));
        Self { queue, sinks, settings, sound, doubtful, maintenance: JoinSet::new(), reported: 0, report_due: Instant::now() }
    }

    /// Writes until `stop`, and then what is left, for as long as [`Settings::drain`]; says how much was lost. Stop what leaves records first.
    pub async fn run(mut self, stop: CancellationToken) {
        stop.run_until_cancelled(self.write_while(|_| true)).await;
        self.queue.hurry();
        let drain = self.settings.drain;
        // Whether it ended in time shows in what is left.
        let _ = tokio::time::timeout(drain, self.write_while(|queue| queue.len() > 0)).await;
        self.sound.writing.shutdown().await;
        self.doubtful.writing.shutdown().await;
        self.maintenance.shutdown().await;
        let lost = self.queue.close();
        metrics::queued(0);
        self.report();
        if lost > 0 {
            tracing::error!(lost, "records of the access audit could not be written before the end");
        } else {
            tracing::info!("the access audit is written to the end");
        }
    }

    /// May be dropped at any point: what is being written goes on.
    async fn write_while(&mut self, more: impl Fn(&Queue) -> bool) {
        let mut tick = tokio::time::interval(self.settings.linger.clamp(Duration::from_millis(1), Duration::from_secs(1)));
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while more(&self.queue) {
            tokio::select! {
                _ = tick.tick() => self.plan(),
                () = self.queue.filled() => self.plan(),
                Some(_) = self.sound.writing.join_next() => {}
                Some(_) = self.doubtful.writing.join_next() => {}
                Some(_) = self.maintenance.join_next() => {}
            }
            for lane in [&mut self.sound, &mut self.doubtful] {
                lane.go_on(&self.queue, &self.sinks);
            }
        }
    }

    /// Sorts the sinks whose time has come into their lanes.
    fn plan(&mut self) {
        let now = Instant::now();
        metrics::queued(self.queue.len());
        if self.report_due <= now {
            self.report();
        }
        if self.maintenance.is_empty() && self.sinks.platform_maintenance_due() {
            self.maintenance.spawn(Arc::clone(&self.sinks).maintain_platform());
        }
        self.sound.due.clear();
        self.doubtful.due.clear();
        for due in self.queue.due(now) {
            let doubtful = due.failing || self.sinks.doubts(due.sink);
            let lane = if doubtful { &mut self.doubtful } else { &mut self.sound };
            lane.due.push_back(due.sink);
        }
    }

    fn report(&mut self) {
        let dropped = self.queue.dropped();
        if dropped > self.reported {
            tracing::warn!(dropped = dropped - self.reported, total = dropped, "records of the access audit were lost");
            self.reported = dropped;
            self.report_due = Instant::now() + REPORT;
        }
    }
}

impl Lane {
    fn new(writers: usize) -> Self {
        Self { due: VecDeque::new(), writing: JoinSet::new(), writers }
    }

    fn go_on(&mut self, queue: &Arc<Queue>, sinks: &Arc<Sinks>) {
        while self.writing.len() < self.writers
            && let Some(sink) = self.due.pop_front()
        {
            if let Some(batch) = queue.take(sink) {
                self.writing.spawn(Arc::clone(sinks).deliver(batch));
            }
        }
    }
}
