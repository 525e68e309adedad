//! A connection that listens to what the registry announces.
//!
//! Must not reconnect by itself: whoever listens must know that it missed something.

use std::time::Duration;

use postgres::error::Doing as _;
use postgres::session::CONNECT_TIMEOUT;
use sqlx::postgres::{PgListener, PgNotification, PgPool, PgPoolOptions};

/// What it is doing, in errors.
pub const LISTENING: &str = "listening to the registry";

/// A connection of its own with the pool's settings, so that a dead one takes no slot of the pool while its close waits for an answer. It listens to these
/// channels, which may be none.
///
/// # Errors
/// When the registry cannot be reached, or does not answer within `limit`.
pub async fn listen(pool: &PgPool, channels: &[&str], limit: Duration) -> postgres::Result<PgListener> {
    let options = pool.connect_options().as_ref().clone();
    let own = PgPoolOptions::new().max_connections(1).acquire_timeout(CONNECT_TIMEOUT).idle_timeout(None).max_lifetime(None);
    let mut listener = PgListener::connect_with(&own.connect_lazy_with(options)).await.doing(LISTENING)?;
    listener.eager_reconnect(false);
    listener.ignore_pool_close_event(true);
    if !channels.is_empty() {
        let listening = tokio::time::timeout(limit, listener.listen_all(channels.iter().copied())).await;
        listening.map_err(|_| postgres::Error::timed_out(LISTENING))?.doing(LISTENING)?;
    }
    Ok(listener)
}

/// The next that is announced.
///
/// # Errors
/// When the connection is lost.
pub async fn receive(listener: &mut PgListener) -> postgres::Result<PgNotification> {
    let ended = || postgres::Error { doing: LISTENING, source: sqlx::Error::Io(std::io::ErrorKind::UnexpectedEof.into()) };
    listener.try_recv().await.doing(LISTENING)?.ok_or_else(ended)
}
