//! The opening keys, which a rotation changes on disk while the API runs. Must not show one.

use std::path::PathBuf;
use std::sync::{PoisonError, RwLock};
use std::time::{Duration, Instant};

use registry::seal::OpeningKeys;
use secrecy::SecretString;
use zeroize::Zeroizing;

/// However many rows name an unknown key, the file is not read more often than this.
const REREAD: Duration = Duration::from_secs(1);

pub(super) struct Keys {
    held: RwLock<OpeningKeys>,
    file: Option<PathBuf>,
    /// When the file was last read; held while it is.
    read: tokio::sync::Mutex<Option<Instant>>,
}

impl Keys {
    pub(super) fn new(held: OpeningKeys, file: Option<PathBuf>) -> Self {
        Self { held: RwLock::new(held), file, read: tokio::sync::Mutex::new(None) }
    }

    pub(super) fn held(&self) -> OpeningKeys {
        self.held.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The keys that the file has now, or had a moment ago; the known ones when it cannot be used.
    pub(super) async fn reread(&self) -> OpeningKeys {
        let Some(file) = &self.file else { return self.held() };
        let mut read = self.read.lock().await;
        if read.is_some_and(|at| at.elapsed() < REREAD) {
            return self.held();
        }
        *read = Some(Instant::now());
        match tokio::fs::read_to_string(file).await.map(Zeroizing::new) {
            Err(error) => tracing::warn!(%error, "the opening key file cannot be read"),
            Ok(text) => match OpeningKeys::parse(&SecretString::from(text.as_str())) {
                Err(error) => tracing::warn!(%error, "the opening key file cannot be used"),
                Ok(keys) => *self.held.write().unwrap_or_else(PoisonError::into_inner) = keys,
            },
        }
        self.held()
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
    async fn the_operators_own_file_is_not_taken_when_the_file_is_read_again() {
        let [k1, k2] = ["k1", "k2"].map(|id| Keyring::generate_file(id).unwrap());
        let tenant = TenantId(Uuid::from_u128(1));
        let credentials = Credentials { username: "login".into(), password: "canary".into() };
        let sealed = Keyring::parse(&k2).unwrap().seal(tenant, &credentials).unwrap();
        let file = tempfile::NamedTempFile::new().unwrap();
        let keys = |text: &SecretString| {
            std::fs::write(file.path(), text.expose_secret()).unwrap();
            let held = OpeningKeys::parse(&Keyring::opening_file(&k1).unwrap()).unwrap();
            Keys::new(held, Some(file.path().to_owned()))
        };
        assert_eq!(keys(&k2).reread().await.open(tenant, &sealed).unwrap_err(), Error::UnknownKey);
        assert!(keys(&Keyring::opening_file(&k2).unwrap()).reread().await.open(tenant, &sealed).is_ok());
    }
}
