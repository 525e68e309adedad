//! A session with a school's database, and what decides how long it may be used.
//!
//! Must not know the pool that it belongs to.

use std::time::{Duration, Instant};

use sqlx::Connection as _;
use sqlx::postgres::PgConnection;

/// Ends a transaction if one is open. `ROLLBACK` alone would put a warning into the server's log when none is, which is the usual case.
const CLEAN_UP: &str = "BEGIN; ROLLBACK";
/// Ends the open transaction. A statement in it may have failed, and then `BEGIN` would be refused.
const ROLL_BACK: &str = "ROLLBACK";

/// See the module.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) connection: PgConnection,
    pub(super) epoch: i64,
    /// It may be kept for the next request.
    pub(super) pooling: bool,
    /// The tenant's own setting when it was opened.
    pub(super) command_timeout: Duration,
    /// Something outlives its transaction, so it must not be used again.
    pub(super) dirty: bool,
    /// A transaction is open that the driver does not know of.
    pub(super) transaction: bool,
    /// Before the address was asked for.
    pub(super) opened: Instant,
    pub(super) last_used: Instant,
    pub(super) expires: Instant,
}

impl Session {
    /// Whether anything is unfinished: an open transaction, or results that nobody has read.
    pub(super) fn is_unfinished(&self) -> bool {
        self.transaction || self.is_in_transaction() || self.connection.should_flush()
    }

    /// Whether the driver knows of an open transaction.
    pub(super) fn is_in_transaction(&self) -> bool {
        self.connection.is_in_transaction()
    }

    /// Whether it may be used again now, unless its epoch is stale.
    pub(super) fn is_reusable(&self, now: Instant) -> bool {
        self.pooling && !self.dirty && now < self.expires
    }

    /// Ends whatever transaction is open. The driver first reads what is left of the last statement, and reports an error in it.
    pub(super) async fn clean_up(&mut self) -> Result<(), sqlx::Error> {
        let statement = if self.transaction { ROLL_BACK } else { CLEAN_UP };
        let result = sqlx::raw_sql(statement).execute(&mut self.connection).await;
        self.transaction = false;
        result.map(|_| ())
    }

    /// Whether the session is alive: the server must answer if it is in doubt. Otherwise what the last user left unread is read from the socket, which sends
    /// nothing.
    pub(super) async fn check(&mut self, in_doubt: bool) -> Result<(), sqlx::Error> {
        if in_doubt { self.connection.ping().await } else { self.connection.flush().await }
    }
}
