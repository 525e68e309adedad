//! The registry of tenants in memory: who a request's tenant is, and where its database is, without asking anybody.
//!
//! All of it is loaded before the first request and kept current by notifications and a poll. While the master database is down, what is known is served;
//! what is not known is an error, never an absence. Must not decide who may use a tenant, nor connect to a tenant's database.

mod absent;
mod entry;
mod error;
mod flights;
mod follow;
mod keys;
mod lookup;
mod map;
mod memory;

pub use entry::{Entry, Fault, State};
pub use error::Error;

use std::path::PathBuf;
use std::sync::atomic::AtomicI64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use domain::names::TenantId;
use postgres::schema::Migrations;
use registry::seal::OpeningKeys;
use sqlx::postgres::PgPool;

use self::keys::Keys;
use self::lookup::Lookups;
use self::memory::Memory;

/// The result of asking the directory.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// How the directory keeps itself current.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Use LISTEN; not possible through a pooler that shares sessions, where the poll alone must do.
    pub listen: bool,
    /// Time between polls when nothing is heard.
    pub poll: Duration,
    /// Time that the registry has to answer a poll, or a look-up.
    pub answer: Duration,
    /// How long an unknown tenant is not asked for again.
    pub absence: Duration,
    /// The least time between two refetches of one tenant.
    pub refetch: Duration,
    /// The file that the opening keys were read from; read again when a row names a key that is not among them.
    pub key_file: Option<PathBuf>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: true,
            poll: Duration::from_secs(10),
            answer: Duration::from_secs(5),
            absence: Duration::from_secs(30),
            refetch: Duration::from_secs(1),
            key_file: None,
        }
    }
}

/// Every tenant, in memory. Shared: `Arc<Directory>`.
pub struct Directory {
    memory: Arc<Memory>,
    lookups: Lookups,
    pool: PgPool,
    settings: Settings,
    /// Every write up to this one has been read.
    seen: AtomicI64,
    confirmed: Mutex<Instant>,
}

impl Directory {
    /// Reads the whole registry.
    ///
    /// # Errors
    /// [`Error::Outdated`] until the operator has migrated the master database, or the registry fails; both may pass, so try again.
    pub async fn load(pool: PgPool, opening: OpeningKeys, settings: Settings) -> Result<Arc<Self>> {
        let needed = Migrations::master()?.target();
        let found = registry::version(&pool).await?;
        if found < needed {
            return Err(Error::Outdated { found, needed });
        }
        let memory = Arc::new(Memory::new(Keys::new(opening, settings.key_file.clone())));
        let lookups = Lookups::new(pool.clone(), Arc::clone(&memory), &settings);
        let confirmed = Mutex::new(Instant::now());
        let directory = Self { memory, lookups, pool, settings, seen: AtomicI64::new(i64::MIN), confirmed };
        directory.reload(&mut directory.line().await?).await?;
        // Nobody has connections yet that a new epoch could make old.
        directory.memory.map.take_grown();
        Ok(Arc::new(directory))
    }

    /// The tenant of this id; from memory, unless it is new here. Deleted and retained tenants are unknown.
    ///
    /// # Errors
    /// When the tenant is not in memory and the registry fails: nobody knows whether there is one.
    pub async fn by_id(&self, id: TenantId) -> Result<Option<Arc<Entry>>> {
        match self.memory.map.get(id) {
            Some(entry) => Ok(entry.visible()),
            None => self.lookups.find(id).await,
        }
    }

    /// The tenant of this id if it is in memory; asks nobody.
    #[must_use]
    pub fn known(&self, id: TenantId) -> Option<Arc<Entry>> {
        self.memory.map.get(id).and_then(Entry::visible)
    }

    /// Reads a tenant anew, for who was refused by its database. Callers of the same moment share one query, and so do those of the same second.
    ///
    /// # Errors
    /// When the registry fails; what is in memory stays.
    pub async fn refetch(&self, id: TenantId) -> Result<Option<Arc<Entry>>> {
        self.lookups.refetch(id).await
    }

    /// Time since the registry last confirmed that memory is current.
    #[must_use]
    pub fn age(&self) -> Duration {
        self.confirmed.lock().unwrap_or_else(PoisonError::into_inner).elapsed()
    }

    /// At most `limit` tenants by code, from after the code `after`; without deleted and retained ones.
    #[must_use]
    pub fn entries(&self, after: Option<&str>, limit: usize) -> Vec<Arc<Entry>> {
        let mut entries = self.memory.map.all();
        entries.retain(|entry| entry.is_visible() && after.is_none_or(|after| entry.code.as_str() > after));
        entries.sort_unstable_by(|a, b| a.code.cmp(&b.code));
        entries.truncate(limit);
        entries
    }

    /// How many tenants there are: all but the deleted.
    #[must_use]
    pub fn len(&self) -> usize {
        self.memory.map.len()
    }

    /// There is no tenant.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn confirm(&self, asked: Instant) {
        *self.confirmed.lock().unwrap_or_else(PoisonError::into_inner) = asked;
    }
}
