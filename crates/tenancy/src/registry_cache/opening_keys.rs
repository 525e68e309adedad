//! The opening keys, which a rotation changes on disk while the API runs.
//!
//! Must not show a key.

use std::path::PathBuf;
use std::sync::{PoisonError, RwLock};
use std::time::{Duration, Instant};

use registry::seal::OpeningKeys;
use secrecy::SecretString;
use zeroize::Zeroizing;

/// The least time between two reads of the file, however many rows name an unknown key.
const RELOAD_INTERVAL: Duration = Duration::from_secs(1);

pub(super) struct OpeningKeyFile {
    current: RwLock<OpeningKeys>,
    file: Option<PathBuf>,
    /// When the file was last read. Locked while it is being read.
    last_read: tokio::sync::Mutex<Option<Instant>>,
}

impl OpeningKeyFile {
    pub(super) fn new(current: OpeningKeys, file: Option<PathBuf>) -> Self {
        Self { current: RwLock::new(current), file, last_read: tokio::sync::Mutex::new(None) }
    }

    pub(super) fn current(&self) -> OpeningKeys {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The keys that the file has now, or had a moment ago. If it cannot be used, those that were read last.
    pub(super) async fn reload(&self) -> OpeningKeys {
        let Some(file) = &self.file else { return self.current() };
        let mut last_read = self.last_read.lock().await;
        if last_read.is_some_and(|at| at.elapsed() < RELOAD_INTERVAL) {
            return self.current();
        }
        *last_read = Some(Instant::now());
        match tokio::fs::read_to_string(file).await.map(Zeroizing::new) {
            Err(error) => tracing::warn!(%error, "the opening key file cannot be read"),
            Ok(text) => match OpeningKeys::parse(&SecretString::from(text.as_str())) {
                Err(error) => tracing::warn!(%error, "the opening key file cannot be used"),
                Ok(keys) => *self.current.write().unwrap_or_else(PoisonError::into_inner) = keys,
            },
        }
        self.current()
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;
    use uuid::Uuid;

    use super::*;
    use domain::names::TenantId;
    use postgres::session::Credentials;
    use provisioning::master::keyring::Keyring;
    use registry::seal::Error;

    #[tokio::test]
    async fn a_file_of_sealing_keys_is_refused_when_the_file_is_read_again() {
        let [k1, k2] = ["k1", "k2"].map(|id| Keyring::generate_file(id).unwrap());
        let tenant = TenantId(Uuid::from_u128(1));
        let credentials = Credentials { username: "login".into(), password: "canary".into() };
        let sealed = Keyring::parse(&k2).unwrap().seal(tenant, &credentials).unwrap();
        let file = tempfile::NamedTempFile::new().unwrap();
        let keys = |text: &SecretString| {
            std::fs::write(file.path(), text.expose_secret()).unwrap();
            let current = OpeningKeys::parse(&Keyring::opening_file(&k1).unwrap()).unwrap();
            OpeningKeyFile::new(current, Some(file.path().to_owned()))
        };
        assert_eq!(keys(&k2).reload().await.open(tenant, &sealed).unwrap_err(), Error::UnknownKey);
        assert!(keys(&Keyring::opening_file(&k2).unwrap()).reload().await.open(tenant, &sealed).is_ok());
    }
}
