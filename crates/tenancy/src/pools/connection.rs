//! A connection that is in use. However it is dropped, the next user gets a clean session.
//!
//! Must not give back a session that may hold an open transaction or unread results.

use std::ops::{Deref, DerefMut};

use sqlx::postgres::PgConnection;
use tokio::runtime::Handle;
use tokio::time::timeout;

use super::connect::connect;
use super::error::Error;
use super::session::Session;
use super::slot::{Grant, Slot};
use super::target::Target;

/// A tenant's connection. Dropping it gives it back after the server has confirmed that no transaction is open. [`Connection::finish`] needs no
/// confirmation.
#[derive(Debug)]
pub struct Connection {
    // None only while it is being dropped.
    held: Option<Held>,
}

#[derive(Debug)]
struct Held {
    session: Session,
    slot: Slot,
}

impl Connection {
    pub(super) fn new(slot: Slot, session: Session) -> Self {
        Self { held: Some(Held { session, slot }) }
    }

    /// The connection that was granted: the session in its slot if it is usable, otherwise a new one.
    pub(super) async fn open(grant: Grant, target: &Target) -> Result<Self, Error> {
        match grant.take() {
            Some((slot, Some(session))) => {
                let connection = Self::new(slot, session);
                // The epoch may have been raised while it waited. Dropping the connection closes it then.
                if connection.epoch() == Some(target.epoch) { connection.ready(target).await } else { Err(Error::Stale) }
            }
            Some((slot, None)) => Self::connect(slot, target).await,
            None => Err(Error::Stopping),
        }
    }

    /// Gives the connection back at once. The caller has read all results and ended its transaction. If the driver knows of something unfinished, this cleans up
    /// as dropping does.
    pub fn finish(mut self) {
        let Some(held) = self.held.take() else { return };
        if held.session.is_unfinished() {
            held.clean_up();
        } else {
            held.slot.give_back(held.session);
        }
    }

    /// A transaction was begun or ended in SQL that the driver does not parse.
    pub fn set_transaction(&mut self, open: bool) {
        if let Some(held) = &mut self.held {
            held.session.transaction = open;
        }
    }

    /// The session was changed beyond its transaction (a setting, a temporary table, an advisory lock of the session), so it is closed and not used again.
    /// No route does so today; one that does must call this, because nothing else notices such a change. `DISCARD ALL` would reset it too, but would also
    /// drop the prepared statements that the driver relies on.
    pub fn set_dirty(&mut self) {
        if let Some(held) = &mut self.held {
            held.session.dirty = true;
        }
    }

    /// The server takes no writes in this session: it is a standby, and the primary may be where the address leads now. Closes this session and the tenant's other
    /// ones of before, so that the next connection asks for the address anew. A session that has just been opened stays, for reading: asking again at
    /// once would lead to the same place. Returns whether the next connection may lead elsewhere.
    #[must_use]
    pub fn leave_standby(mut self) -> bool {
        let Some(held) = &mut self.held else { return false };
        if held.session.opened.elapsed() < held.slot.server().context().limits.standby_recheck {
            return false;
        }
        held.slot.reopen();
        true
    }

    /// The epoch of the route that it was opened with.
    fn epoch(&self) -> Option<i64> {
        self.held.as_ref().map(|held| held.session.epoch)
    }

    async fn connect(slot: Slot, target: &Target) -> Result<Self, Error> {
        connect(slot, target).await.map(|(slot, session)| Self::new(slot, session))
    }

    /// This connection, or a new one in its slot when it is dead or was opened with another command timeout: settings change without a new epoch, and
    /// the next request uses them.
    async fn ready(mut self, target: &Target) -> Result<Self, Error> {
        if let Some(Held { session, slot }) = self.held.take_if(|held| held.session.command_timeout != target.command_timeout) {
            // The server may be full, so the old session ends before the new one begins.
            let _ = timeout(slot.server().context().limits.answer_timeout, sqlx::Connection::close(session.connection)).await;
            return Self::connect(slot, target).await;
        }
        let Some(Held { session, slot }) = &mut self.held else { return Ok(self) };
        session.pooling = target.pooling;
        let in_doubt = slot.server().is_in_doubt(session.last_used);
        if matches!(timeout(slot.server().context().limits.answer_timeout, session.check(in_doubt)).await, Ok(Ok(()))) {
            return Ok(self);
        }
        slot.server().suspect();
        match self.held.take() {
            Some(Held { session, slot }) => {
                drop(session);
                Self::connect(slot, target).await
            }
            None => Ok(self),
        }
    }
}

impl Held {
    /// In a task of its own, which ends when the session has answered or is closed. Without a runtime the session is closed at once.
    fn clean_up(self) {
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(self.confirm());
        }
    }

    /// Gives the session back when the server confirms that no transaction is open, and closes it otherwise.
    async fn confirm(self) {
        let Self { mut session, slot } = self;
        let (answer_timeout, abandoned) = {
            let limits = &slot.server().context().limits;
            (limits.answer_timeout, limits.abandoned_statement)
        };
        match timeout(answer_timeout, session.clean_up()).await {
            Ok(Ok(())) if !session.is_in_transaction() => slot.give_back(session),
            Ok(Ok(())) => slot.close(session.connection, None).await,
            Ok(Err(error)) => {
                if error.as_database_error().is_none_or(|error| error.code().is_some_and(|code| code.starts_with("57P"))) {
                    slot.server().suspect();
                }
                slot.close(session.connection, None).await;
            }
            Err(_) => slot.close(session.connection, Some(abandoned)).await,
        }
    }
}

impl Deref for Connection {
    type Target = PgConnection;
    fn deref(&self) -> &PgConnection {
        match &self.held {
            Some(held) => &held.session.connection,
            None => unreachable!("a connection that is being dropped cannot be used"),
        }
    }
}

impl DerefMut for Connection {
    fn deref_mut(&mut self) -> &mut PgConnection {
        match &mut self.held {
            Some(held) => &mut held.session.connection,
            None => unreachable!("a connection that is being dropped cannot be used"),
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if let Some(held) = self.held.take() {
            held.clean_up();
        }
    }
}
