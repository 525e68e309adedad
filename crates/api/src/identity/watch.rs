//! Background work: refreshes keys and ended sessions, deletes expired sessions.
//!
//! Must not end by itself: what fails is logged and tried again, and the last state stays.

use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::{PgListener, PgPool};
use telemetry::logs::chain;
use tokio_util::sync::CancellationToken;

use super::{ANSWER, Identity, WINDOW, refresh};

/// Pause between two readings that notifications cause.
const BREATH: Duration = Duration::from_millis(20);

impl Identity {
    /// Keeps keys and ended sessions current, and deletes expired sessions, until `stop`.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let work = async {
            tokio::join!(self.watch_keys(), self.watch_issuer(), self.watch_sessions(), self.sweep());
        };
        tokio::select! {
            () = work => {}
            () = stop.cancelled() => {}
        }
    }

    async fn watch_keys(&self) {
        loop {
            tokio::time::sleep(self.settings.key_file_period).await;
            self.keys.reread().await;
        }
    }

    async fn watch_issuer(&self) {
        let Some(external) = &self.external else { return };
        loop {
            external.refresh().await;
            tokio::time::sleep(external.due()).await;
        }
    }

    /// Reads at once whenever accounts change, whenever listening begins anew, and after every period.
    async fn watch_sessions(&self) {
        loop {
            let listening = tokio::time::timeout(self.settings.revocation_period, listen(&self.pool)).await;
            self.reload().await;
            let Ok(Ok(mut listener)) = listening else {
                tokio::time::sleep(self.settings.revocation_period).await;
                continue;
            };
            // After a time-out the poll is due. `None` and an error mean that notifications may have been missed.
            while let Ok(Ok(Some(_))) | Err(_) = tokio::time::timeout(self.settings.revocation_period, listener.try_recv()).await {
                while listener.next_buffered().is_some() {}
                self.reload().await;
                tokio::time::sleep(BREATH).await;
            }
            tokio::time::sleep(BREATH).await;
        }
    }

    async fn reload(&self) {
        let loaded = tokio::time::timeout(ANSWER, self.revocations.load(&self.pool, WINDOW)).await;
        if let Some(error) = loaded.unwrap_or_else(|_| Err(postgres::Error::timed_out("reading which sessions have ended"))).err() {
            tracing::warn!(error = chain(&error), "refreshing ended sessions failed");
        }
    }

    async fn sweep(&self) {
        loop {
            tokio::time::sleep(self.settings.sweep_period).await;
            self.attempts.forget();
            self.renewals.forget();
            if let Err(error) = refresh::sweep(&self.pool).await {
                tracing::warn!(error = chain(&error), "deleting expired sessions failed");
            }
        }
    }
}

async fn listen(pool: &PgPool) -> Result<PgListener, sqlx::Error> {
    let mut listener = PgListener::connect_with(pool).await?;
    listener.listen("users").await?;
    Ok(listener)
}
