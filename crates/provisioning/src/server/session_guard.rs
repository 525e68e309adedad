//! A pooled connection whose session holds state: an open transaction, an advisory lock, a setting.
//!
//! It must not go back into its pool with that state: only [`SessionGuard::release`] gives it back. After an error or a cancelled future it is closed, and the
//! server drops the state. A pool whose sessions have no end of life holds them on purpose, because the server may let no other in: it cleans them itself.

use std::ops::{Deref, DerefMut};

use postgres::Result;
use postgres::error::Doing as _;
use sqlx::Postgres;
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnection, PgPool, PgSslMode};

/// See the module.
pub struct SessionGuard {
    connection: PoolConnection<Postgres>,
    clean: bool,
    held: bool,
    encrypted: bool,
}

impl SessionGuard {
    /// Takes one connection of the pool.
    ///
    /// # Errors
    /// When the pool has none within its time-out.
    pub async fn acquire(pool: &PgPool, doing: &'static str) -> Result<Self> {
        let held = pool.options().get_max_lifetime().is_none();
        // With these the driver ends a connection that cannot be encrypted. `Prefer` and `Allow` promise nothing.
        let encrypted = matches!(pool.connect_options().get_ssl_mode(), PgSslMode::Require | PgSslMode::VerifyCa | PgSslMode::VerifyFull);
        Ok(Self { connection: pool.acquire().await.doing(doing)?, clean: false, held, encrypted })
    }

    /// What is sent is encrypted, at least as far as the other end of the connection. A host may end TLS before PostgreSQL, so the server's own word in
    /// `pg_stat_ssl` says less.
    #[must_use]
    pub fn is_encrypted(&self) -> bool {
        self.encrypted
    }

    /// Gives the connection back to its pool. Call it when the session is as it was when it was acquired.
    pub fn release(mut self) {
        self.clean = true;
    }
}

impl Deref for SessionGuard {
    type Target = PgConnection;
    fn deref(&self) -> &PgConnection {
        &self.connection
    }
}

impl DerefMut for SessionGuard {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.connection
    }
}

impl Drop for SessionGuard {
    fn drop(&mut self) {
        if !self.clean && !self.held {
            self.connection.close_on_drop();
        }
    }
}
