//! A tenant's values in Redis: found, loaded, stored, forgotten. A value counts only under the marks that its tenant and its key have now.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::names::TenantId;
use redis::{Cmd, Pipeline};
use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use super::debt::Debt;
use super::envelope::{self, Lease, Refusal, fresh};
use super::flight::{Flights, Leader, Role};
use super::key::{Place, generation};
use super::metrics::{self, Read};
use super::server::{Patience, Server, Trouble};
use super::{Error, Settings};

/// Long enough that a busy tenant hardly notices its end, short enough that a tenant that is gone leaves nothing.
const GENERATION_LIFE: Duration = Duration::from_hours(30 * 24);
/// How often what could not be told is tried again; the breaker decides whether Redis is really asked.
const REPAY_EVERY: Duration = Duration::from_millis(100);

#[derive(Debug)]
pub(super) struct Store {
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

/// What `MGET` answers: generation, stamp, value.
type Answers = (Option<Vec<u8>>, Option<Vec<u8>>, Option<Vec<u8>>);

impl Store {
    pub(super) fn new(settings: Settings) -> Result<Self, Error> {
        let Settings { ttl, timeout, largest, .. } = settings;
        let debt = Debt::new(ttl + ttl / 10);
        Ok(Self { server: Server::new(settings)?, flights: Flights::default(), debt, ttl, timeout, largest })
    }

    /// Whether the caller loads `place`, or waits for somebody who does.
    pub(super) fn join(&self, place: &Place) -> Role<'_> {
        self.flights.join(place)
    }

    /// Replaces the key's mark.
    pub(super) async fn forget(self: Arc<Self>, place: &Place) {
        let mut commands = Pipeline::new();
        commands.add_command(set(&place.stamp(), fresh().as_bytes(), self.stamp_life())).ignore();
        let told = self.server.ask::<()>(&commands, &mut self.patience()).await;
        self.owe_unless(told, place.tenant);
        self.flights.forget(place);
    }

    /// Replaces the tenant's mark.
    pub(super) async fn flush(self: Arc<Self>, tenant: TenantId) {
        let told = self.renew(tenant).await;
        self.owe_unless(told, tenant);
        self.flights.flush(tenant);
    }

    /// Longer than any value that repeats the stamp, so that in a busy key each value counts for its whole time or nearly.
    fn stamp_life(&self) -> Duration {
        self.ttl * 2
    }

    fn patience(&self) -> Patience {
        Patience(self.timeout)
    }

    /// The value from Redis or `load`, for this caller and those who wait.
    pub(super) async fn lead<T, E>(&self, place: &Place, leader: Leader<'_>, load: impl Future<Output = Result<T, E>>) -> Result<T, E>
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
        let (generation, stamp, bytes) = match self.server.ask::<(Answers,)>(&commands, patience).await {
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
            commands.add_command(set(&place.stamp(), lease.stamp.as_bytes(), self.stamp_life())).ignore();
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
                    let Some(store) = cache.upgrade() else { return };
                    if store.repay().await {
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
