//! Background work: refreshes keys and ended sessions, deletes expired sessions.
//!
//! Must not end by itself: what fails is logged and tried again, and the last state stays.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sqlx::postgres::{PgListener, PgPool};
use telemetry::logs::chain;
use tokio_util::sync::CancellationToken;

use super::{ANSWER, Identity, WINDOW, refresh};

/// How far back the latest changes are read: longer than a change of an account may take to commit.
const RECENT: i64 = 5 * 60;
/// Between two readings of all changes.
const WHOLE: Duration = Duration::from_mins(10);
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

    /// Reads the latest changes at once whenever accounts change, and after every period; all of them whenever listening begins anew, and now and then for
    /// changes that committed long after they were made.
    async fn watch_sessions(&self) {
        loop {
            let listening = tokio::time::timeout(self.settings.revocation_period, listen(&self.pool)).await;
            // A reading of everything that failed is due again.
            let mut whole = self.reload(WINDOW).await.then(Instant::now);
            let Ok(Ok(mut listener)) = listening else {
                tokio::time::sleep(self.settings.revocation_period).await;
                continue;
            };
            // After a time-out the poll is due. `None` and an error mean that notifications may have been missed.
            while let Ok(Ok(Some(_))) | Err(_) = tokio::time::timeout(self.settings.revocation_period, listener.try_recv()).await {
                while listener.next_buffered().is_some() {}
                let due = whole.is_none_or(|at| at.elapsed() >= WHOLE);
                let read = self.reload(if due { WINDOW } else { RECENT }).await;
                if due || !read {
                    whole = read.then(Instant::now);
                }
                tokio::time::sleep(BREATH).await;
            }
            tokio::time::sleep(BREATH).await;
        }
    }

    /// Reads the changes of the last `seconds`. False when that failed: then some of them may be missing.
    async fn reload(&self, seconds: i64) -> bool {
        let load = async {
            if seconds < WINDOW {
                self.revocations.load_recent(&self.pool, seconds, WINDOW).await
            } else {
                self.revocations.load(&self.pool, WINDOW).await
            }
        };
        let loaded = tokio::time::timeout(ANSWER, load).await;
        let failed = loaded.unwrap_or_else(|_| Err(postgres::Error::timed_out("reading which sessions have ended"))).err();
        if let Some(error) = &failed {
            tracing::warn!(error = chain(error), "refreshing ended sessions failed");
        }
        failed.is_none()
    }

    async fn sweep(&self) {
        loop {
            tokio::time::sleep(self.settings.sweep_period).await;
            self.attempts.forget();
            self.renewals.forget();
            self.profiles.forget();
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
