//! A connection that is in use. However it is let go, the next user gets a session as new.

use std::ops::{Deref, DerefMut};
use std::time::{Duration, Instant};

use sqlx::Connection as _;
use sqlx::postgres::PgConnection;
use tokio::runtime::Handle;
use tokio::time::timeout;

use super::open::open;
use super::place::Place;
use super::{Error, Target};

/// A session and what decides how long it may be used.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) connection: PgConnection,
    pub(super) epoch: i64,
    pub(super) pooling: bool,
    /// The tenant's own setting when it was opened.
    pub(super) command_timeout: Duration,
    pub(super) dirty: bool,
    /// A transaction is open that the driver does not know of.
    pub(super) transaction: bool,
    /// When it was last used.
    pub(super) since: Instant,
    pub(super) expires: Instant,
}

/// A tenant's connection. Dropping it gives it back after the server has confirmed that no transaction is open; [`Connection::finish`] needs no
/// confirmation.
#[derive(Debug)]
pub struct Connection {
    // None only while it is being dropped.
    held: Option<Held>,
}

#[derive(Debug)]
struct Held {
    session: Session,
    place: Place,
}

/// Ends a transaction if there is one. `ROLLBACK` alone would put a warning into the server's log when there is none, which is the rule.
const CLEAN: &str = "BEGIN; ROLLBACK";
/// Ends the transaction that there is, in which a statement may have failed: then `BEGIN` would be refused.
const UNDO: &str = "ROLLBACK";

impl Connection {
    pub(super) fn new(session: Session, place: Place) -> Self {
        Self { held: Some(Held { session, place }) }
    }

    /// Gives the connection back at once. The caller has read all results and ended its transaction: what the driver knows to be unfinished is cleared up as
    /// by dropping.
    pub fn finish(mut self) {
        let Some(held) = self.held.take() else { return };
        let connection = &held.session.connection;
        if held.session.transaction || connection.is_in_transaction() || connection.should_flush() {
            held.clear_up();
        } else {
            held.give_back();
        }
    }

    /// A transaction was begun, or ended, in words of SQL that the driver does not follow.
    pub fn mark_transaction(&mut self, open: bool) {
        if let Some(held) = &mut self.held {
            held.session.transaction = open;
        }
    }

    /// Something was done to the session that outlives a transaction (a setting, a temporary table, a session's lock): it is closed instead of used again.
    /// `DISCARD ALL` would do too, but not for the driver, whose prepared statements go with it.
    pub fn mark_dirty(&mut self) {
        if let Some(held) = &mut self.held {
            held.session.dirty = true;
        }
    }

    /// The epoch of the route that it was opened by.
    pub(super) fn epoch(&self) -> Option<i64> {
        self.held.as_ref().map(|held| held.session.epoch)
    }

    /// This connection, or a new one in its place when it turns out to be dead, or was opened with another command timeout: settings change without a new
    /// epoch, and the next request is held to them.
    pub(super) async fn ready(mut self, target: &Target) -> Result<Self, Error> {
        if let Some(Held { session, place }) = self.held.take_if(|held| held.session.command_timeout != target.command_timeout) {
            // The server may be full: the old session is gone before the new one begins.
            let _ = timeout(place.server().shared().limits.answer, session.connection.close()).await;
            return open(place, target).await;
        }
        let Some(held) = &mut self.held else { return Ok(self) };
        held.session.pooling = target.pooling;
        let (server, connection) = (held.place.server(), &mut held.session.connection);
        let check = async {
            // What the last user left to be read of finished statements is in the socket: reading it asks the server nothing.
            if server.doubts(held.session.since) { connection.ping().await } else { connection.flush().await }
        };
        if matches!(timeout(server.shared().limits.answer, check).await, Ok(Ok(()))) {
            return Ok(self);
        }
        server.suspect();
        match self.held.take() {
            Some(Held { session, place }) => {
                drop(session);
                open(place, target).await
            }
            None => Ok(self),
        }
    }
}

impl Held {
    fn give_back(self) {
        let server = self.place.server().clone();
        server.give_back(self.session, self.place);
    }

    /// In a task of its own, which lasts no longer than the session takes to answer or to be gone. Without a runtime the session is closed here and now.
    fn clear_up(self) {
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(self.confirm());
        }
    }

    /// Gives the session back when the server says that all is done, and closes it otherwise.
    async fn confirm(mut self) {
        let limits = &self.place.server().shared().limits;
        // Before its own statement the driver reads what is left of the last one, and an error in that is as good a reason to close.
        let statement = if self.session.transaction { UNDO } else { CLEAN };
        let answer = timeout(limits.answer, sqlx::raw_sql(statement).execute(&mut self.session.connection)).await;
        self.session.transaction = false;
        let Self { session, place } = self;
        match answer {
            Ok(Ok(_)) if !session.connection.is_in_transaction() => place.server().clone().give_back(session, place),
            Ok(Err(error)) => {
                if error.as_database_error().is_none_or(|error| error.code().is_some_and(|code| code.starts_with("57P"))) {
                    place.server().suspect();
                }
                place.close(session.connection, None).await;
            }
            Ok(Ok(_)) => place.close(session.connection, None).await,
            Err(_) => {
                let abandoned = place.server().shared().limits.abandoned;
                place.close(session.connection, Some(abandoned)).await;
            }
        }
    }
}

impl Deref for Connection {
    type Target = PgConnection;
    fn deref(&self) -> &PgConnection {
        match &self.held {
            Some(held) => &held.session.connection,
            None => unreachable!("what is being dropped cannot be used"),
        }
    }
}

impl DerefMut for Connection {
    fn deref_mut(&mut self) -> &mut PgConnection {
        match &mut self.held {
            Some(held) => &mut held.session.connection,
            None => unreachable!("what is being dropped cannot be used"),
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if let Some(held) = self.held.take() {
            held.clear_up();
        }
    }
}
