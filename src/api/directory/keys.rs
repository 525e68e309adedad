//! The sealing keys, which a rotation changes on disk while the API runs. Must not show one.

use std::path::PathBuf;
use std::sync::{PoisonError, RwLock};
use std::time::{Duration, Instant};

use secrecy::SecretString;
use zeroize::Zeroizing;

use crate::registry::seal::Keyring;

/// However many rows name an unknown key, the file is not read more often than this.
const REREAD: Duration = Duration::from_secs(1);

pub(super) struct Keys {
    ring: RwLock<Keyring>,
    file: Option<PathBuf>,
    /// When the file was last read; held while it is.
    read: tokio::sync::Mutex<Option<Instant>>,
}

impl Keys {
    pub(super) fn new(ring: Keyring, file: Option<PathBuf>) -> Self {
        Self { ring: RwLock::new(ring), file, read: tokio::sync::Mutex::new(None) }
    }

    pub(super) fn ring(&self) -> Keyring {
        self.ring.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The ring as the file has it now, or had it a moment ago; the known one when the file cannot be read.
    pub(super) async fn reread(&self) -> Keyring {
        let Some(file) = &self.file else { return self.ring() };
        let mut read = self.read.lock().await;
        if read.is_some_and(|at| at.elapsed() < REREAD) {
            return self.ring();
        }
        *read = Some(Instant::now());
        match tokio::fs::read_to_string(file).await.map(Zeroizing::new) {
            Err(error) => tracing::warn!(%error, "the sealing key file cannot be read"),
            Ok(text) => match Keyring::parse(&SecretString::from(text.as_str())) {
                Err(error) => tracing::warn!(%error, "the sealing key file cannot be used"),
                Ok(ring) => *self.ring.write().unwrap_or_else(PoisonError::into_inner) = ring,
            },
        }
        self.ring()
    }
}
