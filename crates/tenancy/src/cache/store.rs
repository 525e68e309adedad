//! A tenant's values in Redis: read, loaded, stored, invalidated. A value is valid only under its tenant's and its key's current versions.
//!
//! Must not let Redis decide the result: whatever it does, a caller gets a valid value or what its own load gives.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::names::TenantId;
use redis::Pipeline;
use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use super::client::{Client, Unanswered};
use super::key::{TenantKey, generation};
use super::metrics;
use super::pending::PendingInvalidations;
use super::settings::{Error, Settings};
use super::stored::{Decoded, Versions, decode, decode_own, encode, new_version};
use crate::single_flight::{Leader, Role, SingleFlight};

/// Long enough that a busy tenant hardly notices its end, short enough that a deleted tenant leaves nothing behind.
const GENERATION_LIFE: Duration = Duration::from_hours(30 * 24);
/// How often pending invalidations are repeated. The circuit breaker decides whether a command is really sent.
const REPEAT_EVERY: Duration = Duration::from_millis(100);

pub(super) struct Store {
    client: Client,
    loads: SingleFlight<TenantKey, Option<Loaded>>,
    pending: PendingInvalidations,
    ttl: Duration,
    timeout: Duration,
    max_bytes: usize,
}

/// The encoded value. Nothing after a load that failed: its error is for its own caller only.
type Loaded = Option<Arc<[u8]>>;

/// What Redis has for a key. A value that is loaded now may be stored under the versions given here.
enum Read<T> {
    Hit(T, Vec<u8>),
    Miss(Option<Versions>),
    /// Redis has something under the key that is not a value of this tenant and key.
    Rejected(Versions),
    Unanswered(Unanswered),
}

impl Store {
    pub(super) fn new(settings: Settings) -> Result<Self, Error> {
        let Settings { ttl, timeout, max_bytes, .. } = settings;
        let pending = PendingInvalidations::new(ttl + ttl / 10);
        Ok(Self { client: Client::new(settings)?, loads: SingleFlight::default(), pending, ttl, timeout, max_bytes })
    }

    /// See [`super::Cache::get_or_load`].
    pub(super) async fn get_or_load<T, E>(&self, key: &TenantKey, load: impl Future<Output = Result<T, E>>) -> Result<T, E>
    where
        T: Serialize + DeserializeOwned + Send,
    {
        loop {
            match self.loads.lead_or_wait(key) {
                Role::Leader(leader) => return self.lead(key, leader, load).await,
                Role::Waiter(waiter) => {
                    // Without a result the leader was dropped, and one of those who waited leads next.
                    if let Some(loaded) = waiter.result().await {
                        return match loaded.and_then(|bytes| decode_own(&bytes)) {
                            Some(value) => Ok(value),
                            None => load.await,
                        };
                    }
                }
            }
        }
    }

    /// Replaces the key's version.
    pub(super) async fn invalidate(self: Arc<Self>, key: &TenantKey) {
        let mut commands = Pipeline::new();
        set(&mut commands, &key.stamp(), new_version().as_bytes(), self.stamp_life());
        let answer = self.client.send(&commands, &mut self.timeout.clone()).await;
        self.repeat_unless(answer, key.tenant);
        self.loads.detach(|loading| loading == key);
    }

    /// Replaces the tenant's version.
    pub(super) async fn invalidate_all(self: Arc<Self>, tenant: TenantId) {
        let answer = self.replace_generation(tenant).await;
        self.repeat_unless(answer, tenant);
        self.loads.detach(|loading| loading.tenant == tenant);
    }

    /// Reads the value, or loads and stores it, for this caller and those who wait.
    async fn lead<T, E>(
        &self,
        key: &TenantKey,
        leader: Leader<'_, TenantKey, Loaded>,
        load: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E>
    where
        T: Serialize + DeserializeOwned,
    {
        // For Redis alone: the load in between takes none of it.
        let mut remaining = self.timeout;
        let read = self.read(key, &mut remaining).await;
        metrics::read(read.label());
        let versions = match read {
            Read::Hit(value, bytes) => {
                leader.share(Some(bytes.into()));
                return Ok(value);
            }
            Read::Miss(versions) => versions,
            Read::Rejected(versions) => {
                tracing::warn!(tenant_id = %key.tenant, key = key.key.name(), "a cached value belongs to another tenant or key, or is unreadable");
                Some(versions)
            }
            Read::Unanswered(_) => None,
        };
        let loaded = load.await;
        let bytes = loaded.as_ref().ok().and_then(|value| encode(key, versions.as_ref(), value));
        if let Some(bytes) = bytes.as_deref().filter(|bytes| versions.is_some() && bytes.len() <= self.max_bytes) {
            let mut commands = Pipeline::new();
            set(&mut commands, &key.value(), bytes, jittered(self.ttl));
            // A failure costs the next reader a load.
            let _ = self.client.send::<()>(&commands, &mut remaining).await;
        }
        leader.share(bytes.map(Into::into));
        loaded
    }

    async fn read<T: DeserializeOwned>(&self, key: &TenantKey, remaining: &mut Duration) -> Read<T> {
        if self.pending.contains(key.tenant, Instant::now()) {
            return Read::Unanswered(Unanswered::Skipped);
        }
        let mut commands = Pipeline::new();
        commands.cmd("MGET").arg(generation(key.tenant)).arg(key.stamp()).arg(key.value());
        let answer = self.client.send::<([Option<Vec<u8>>; 3],)>(&commands, remaining).await;
        let (generation, stamp, bytes) = match answer {
            Ok(([generation, stamp, bytes],)) => (generation, stamp, bytes),
            Err(unanswered) => return Read::Unanswered(unanswered),
        };
        let (Some(generation), Some(stamp)) = (&generation, &stamp) else {
            return Read::Miss(self.create_versions(key, generation.map(text), stamp.map(text), remaining).await);
        };
        let versions = Versions { generation: text(generation), stamp: text(stamp) };
        let Some(bytes) = bytes else { return Read::Miss(Some(versions)) };
        match decode(&bytes, key, &versions) {
            Decoded::Valid(value) => Read::Hit(value, bytes),
            Decoded::Invalidated => Read::Miss(Some(versions)),
            Decoded::Rejected => Read::Rejected(versions),
        }
    }

    /// Creates the versions that are missing. Another process that does so at the same time may replace ours, which costs one of the two its value.
    async fn create_versions(
        &self,
        key: &TenantKey,
        old_generation: Option<String>,
        old_stamp: Option<String>,
        remaining: &mut Duration,
    ) -> Option<Versions> {
        let mut commands = Pipeline::new();
        let mut create = |name: String, life| {
            let version = new_version();
            set(&mut commands, &name, version.as_bytes(), life);
            version
        };
        let generation = old_generation.unwrap_or_else(|| create(generation(key.tenant), GENERATION_LIFE));
        let stamp = old_stamp.unwrap_or_else(|| create(key.stamp(), self.stamp_life()));
        self.client.send::<()>(&commands, remaining).await.ok().map(|()| Versions { generation, stamp })
    }

    async fn replace_generation(&self, tenant: TenantId) -> Result<(), Unanswered> {
        let mut commands = Pipeline::new();
        set(&mut commands, &generation(tenant), new_version().as_bytes(), GENERATION_LIFE);
        self.client.send(&commands, &mut self.timeout.clone()).await
    }

    /// Longer than any value under the stamp, so that a value of a busy key is valid for nearly its whole time.
    fn stamp_life(&self) -> Duration {
        self.ttl * 2
    }

    /// Remembers an invalidation that Redis did not confirm, and repeats it until it does.
    fn repeat_unless(self: &Arc<Self>, answer: Result<(), Unanswered>, tenant: TenantId) {
        if answer.is_err() && self.pending.add(tenant, Instant::now()) {
            let store = Arc::downgrade(self);
            tokio::spawn(async move {
                loop {
                    tokio::time::sleep(REPEAT_EVERY).await;
                    let Some(store) = store.upgrade() else { return };
                    if store.repeat_pending().await {
                        return;
                    }
                }
            });
        }
    }

    /// True when nothing is pending any more.
    async fn repeat_pending(&self) -> bool {
        for (tenant, number) in self.pending.all() {
            if self.replace_generation(tenant).await.is_err() {
                return false;
            }
            self.pending.confirm(tenant, number);
        }
        self.pending.is_done()
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("client", &self.client).finish_non_exhaustive()
    }
}

impl<T> Read<T> {
    /// The value of the metric's label.
    fn label(&self) -> &'static str {
        match self {
            Self::Hit(..) => "hit",
            Self::Miss(_) => "miss",
            Self::Rejected(_) => "rejected",
            Self::Unanswered(Unanswered::Failed) => "error",
            Self::Unanswered(Unanswered::Skipped) => "skipped",
        }
    }
}

fn set(commands: &mut Pipeline, name: &str, value: &[u8], life: Duration) {
    let milliseconds = u64::try_from(life.as_millis()).unwrap_or(u64::MAX).max(1);
    commands.cmd("SET").arg(name).arg(value).arg("PX").arg(milliseconds).ignore();
}

/// A version as text. Ours are hexadecimal, and anything else equals itself all the same.
fn text(version: impl AsRef<[u8]>) -> String {
    String::from_utf8_lossy(version.as_ref()).into_owned()
}

/// Give or take a tenth, so that values stored together do not expire together.
fn jittered(ttl: Duration) -> Duration {
    let spread = u32::try_from(Uuid::new_v4().as_u128() % 2001).unwrap_or_default();
    ttl / 10_000 * (9_000 + spread)
}
