//! A pooled connection with state in its session (an open transaction, a lock, a setting). It goes back to its pool only when the borrower says
//! that the state is gone; after an error or a cancelled future it is closed, and the server clears up.

use std::ops::{Deref, DerefMut};

use postgres::Result;
use postgres::error::Doing as _;
use sqlx::Postgres;
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnection, PgPool};

/// See the module.
pub struct Borrowed {
    connection: PoolConnection<Postgres>,
    clean: bool,
}

impl Borrowed {
    /// One connection of the pool.
    ///
    /// # Errors
    /// When none is to be had in the pool's time.
    pub async fn from(pool: &PgPool, doing: &'static str) -> Result<Self> {
        Ok(Self { connection: pool.acquire().await.doing(doing)?, clean: false })
    }

    /// The session is as it was when it was borrowed.
    pub fn give_back(mut self) {
        self.clean = true;
    }
}

impl Deref for Borrowed {
    type Target = PgConnection;
    fn deref(&self) -> &PgConnection {
        &self.connection
    }
}

impl DerefMut for Borrowed {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.connection
    }
}

impl Drop for Borrowed {
    fn drop(&mut self) {
        if !self.clean {
            self.connection.close_on_drop();
        }
    }
}
