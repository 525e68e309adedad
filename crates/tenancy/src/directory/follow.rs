//! Keeping memory current: a line to the master database on which changes are heard, polled for, and caught up with after every interruption.
//!
//! Notifications only say when to look; what is read is every write since the last one read, in commit order. So a notification that is lost costs time
//! (until the next poll) and never a change. Must not stop for anything but the caller.

use std::collections::HashSet;
use std::convert::Infallible;
use std::error::Error as _;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use domain::names::TenantId;
use domain::retry;
use futures::{Stream, TryStreamExt as _};
use postgres::error::Doing as _;
use postgres::session::CONNECT_TIMEOUT;
use registry::tenants::{self, TenantRow};
use sqlx::postgres::{PgListener, PgNotification, PgPoolOptions};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{Directory, Result};

/// For the whole registry; sessions of the registry end a statement after 10 s.
const RELOAD: Duration = Duration::from_secs(15);
/// Notifications taken together.
const BURST: usize = 1_000;

impl Directory {
    /// Keeps memory current until `stop`. `on_change` is told of every epoch that grew (`i64::MAX` for a row that was removed), once memory has it.
    pub async fn follow(self: Arc<Self>, on_change: impl Fn(TenantId, i64) + Send + Sync, stop: CancellationToken) {
        let announce = async {
            loop {
                for (tenant, epoch) in self.memory.map.take_grown() {
                    on_change(tenant, epoch);
                }
                self.memory.map.grown().await;
            }
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = announce => {}
            () = self.keep_current() => {}
        }
    }

    /// One session after another; at once after one that had worked, else after a wait that grows.
    async fn keep_current(&self) {
        let seed = Uuid::new_v4().as_u64_pair().0;
        let mut failures = 0;
        loop {
            let began = Instant::now();
            let Err(error) = self.session().await;
            failures = if began.elapsed() > self.settings.poll { 1 } else { failures + 1 };
            tracing::warn!(%error, cause = error.source().map(tracing::field::display), failures, "the line to the registry broke");
            if failures > 1 {
                let wait = retry::wait(error.class(), failures - 1, seed);
                tokio::time::sleep(wait.min(self.settings.poll)).await;
            }
        }
    }

    async fn session(&self) -> Result<Infallible> {
        // Listening comes first, so that no change falls between what is read and what is heard.
        let mut line = self.line().await?;
        self.reload(&mut line).await?;
        let mut tried = Instant::now();
        loop {
            let heard = self.hear(&mut line).await?;
            // By the clock: a line on which something is always heard is never silent.
            if heard.is_empty() || tried.elapsed() >= self.settings.poll {
                self.open_unopened(&mut line).await?;
                tried = Instant::now();
            }
            self.catch_up(&mut line, heard).await?;
        }
    }

    /// A connection of its own, so that a dead one holds no place in the pool while its goodbye waits for an answer.
    pub(super) async fn line(&self) -> Result<PgListener> {
        let doing = "listening to the registry";
        let options = self.pool.connect_options().as_ref().clone();
        let pool = PgPoolOptions::new().max_connections(1).acquire_timeout(CONNECT_TIMEOUT).idle_timeout(None).max_lifetime(None);
        let mut line = PgListener::connect_with(&pool.connect_lazy_with(options)).await.doing(doing)?;
        // A line that breaks is replaced here, where what it missed is caught up with.
        line.eager_reconnect(false);
        line.ignore_pool_close_event(true);
        if self.settings.listen {
            let listening = tokio::time::timeout(self.settings.answer, line.listen(tenants::CHANNEL)).await;
            listening.map_err(|_| postgres::Error::timed_out(doing))?.doing(doing)?;
        }
        Ok(line)
    }

    /// Reads everything, and forgets tenants whose rows somebody removed.
    pub(super) async fn reload(&self, line: &mut PgListener) -> Result<()> {
        let asked = Instant::now();
        let held = self.memory.map.all();
        let listed = self.absorb_all(RELOAD, tenants::after(line, i64::MIN)).await?;
        held.iter().filter(|entry| !listed.contains(&entry.tenant)).for_each(|gone| self.memory.map.withdraw(gone));
        self.confirm(asked);
        Ok(())
    }

    /// Which tenants were written, as far as the line says; none when it was silent for the time between polls.
    async fn hear(&self, line: &mut PgListener) -> Result<HashSet<TenantId>> {
        let doing = "listening to the registry";
        let Ok(first) = tokio::time::timeout(self.settings.poll, line.try_recv()).await else { return Ok(HashSet::new()) };
        let ended = || postgres::Error { doing, source: sqlx::Error::Io(std::io::ErrorKind::UnexpectedEof.into()) };
        let first = first.doing(doing)?.ok_or_else(ended)?;
        let rest = std::iter::from_fn(|| line.next_buffered()).take(BURST);
        Ok(std::iter::once(first).chain(rest).filter_map(|news| tenant(&news)).collect())
    }

    /// Reads what was written since the last time. It is asked on the line itself, so that a line that is dead without knowing it is noticed.
    async fn catch_up(&self, line: &mut PgListener, mut heard: HashSet<TenantId>) -> Result<()> {
        let asked = Instant::now();
        let seen = self.seen.load(Ordering::Relaxed);
        let listed = self.absorb_all(self.settings.answer, tenants::after(&mut *line, seen)).await?;
        // What was heard of and not listed was listed before, or has no row any more.
        heard.retain(|tenant| !listed.contains(tenant));
        let held: Vec<_> = heard.into_iter().filter_map(|tenant| self.memory.map.get(tenant)).collect();
        if !held.is_empty() {
            let asked: Vec<_> = held.iter().map(|entry| entry.tenant).collect();
            let missing = within(self.settings.answer, tenants::missing(line, &asked)).await?;
            held.iter().filter(|entry| missing.contains(&entry.tenant)).for_each(|gone| self.memory.map.withdraw(gone));
        }
        self.confirm(asked);
        Ok(())
    }

    /// A key file may change after the row that needs it.
    async fn open_unopened(&self, line: &mut PgListener) -> Result<()> {
        let unopened = self.memory.map.unopened();
        if !unopened.is_empty() {
            // Found out of their order, so that they say nothing of what was written before them.
            for row in within(self.settings.answer, tenants::these(line, &unopened)).await? {
                self.memory.absorb(&row).await;
            }
        }
        Ok(())
    }

    /// Puts rows into memory as they come, in the order in which they were written.
    async fn absorb_all(&self, limit: Duration, rows: impl Stream<Item = registry::Result<TenantRow>>) -> Result<HashSet<TenantId>> {
        let absorb = async {
            let (mut rows, mut listed) = (pin!(rows), HashSet::new());
            while let Some(row) = rows.try_next().await? {
                self.memory.absorb(&row).await;
                self.seen.fetch_max(row.change_seq, Ordering::Relaxed);
                listed.insert(row.tenant);
            }
            Ok(listed)
        };
        within(limit, absorb).await
    }
}

fn tenant(news: &PgNotification) -> Option<TenantId> {
    news.payload().parse().ok().map(TenantId)
}

async fn within<T>(limit: Duration, work: impl Future<Output = registry::Result<T>>) -> Result<T> {
    let answer = tokio::time::timeout(limit, work).await;
    Ok(answer.unwrap_or_else(|_| Err(postgres::Error::timed_out("reading tenants")))?)
}
