//! Keeps memory current: listens for changes in the master database, polls, and catches up after every interruption.
//!
//! A notification says only that something changed. What is read is every write since the last one read, in commit order, so a lost notification
//! costs time (until the next poll) and never a change. Each reading also says which history of the registry its numbers belong to: when that is another one, or
//! the numbers went back, everything is read and replaces what is in memory. Must not stop except when its caller does.

use std::collections::HashSet;
use std::convert::Infallible;
use std::error::Error as _;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use domain::names::TenantId;
use domain::retry;
use futures::{Stream, TryStreamExt as _};
use postgres::schema::Migrations;
use registry::listener;
use registry::tenants::{self, Position, Reading};
use sqlx::postgres::{PgListener, PgNotification, PgPool};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::error::{Error, Result};
use super::loader::Loader;
use super::settings::Settings;

/// For the whole registry. The registry's sessions end a statement after 10 s.
const RELOAD_TIMEOUT: Duration = Duration::from_secs(15);
/// Notifications handled together.
const MAX_NOTIFICATIONS: usize = 1_000;

pub(super) struct Follower {
    pool: PgPool,
    loader: Arc<Loader>,
    settings: Settings,
    /// Every write up to this one has been read. None before the first load.
    position: Mutex<Option<Position>>,
    confirmed: Mutex<Instant>,
}

impl Follower {
    /// One that has read the whole registry.
    pub(super) async fn load(pool: PgPool, loader: Arc<Loader>, settings: Settings) -> Result<Self> {
        let needed = Migrations::master()?.target();
        let found = registry::version(&pool).await?;
        if found < needed {
            return Err(Error::SchemaOutdated { found, needed });
        }
        let confirmed = Mutex::new(Instant::now());
        let follower = Self { pool, loader, settings, position: Mutex::default(), confirmed };
        follower.reload(&mut follower.listen().await?).await?;
        // There are no connections yet that a new epoch could make stale.
        follower.loader.tenants().take_changed_epochs();
        Ok(follower)
    }

    /// See [`super::RegistryCache::follow`].
    pub(super) async fn follow(&self, on_change: impl Fn(TenantId, i64) + Send + Sync, stop: CancellationToken) {
        let announce = async {
            loop {
                for (tenant, epoch) in self.loader.tenants().take_changed_epochs() {
                    on_change(tenant, epoch);
                }
                self.loader.tenants().epochs_changed().await;
            }
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = announce => {}
            () = self.keep_current() => {}
        }
    }

    /// Time since the registry last confirmed that memory is current.
    pub(super) fn age(&self) -> Duration {
        self.confirmed.lock().unwrap_or_else(PoisonError::into_inner).elapsed()
    }

    /// One session after another: at once after one that had worked, otherwise with a backoff.
    async fn keep_current(&self) {
        let seed = Uuid::new_v4().as_u64_pair().0;
        let mut failures = 0;
        loop {
            let began = Instant::now();
            let Err(error) = self.run_session().await;
            failures = if began.elapsed() > self.settings.poll { 1 } else { failures + 1 };
            tracing::warn!(%error, cause = error.source().map(tracing::field::display), failures, "lost the connection that follows the registry");
            if failures > 1 {
                let wait = retry::wait(error.class(), failures - 1, seed);
                tokio::time::sleep(wait.min(self.settings.poll)).await;
            }
        }
    }

    async fn run_session(&self) -> Result<Infallible> {
        // Listening comes first, so that no change falls between the reload and the first notification.
        let mut listener = self.listen().await?;
        self.reload(&mut listener).await?;
        let mut retried = Instant::now();
        loop {
            let notified = tokio::select! {
                notified = self.notifications(&mut listener) => notified?,
                // On a new session, because this one may lead to a server that is not the registry's any more.
                () = self.loader.tenants().suspected() => return Err(Error::Reloading),
            };
            // By the clock, because under constant notifications the poll never times out.
            if notified.is_empty() || retried.elapsed() >= self.settings.poll {
                self.retry_unopened(&mut listener).await?;
                retried = Instant::now();
            }
            self.catch_up(&mut listener, notified).await?;
        }
    }

    async fn listen(&self) -> Result<PgListener> {
        let channels: &[&str] = if self.settings.listen { &[tenants::CHANNEL] } else { &[] };
        Ok(listener::listen(&self.pool, channels, self.settings.query_timeout).await?)
    }

    /// Reads everything, and removes tenants whose rows were deleted.
    async fn reload(&self, listener: &mut PgListener) -> Result<()> {
        let began = Instant::now();
        let cached = self.loader.tenants().all();
        let loading = self.load_all(tenants::after(listener, i64::MIN), |newest| self.begin_reload(newest, !cached.is_empty()).map(Some));
        let listed = within(RELOAD_TIMEOUT, loading).await?.unwrap_or_default();
        cached.iter().filter(|tenant| !listed.contains(&tenant.tenant)).for_each(|removed| self.loader.tenants().remove(removed));
        self.confirm(began);
        Ok(())
    }

    /// The tenants that notifications name. None when no notification came in the time between polls.
    async fn notifications(&self, listener: &mut PgListener) -> Result<HashSet<TenantId>> {
        let Ok(first) = tokio::time::timeout(self.settings.poll, listener::receive(listener)).await else { return Ok(HashSet::new()) };
        let first = first?;
        let rest = std::iter::from_fn(|| listener.next_buffered()).take(MAX_NOTIFICATIONS);
        Ok(std::iter::once(first).chain(rest).filter_map(|notification| tenant(&notification)).collect())
    }

    /// Reads what was written since the last time, on the listener's own connection, so that a dead one is noticed.
    async fn catch_up(&self, listener: &mut PgListener, mut notified: HashSet<TenantId>) -> Result<()> {
        let began = Instant::now();
        let read = *self.position();
        let after = tenants::after(&mut *listener, read.map_or(i64::MIN, |read| read.change_seq));
        let loading =
            self.load_all(after, |newest| Ok(read.filter(|read| newest.continues(*read)).map(|_| self.loader.tenants().era().number)));
        let Some(listed) = within(self.settings.query_timeout, loading).await? else { return self.reload(listener).await };
        // A notified tenant that is not listed was listed before, or its row was deleted.
        notified.retain(|tenant| !listed.contains(tenant));
        let cached: Vec<_> = notified.into_iter().filter_map(|tenant| self.loader.tenants().get(tenant)).collect();
        if !cached.is_empty() {
            let ids: Vec<_> = cached.iter().map(|tenant| tenant.tenant).collect();
            let missing = within(self.settings.query_timeout, async { Ok(tenants::missing(listener, &ids).await?) }).await?;
            cached.iter().filter(|tenant| missing.contains(&tenant.tenant)).for_each(|removed| self.loader.tenants().remove(removed));
        }
        self.confirm(began);
        Ok(())
    }

    /// Reads tenants again whose key was unknown: the key file may change after the row that needs it.
    async fn retry_unopened(&self, listener: &mut PgListener) -> Result<()> {
        let unopened = self.loader.tenants().unopened();
        if !unopened.is_empty() {
            let era = self.loader.tenants().era();
            // Not everything up to their numbers, so they must not advance `position`.
            for reading in within(self.settings.query_timeout, async { Ok(tenants::these(listener, &unopened).await?) }).await? {
                if let (Some(row), true) = (&reading.tenant, era.history == Some(reading.newest.history)) {
                    self.loader.load(row, era.number).await;
                }
            }
        }
        Ok(())
    }

    /// Loads rows as they come, in the order in which they were written, in the era that `begin` says for the registry that is there now. None when `begin` says none.
    async fn load_all(
        &self,
        readings: impl Stream<Item = registry::Result<Reading>>,
        begin: impl FnOnce(Position) -> Result<Option<u64>>,
    ) -> Result<Option<HashSet<TenantId>>> {
        let mut readings = pin!(readings);
        let (mut next, mut listed) = (readings.try_next().await?, HashSet::new());
        let Some(first) = &next else { return Ok(None) };
        let (history, Some(era)) = (first.newest.history, begin(first.newest)?) else { return Ok(None) };
        while let Some(reading) = next {
            if let Some(row) = reading.tenant {
                self.loader.load(&row, era).await;
                self.advance(Position { history, change_seq: row.change_seq });
                listed.insert(row.tenant);
            }
            next = readings.try_next().await?;
        }
        Ok(Some(listed))
    }

    /// The era in which everything is loaded now: another one when the registry does not continue what was read of it.
    fn begin_reload(&self, newest: Position, is_known: bool) -> Result<u64> {
        let mut position = self.position();
        // Unknown is never absent: a restore creates the table before it fills it.
        if newest.change_seq == i64::MIN && is_known {
            return Err(Error::Emptied);
        }
        if position.is_some_and(|read| newest.continues(read)) {
            return Ok(self.loader.tenants().era().number);
        }
        if position.is_some() {
            tracing::info!("the registry was restored or its server started anew: what it says now replaces what is in memory");
        }
        *position = Some(Position { history: newest.history, change_seq: i64::MIN });
        Ok(self.loader.tenants().begin_era(newest.history).number)
    }

    fn advance(&self, read: Position) {
        let mut position = self.position();
        if position.is_none_or(|position| read.continues(position)) {
            *position = Some(read);
        }
    }

    /// Must not be held across an await.
    fn position(&self) -> MutexGuard<'_, Option<Position>> {
        self.position.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn confirm(&self, began: Instant) {
        *self.confirmed.lock().unwrap_or_else(PoisonError::into_inner) = began;
    }
}

fn tenant(notification: &PgNotification) -> Option<TenantId> {
    notification.payload().parse().ok().map(TenantId)
}

async fn within<T>(limit: Duration, work: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::time::timeout(limit, work).await.unwrap_or_else(|_| Err(postgres::Error::timed_out("reading tenants").into()))
}
