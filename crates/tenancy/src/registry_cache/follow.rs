//! Keeps memory current: listens for changes in the master database, polls, and catches up after every interruption.
//!
//! A notification says only that something changed. What is read is every write since the last one read, in commit order, so a lost notification
//! costs time (until the next poll) and never a change. Must not stop except when its caller does.

use std::collections::HashSet;
use std::convert::Infallible;
use std::error::Error as _;
use std::pin::pin;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use domain::names::TenantId;
use domain::retry;
use futures::{Stream, TryStreamExt as _};
use postgres::error::Doing as _;
use postgres::schema::Migrations;
use postgres::session::CONNECT_TIMEOUT;
use registry::tenants::{self, TenantRow};
use sqlx::postgres::{PgListener, PgNotification, PgPool, PgPoolOptions};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::error::{Error, Result};
use super::loader::Loader;
use super::settings::Settings;

/// For the whole registry. The registry's sessions end a statement after 10 s.
const RELOAD_TIMEOUT: Duration = Duration::from_secs(15);
/// Notifications handled together.
const MAX_NOTIFICATIONS: usize = 1_000;
const LISTENING: &str = "listening to the registry";

pub(super) struct Follower {
    pool: PgPool,
    loader: Arc<Loader>,
    settings: Settings,
    /// Every write up to this one has been read.
    last_change: AtomicI64,
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
        let follower = Self { pool, loader, settings, last_change: AtomicI64::new(i64::MIN), confirmed };
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
            let notified = self.notifications(&mut listener).await?;
            // By the clock, because under constant notifications the poll never times out.
            if notified.is_empty() || retried.elapsed() >= self.settings.poll {
                self.retry_unopened(&mut listener).await?;
                retried = Instant::now();
            }
            self.catch_up(&mut listener, notified).await?;
        }
    }

    /// A connection of its own, so that a dead one takes no slot of the pool while its close waits for an answer.
    async fn listen(&self) -> Result<PgListener> {
        let options = self.pool.connect_options().as_ref().clone();
        let pool = PgPoolOptions::new().max_connections(1).acquire_timeout(CONNECT_TIMEOUT).idle_timeout(None).max_lifetime(None);
        let mut listener = PgListener::connect_with(&pool.connect_lazy_with(options)).await.doing(LISTENING)?;
        // The driver must not reconnect by itself: a new session here also catches up with what was missed.
        listener.eager_reconnect(false);
        listener.ignore_pool_close_event(true);
        if self.settings.listen {
            let listening = tokio::time::timeout(self.settings.query_timeout, listener.listen(tenants::CHANNEL)).await;
            listening.map_err(|_| postgres::Error::timed_out(LISTENING))?.doing(LISTENING)?;
        }
        Ok(listener)
    }

    /// Reads everything, and removes tenants whose rows were deleted.
    async fn reload(&self, listener: &mut PgListener) -> Result<()> {
        let began = Instant::now();
        let cached = self.loader.tenants().all();
        let listed = self.load_all(RELOAD_TIMEOUT, tenants::after(listener, i64::MIN)).await?;
        cached.iter().filter(|tenant| !listed.contains(&tenant.tenant)).for_each(|removed| self.loader.tenants().remove(removed));
        self.confirm(began);
        Ok(())
    }

    /// The tenants that notifications name. None when no notification came in the time between polls.
    async fn notifications(&self, listener: &mut PgListener) -> Result<HashSet<TenantId>> {
        let Ok(first) = tokio::time::timeout(self.settings.poll, listener.try_recv()).await else { return Ok(HashSet::new()) };
        let ended = || postgres::Error { doing: LISTENING, source: sqlx::Error::Io(std::io::ErrorKind::UnexpectedEof.into()) };
        let first = first.doing(LISTENING)?.ok_or_else(ended)?;
        let rest = std::iter::from_fn(|| listener.next_buffered()).take(MAX_NOTIFICATIONS);
        Ok(std::iter::once(first).chain(rest).filter_map(|notification| tenant(&notification)).collect())
    }

    /// Reads what was written since the last time, on the listener's own connection, so that a dead one is noticed.
    async fn catch_up(&self, listener: &mut PgListener, mut notified: HashSet<TenantId>) -> Result<()> {
        let began = Instant::now();
        let last_change = self.last_change.load(Ordering::Relaxed);
        let listed = self.load_all(self.settings.query_timeout, tenants::after(&mut *listener, last_change)).await?;
        // A notified tenant that is not listed was listed before, or its row was deleted.
        notified.retain(|tenant| !listed.contains(tenant));
        let cached: Vec<_> = notified.into_iter().filter_map(|tenant| self.loader.tenants().get(tenant)).collect();
        if !cached.is_empty() {
            let ids: Vec<_> = cached.iter().map(|tenant| tenant.tenant).collect();
            let missing = within(self.settings.query_timeout, tenants::missing(listener, &ids)).await?;
            cached.iter().filter(|tenant| missing.contains(&tenant.tenant)).for_each(|removed| self.loader.tenants().remove(removed));
        }
        self.confirm(began);
        Ok(())
    }

    /// Reads tenants again whose key was unknown: the key file may change after the row that needs it.
    async fn retry_unopened(&self, listener: &mut PgListener) -> Result<()> {
        let unopened = self.loader.tenants().unopened();
        if !unopened.is_empty() {
            // Not in commit order, so they must not advance `last_change`.
            for row in within(self.settings.query_timeout, tenants::these(listener, &unopened)).await? {
                self.loader.load(&row).await;
            }
        }
        Ok(())
    }

    /// Loads rows as they come, in the order in which they were written.
    async fn load_all(&self, limit: Duration, rows: impl Stream<Item = registry::Result<TenantRow>>) -> Result<HashSet<TenantId>> {
        let load = async {
            let (mut rows, mut listed) = (pin!(rows), HashSet::new());
            while let Some(row) = rows.try_next().await? {
                self.loader.load(&row).await;
                self.last_change.fetch_max(row.change_seq, Ordering::Relaxed);
                listed.insert(row.tenant);
            }
            Ok(listed)
        };
        within(limit, load).await
    }

    fn confirm(&self, began: Instant) {
        *self.confirmed.lock().unwrap_or_else(PoisonError::into_inner) = began;
    }
}

fn tenant(notification: &PgNotification) -> Option<TenantId> {
    notification.payload().parse().ok().map(TenantId)
}

async fn within<T>(limit: Duration, work: impl Future<Output = registry::Result<T>>) -> Result<T> {
    let result = tokio::time::timeout(limit, work).await;
    Ok(result.unwrap_or_else(|_| Err(postgres::Error::timed_out("reading tenants")))?)
}
