//! Admin logins that a server refused. Each try is a failed login in the server's log, and may lock the account: the same credentials are tried again at growing
//! intervals only, others at once.
//!
//! Must not show a credential, and must not decide what is reported: it repeats the obstacle of the last try.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use domain::names::ServerName;
use domain::retry::{self, Class};
use domain::server::observed::Obstacle;
use tokio::time::Instant;

use super::backoff::seed;
use super::server_connection::ServerConnection;

/// The refused logins, by server.
#[derive(Debug, Default)]
pub struct RefusedLogins(Mutex<HashMap<ServerName, Refused>>);

#[derive(Debug)]
struct Refused {
    connection: Arc<ServerConnection>,
    requested: Option<u64>,
    failures: u32,
    until: Instant,
    obstacle: Obstacle,
}

impl RefusedLogins {
    /// The obstacle of the last try, while it is too early for another with the same credentials. `requested` changes when a person asks for a try.
    #[must_use]
    pub fn too_early(&self, name: &ServerName, connection: &ServerConnection, requested: Option<u64>, now: Instant) -> Option<Obstacle> {
        let refused = self.refused_logins();
        let refused = refused.get(name)?;
        let same = refused.requested == requested && refused.connection.is_same(connection);
        (same && now < refused.until).then(|| refused.obstacle.clone())
    }

    /// A login was refused.
    pub fn record(&self, name: &ServerName, connection: &Arc<ServerConnection>, requested: Option<u64>, obstacle: Obstacle, now: Instant) {
        let mut refused = self.refused_logins();
        let before = refused.get(name).filter(|before| before.connection.is_same(connection));
        let failures = before.map_or(1, |before| before.failures.saturating_add(1));
        let until = now + retry::wait(Class::Denied, failures, seed(name.as_str()));
        refused.insert(name.clone(), Refused { connection: Arc::clone(connection), requested, failures, until, obstacle });
    }

    /// A login succeeded, or something else than the login was in its way.
    pub fn forget(&self, name: &ServerName) {
        self.refused_logins().remove(name);
    }

    fn refused_logins(&self) -> MutexGuard<'_, HashMap<ServerName, Refused>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use domain::condition::Reason;
    use postgres::session::{Credentials, Endpoint, Tls};

    use super::*;

    fn connection(password: &str) -> Arc<ServerConnection> {
        let endpoint = Endpoint { host: "pg.example".to_owned(), port: 5432, tls: Tls::Require };
        let admin = Credentials { username: "admin".to_owned(), password: password.into() };
        Arc::new(ServerConnection::new(endpoint, admin, "postgres".to_owned(), 1))
    }

    fn obstacle() -> Obstacle {
        Obstacle { reason: Reason::AuthenticationFailed, message: "refused".to_owned() }
    }

    #[tokio::test]
    async fn a_wrong_password_is_tried_some_hundreds_of_times_in_a_day_and_another_one_at_once() {
        let (refused, name) = (RefusedLogins::default(), ServerName::parse("pg-1").unwrap());
        let began = Instant::now();
        let (mut tries, mut last) = (0, began);
        // The server is observed every 5 s, with what its Secrets say then.
        for second in (0..86_400).step_by(5) {
            let now = began + Duration::from_secs(second);
            if refused.too_early(&name, &connection("wrong"), Some(1), now).is_none() {
                refused.record(&name, &connection("wrong"), Some(1), obstacle(), now);
                (tries, last) = (tries + 1, now);
            }
        }
        assert!((200..500).contains(&tries), "{tries}");
        assert_eq!(refused.too_early(&name, &connection("wrong"), Some(1), last), Some(obstacle()));
        assert_eq!(refused.too_early(&name, &connection("corrected"), Some(1), last), None);
        assert_eq!(refused.too_early(&name, &connection("wrong"), Some(2), last), None, "a person asked for it");
        refused.forget(&name);
        assert_eq!(refused.too_early(&name, &connection("wrong"), Some(1), last), None);
    }
}
