//! Values that are dear to load and seldom change, kept in Redis for each tenant by itself (decision 14).
//!
//! Redis is never needed and never believed: whatever goes wrong with it costs one caller a bounded time and a load, and a value counts only when
//! it says itself that it is this tenant's, this key's and not older than what was last forgotten. Must not be asked whether somebody may do
//! something: what was taken away could live on in Redis, or be forged there (decision 21).

mod breaker;
mod debt;
mod envelope;
mod flight;
mod key;
pub mod metrics;
mod server;
mod store;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use domain::names::TenantId;
use secrecy::SecretString;
use serde::Serialize;
use serde::de::DeserializeOwned;

use self::flight::{Outcome, Role};
use self::key::Place;
use self::store::Store;

pub use self::breaker::Breaking;
pub use self::key::Key;

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
pub struct Cache(Option<Arc<Store>>);

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
        Store::new(settings).map(|store| Self(Some(Arc::new(store))))
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
        let Some(store) = &self.0 else { return load.await };
        let place = Place { tenant, key };
        loop {
            match store.join(&place) {
                Role::Leader(leader) => return store.lead(&place, leader, load).await,
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

    /// Makes the value worthless for everybody who asks from now on, also one that is being loaded. To be called after the write is committed, by what
    /// goes on when the request is given up between the two (`access::Writing::outdates`).
    /// It goes on when its caller is dropped, and when Redis cannot be told now it is told later.
    pub async fn forget(&self, tenant: TenantId, key: Key) {
        self.detached(async move |store| store.forget(&Place { tenant, key }).await).await;
    }

    /// The same for everything of the tenant's.
    pub async fn flush(&self, tenant: TenantId) {
        self.detached(async move |store| store.flush(tenant).await).await;
    }

    async fn detached<F: Future<Output = ()> + Send + 'static>(&self, work: impl FnOnce(Arc<Store>) -> F) {
        if let Some(store) = &self.0 {
            // That it was cut short at the process's end is all that this could report.
            let _ = tokio::spawn(work(store.clone())).await;
        }
    }
}
