//! Values that are dear to load and seldom change, kept in Redis for each tenant by itself (decision 14).
//!
//! Redis is never needed and never believed: whatever goes wrong with it costs one caller a bounded time and a load, and a value counts only when
//! it says itself that it is this tenant's, this key's and not older than what was last forgotten. Must not be asked whether somebody may do
//! something that suspension or revocation can take away at once: those read the registry.

mod breaker;
mod debt;
mod envelope;
mod flight;
mod key;
pub mod metrics;
mod server;

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use redis::{Cmd, Pipeline};
use secrecy::SecretString;
use serde::{Serialize, de::DeserializeOwned};
use uuid::Uuid;

use self::debt::Debt;
use self::envelope::{Lease, Refusal, fresh};
use self::flight::{Flights, Leader, Outcome, Role};
use self::key::{Place, generation};
use self::metrics::Read;
use self::server::{Patience, Server, Trouble};
use crate::domain::names::TenantId;

pub use self::breaker::Breaking;
pub use self::key::Key;

/// Long enough that a busy tenant never notices its end, short enough that a tenant that is gone leaves nothing.
const GENERATION_LIFE: Duration = Duration::from_secs(30 * 24 * 3600);
/// How often what could not be told is tried again; the breaker decides whether Redis is really asked.
const REPAY_EVERY: Duration = Duration::from_millis(100);

/// How to reach Redis, and what it may cost.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `redis://` or `rediss://` (TLS) `user:password@host:port/database`.
    pub url: SecretString,
    /// The authority that must have signed the server's certificate, as PEM; the system's authorities when there is none.
    pub authority: Option<Vec<u8>>,
    /// How long a value counts, give or take a tenth.
    pub ttl: Duration,
    /// How long one caller waits for Redis, whatever it asks.
    pub timeout: Duration,
    /// How long connecting may take, which goes on behind callers that no longer wait.
    pub connect_timeout: Duration,
    /// How many callers ask at the same time; others wait for their turn.
    pub in_flight: usize,
    /// How many bytes a value may have in its envelope to be stored.
    pub largest: usize,
    /// When to stop asking.
    pub breaking: Breaking,
}

impl Settings {
    /// One hour, 50 ms, 256 KiB.
    #[must_use]
    pub fn new(url: SecretString) -> Self {
        Self {
            url,
            authority: None,
            ttl: Duration::from_hours(1),
            timeout: Duration::from_millis(50),
            connect_timeout: Duration::from_secs(1),
            in_flight: 256,
            largest: 256 * 1024,
            breaking: Breaking::default(),
        }
    }
}

/// Why settings cannot be used. Nothing of the URL is quoted: it holds a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Another scheme, or none.
    #[error("the Redis URL must start with redis:// or rediss://")]
    Scheme,
    /// Something behind `#`, which would switch off the check of certificates or mean nothing.
    #[error("the Redis URL must not contain #; write a # in the password as %23")]
    Fragment,
    /// It cannot be read.
    #[error(
        "the Redis URL must be redis://user:password@host:port/database, with a numeric database and special characters percent-encoded"
    )]
    Malformed,
    /// An authority without TLS.
    #[error("the authority for Redis needs a URL that starts with rediss://")]
    UnusedAuthority,
    /// The authority is no certificate.
    #[error("the authority for Redis must be one or more certificates in PEM form")]
    Authority,
}

/// The cache of one process. A clone is the same cache.
#[derive(Clone, Debug)]
pub struct Cache(Option<Arc<Inner>>);

#[derive(Debug)]
struct Inner {
    server: Server,
    flights: Flights,
    debt: Debt,
    ttl: Duration,
    timeout: Duration,
    largest: usize,
}

/// What a look into Redis gave.
enum Found<T> {
    Value(T, Vec<u8>),
    /// Nothing that counts. With a lease, what is loaded now may be stored under it.
    Nothing(Option<Lease>),
}

impl Cache {
    /// No cache: every value is loaded.
    #[must_use]
    pub fn off() -> Self {
        Self(None)
    }

    /// A cache that connects when it is first used.
    ///
    /// # Errors
    /// What is wrong with the settings. That Redis is absent is no error.
    pub fn connect(settings: Settings) -> Result<Self, Error> {
        metrics::describe();
        let Settings { ttl, timeout, largest, .. } = settings;
        let debt = Debt::new(ttl + ttl / 10);
        Ok(Self(Some(Arc::new(Inner { server: Server::new(settings)?, flights: Flights::default(), debt, ttl, timeout, largest }))))
    }

    /// The cached value, else what `load` gives, which is then cached. Of several callers in this process only one loads.
    ///
    /// # Errors
    /// Those of `load`, and no others. Whoever waited for a load that failed loads itself.
    pub async fn get_or_load<T, E, F>(&self, tenant: TenantId, key: Key, load: F) -> Result<T, E>
    where
        T: Serialize + DeserializeOwned + Send,
        F: Future<Output = Result<T, E>>,
    {
        let Some(inner) = &self.0 else { return load.await };
        let place = Place { tenant, key };
        loop {
            match inner.flights.join(&place) {
                Role::Leader(leader) => return inner.lead(&place, leader, load).await,
                Role::Waiter(waiter) => match waiter.outcome().await {
                    Outcome::Shared(bytes) => match envelope::unseal(&bytes) {
                        Some(value) => return Ok(value),
                        None => return load.await,
                    },
                    Outcome::Unshared => return load.await,
                    Outcome::Abandoned => {}
                },
            }
        }
    }

    /// Makes the value worthless for everybody who asks from now on, also one that is being loaded. To be called after the write is committed.
    /// It goes on when its caller is dropped, and when Redis cannot be told now it is told later.
    pub async fn forget(&self, tenant: TenantId, key: Key) {
        self.detached(async move |inner| {
            let place = Place { tenant, key };
            let mut commands = Pipeline::new();
            // Twice as long as any value that repeats the mark before it. Without a mark, no value counts.
            commands.add_command(set(&place.stamp(), fresh().as_bytes(), inner.ttl * 2)).ignore();
            let told = inner.server.ask::<()>(&commands, &mut inner.patience()).await;
            inner.owe_unless(told, tenant);
            inner.flights.forget(&place);
        })
        .await;
    }

    /// The same for everything of the tenant's.
    pub async fn flush(&self, tenant: TenantId) {
        self.detached(async move |inner| {
            let told = inner.renew(tenant).await;
            inner.owe_unless(told, tenant);
            inner.flights.flush(tenant);
        })
        .await;
    }

    async fn detached<F: Future<Output = ()> + Send + 'static>(&self, work: impl FnOnce(Arc<Inner>) -> F) {
        if let Some(inner) = &self.0 {
            // That it was cut short at the process's end is all that this could report.
            let _ = tokio::spawn(work(inner.clone())).await;
        }
    }
}

impl Inner {
    fn patience(&self) -> Patience {
        Patience(self.timeout)
    }

    async fn lead<T, E>(&self, place: &Place, leader: Leader<'_>, load: impl Future<Output = Result<T, E>>) -> Result<T, E>
    where
        T: Serialize + DeserializeOwned,
    {
        let mut patience = self.patience();
        let lease = match self.find(place, &mut patience).await {
            Found::Value(value, bytes) => {
                leader.share(Some(bytes.into()));
                return Ok(value);
            }
            Found::Nothing(lease) => lease,
        };
        let loaded = load.await;
        let sealed = loaded.as_ref().ok().and_then(|value| envelope::seal(place, lease.as_ref(), value));
        if let Some(bytes) = sealed.as_deref().filter(|bytes| lease.is_some() && bytes.len() <= self.largest) {
            let mut commands = Pipeline::new();
            commands.add_command(set(&place.value(), bytes, jittered(self.ttl))).ignore();
            // That it is not stored costs the next one a load.
            let _ = self.server.ask::<()>(&commands, &mut patience).await;
        }
        leader.share(sealed.map(Into::into));
        loaded
    }

    async fn find<T: DeserializeOwned>(&self, place: &Place, patience: &mut Patience) -> Found<T> {
        let (read, found) = self.look(place, patience).await;
        metrics::read(read);
        if read == Read::Rejected {
            tracing::warn!(tenant_id = %place.tenant, key = place.key.name(), "a cached value is not this tenant's, not this key's or unreadable");
        }
        found
    }

    async fn look<T: DeserializeOwned>(&self, place: &Place, patience: &mut Patience) -> (Read, Found<T>) {
        if self.debt.owes(place.tenant, Instant::now()) {
            return (Read::Skipped, Found::Nothing(None));
        }
        let mut commands = Pipeline::new();
        commands.cmd("MGET").arg(generation(place.tenant)).arg(place.stamp()).arg(place.value());
        type Marks = (Option<Vec<u8>>, Option<Vec<u8>>, Option<Vec<u8>>);
        let (generation, stamp, bytes) = match self.server.ask::<(Marks,)>(&commands, patience).await {
            Ok((answers,)) => answers,
            Err(Trouble::Skipped) => return (Read::Skipped, Found::Nothing(None)),
            Err(Trouble::Failed) => return (Read::Error, Found::Nothing(None)),
        };
        let (Some(generation), Some(stamp)) = (&generation, &stamp) else {
            return (Read::Miss, Found::Nothing(self.begin(place, generation, stamp, patience).await));
        };
        let lease = Lease { generation: text(generation), stamp: text(stamp) };
        match bytes.map(|bytes| (envelope::open(&bytes, place, &lease), bytes)) {
            Some((Ok(value), bytes)) => (Read::Hit, Found::Value(value, bytes)),
            Some((Err(Refusal::Foreign | Refusal::Unreadable), _)) => (Read::Rejected, Found::Nothing(Some(lease))),
            Some((Err(Refusal::Old), _)) | None => (Read::Miss, Found::Nothing(Some(lease))),
        }
    }

    /// Makes the marks that are missing. One that another process makes at the same time may replace ours, which costs one of the two its value.
    async fn begin(
        &self,
        place: &Place,
        old_generation: Option<Vec<u8>>,
        old_stamp: Option<Vec<u8>>,
        patience: &mut Patience,
    ) -> Option<Lease> {
        let lease =
            Lease { generation: old_generation.as_deref().map_or_else(fresh, text), stamp: old_stamp.as_deref().map_or_else(fresh, text) };
        let mut commands = Pipeline::new();
        if old_generation.is_none() {
            commands.add_command(set(&generation(place.tenant), lease.generation.as_bytes(), GENERATION_LIFE)).ignore();
        }
        if old_stamp.is_none() {
            commands.add_command(set(&place.stamp(), lease.stamp.as_bytes(), self.ttl * 2)).ignore();
        }
        self.server.ask::<()>(&commands, patience).await.ok().map(|()| lease)
    }

    /// Replaces the tenant's generation.
    async fn renew(&self, tenant: TenantId) -> Result<(), Trouble> {
        let mut commands = Pipeline::new();
        commands.add_command(set(&generation(tenant), fresh().as_bytes(), GENERATION_LIFE)).ignore();
        self.server.ask(&commands, &mut self.patience()).await
    }

    /// Remembers that Redis was not told, and tells it when it answers again.
    fn owe_unless(self: &Arc<Self>, told: Result<(), Trouble>, tenant: TenantId) {
        if told.is_err() && self.debt.add(tenant, Instant::now()) {
            let cache = Arc::downgrade(self);
            tokio::spawn(async move {
                loop {
                    tokio::time::sleep(REPAY_EVERY).await;
                    let Some(inner) = cache.upgrade() else { return };
                    if inner.repay().await {
                        return;
                    }
                }
            });
        }
    }

    /// True when nothing is owed any more.
    async fn repay(&self) -> bool {
        for (tenant, number) in self.debt.all() {
            if self.renew(tenant).await.is_err() {
                return false;
            }
            self.debt.paid(tenant, number);
        }
        self.debt.settled()
    }
}

fn set(name: &str, value: &[u8], life: Duration) -> Cmd {
    let mut command = redis::cmd("SET");
    command.arg(name).arg(value).arg("PX").arg(u64::try_from(life.as_millis()).unwrap_or(u64::MAX).max(1));
    command
}

/// A mark as the envelope holds it. Marks are hexadecimal; another one that somebody has put there is equal to itself all the same.
fn text(mark: impl AsRef<[u8]>) -> String {
    String::from_utf8_lossy(mark.as_ref()).into_owned()
}

/// Give or take a tenth, so that what was stored together does not end together.
fn jittered(ttl: Duration) -> Duration {
    let spread = u32::try_from(Uuid::new_v4().as_u128() % 2001).unwrap_or_default();
    ttl / 10_000 * (9_000 + spread)
}
