//! Empties the queue: writes a few batches at once, each to another destination.
//!
//! Destinations that failed, and those on servers that failed last, have writers of their own: schools on a dead server must not take writers from others.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::batch::Batch;
use super::delivery::Delivery;
use super::destination::Destination;
use super::metrics;
use super::queue::Queue;
use super::settings::Settings;

/// The least time between two reports of losses.
const REPORT: Duration = Duration::from_mins(1);

/// Writes what [`super::Audit`] was given. There is one for each audit.
pub struct Writer {
    queue: Arc<Queue>,
    delivery: Arc<Delivery>,
    settings: Settings,
    healthy: Writers,
    doubtful: Writers,
    /// Runs the daily maintenance of the master database.
    maintenance: JoinSet<()>,
    reported: u64,
    report_due: Instant,
}

/// Tasks that write, and the destinations that wait for one.
struct Writers {
    waiting: VecDeque<Destination>,
    writing: JoinSet<()>,
    limit: usize,
}

impl Writer {
    pub(super) fn new(queue: Arc<Queue>, delivery: Arc<Delivery>, settings: Settings) -> Self {
        let writers = settings.writers.max(1);
        let (healthy, doubtful) = (Writers::new(writers), Writers::new(writers.div_ceil(2)));
        Self { queue, delivery, settings, healthy, doubtful, maintenance: JoinSet::new(), reported: 0, report_due: Instant::now() }
    }

    /// Writes until `stop`, and then what is left, for at most [`Settings::drain`]. Logs how much was lost. Stop what records first.
    pub async fn run(mut self, stop: CancellationToken) {
        stop.run_until_cancelled(self.write_while(|_| true)).await;
        self.queue.hurry();
        let drain = self.settings.drain;
        // What is left shows whether it ended in time.
        let _ = tokio::time::timeout(drain, self.write_while(|queue| queue.len() > 0)).await;
        self.healthy.writing.shutdown().await;
        self.doubtful.writing.shutdown().await;
        self.maintenance.shutdown().await;
        let lost = self.queue.close();
        metrics::queued(0);
        self.report();
        if lost > 0 {
            tracing::error!(lost, "records of the access audit could not be written before the end");
        } else {
            tracing::info!("the access audit is written completely");
        }
    }

    /// May be dropped at any point: batches that are being written continue.
    async fn write_while(&mut self, more: impl Fn(&Queue) -> bool) {
        let mut tick = tokio::time::interval(self.settings.linger.clamp(Duration::from_millis(1), Duration::from_secs(1)));
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while more(&self.queue) {
            tokio::select! {
                _ = tick.tick() => self.plan(),
                () = self.queue.filled() => self.plan(),
                Some(_) = self.healthy.writing.join_next() => {}
                Some(_) = self.doubtful.writing.join_next() => {}
                Some(_) = self.maintenance.join_next() => {}
            }
            for writers in [&mut self.healthy, &mut self.doubtful] {
                writers.start(&self.queue, &self.delivery);
            }
        }
    }

    /// Assigns ready destinations to the healthy or the doubtful writers.
    fn plan(&mut self) {
        let now = Instant::now();
        metrics::queued(self.queue.len());
        if self.report_due <= now {
            self.report();
        }
        if self.maintenance.is_empty() && self.delivery.platform_maintenance_due() {
            self.maintenance.spawn(Arc::clone(&self.delivery).maintain_platform());
        }
        self.healthy.waiting.clear();
        self.doubtful.waiting.clear();
        for ready in self.queue.ready(now) {
            let doubtful = ready.failing || self.delivery.is_doubtful(ready.destination);
            let writers = if doubtful { &mut self.doubtful } else { &mut self.healthy };
            writers.waiting.push_back(ready.destination);
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

impl Writers {
    fn new(limit: usize) -> Self {
        Self { waiting: VecDeque::new(), writing: JoinSet::new(), limit }
    }

    fn start(&mut self, queue: &Arc<Queue>, delivery: &Arc<Delivery>) {
        while self.writing.len() < self.limit
            && let Some(destination) = self.waiting.pop_front()
        {
            if let Some(batch) = Batch::take(queue, destination) {
                self.writing.spawn(Arc::clone(delivery).deliver(batch));
            }
        }
    }
}
