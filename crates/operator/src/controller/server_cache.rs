//! The tenant servers as this process knows them. The server controller writes it, the School controller reads it.
//!
//! Must never take a server that was not observed yet for one that does not exist.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use domain::condition::Reason;
use domain::names::ServerName;
use domain::school::observed::Unavailable;
use domain::server::DesiredServer;
use domain::server::identity::ServerIdentity;
use postgres::session::Credentials;
use provisioning::server::catalog::Passwords;
use tokio::time::Instant;

use super::server_connection::ServerConnection;

/// What is known of one server.
#[derive(Clone, Debug)]
pub struct ServerState {
    /// What its object asks for.
    pub desired: DesiredServer,
    /// How to connect to it, once that is known.
    pub connection: Option<Arc<ServerConnection>>,
    /// The migrator's login on it.
    pub migrator: Option<Credentials>,
    /// Fit for the schools on it, or why not.
    pub fitness: Result<(), Unavailable>,
    /// New schools may be placed there.
    pub placeable: bool,
    /// The fixed roles are as they should be.
    pub prepared: bool,
    /// The template of the operator's schema stands.
    pub template: bool,
    /// Who it is, as it answered; empty if it did not.
    pub identity: ServerIdentity,
    /// Whether its admin may read what it stores of passwords.
    pub passwords: Passwords,
}

impl ServerState {
    /// How to work on the schools on it. A full server is for those that are to be closed or dropped, over the session that the operator holds: that may be
    /// what makes room. Nobody works on a server that is another one than was recorded.
    ///
    /// # Errors
    /// Why it cannot be worked on now.
    pub fn usable(&self, withdrawn: bool) -> Result<&Arc<ServerConnection>, Unavailable> {
        match (self.fitness, &self.connection) {
            (Err(FULL), Some(connection)) if withdrawn => Ok(connection),
            (Err(unavailable), _) => Err(unavailable),
            (Ok(()), None) => Err(Unavailable::NotReady),
            (Ok(()), Some(connection)) => Ok(connection),
        }
    }
}

/// It lets nobody else connect.
const FULL: Unavailable = Unavailable::Unusable(Reason::TooManyConnections);

/// For how many observations in a row, and how long, a server must not answer before its Schools are told: most interruptions are shorter, and telling
/// thousands of Schools costs each two writes and two Events.
const SILENT_OBSERVATIONS: u32 = 3;

/// Every server observed so far.
#[derive(Debug, Default)]
pub struct ServerCache(RwLock<HashMap<ServerName, Entry>>);

#[derive(Debug)]
struct Entry {
    state: ServerState,
    /// Since when it has not answered although `state` says that it does, and how often.
    silence: Option<(Instant, u32)>,
}

impl ServerCache {
    /// Replaces what is known of a server. True when something changed that matters to Schools. What is known of a server that served stays for a few
    /// observations, and for `grace`, in which it does not answer.
    pub fn put(&self, name: &ServerName, state: ServerState, grace: Duration, now: Instant) -> bool {
        let mut servers = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = servers.get_mut(name)
            && entry.state.fitness.is_ok()
            && state.fitness == Err(Unavailable::Unreachable)
            && entry.state.desired == state.desired
        {
            let (since, times) = entry.silence.unwrap_or((now, 0));
            entry.silence = Some((since, times.saturating_add(1)));
            if times.saturating_add(1) < SILENT_OBSERVATIONS || now.saturating_duration_since(since) < grace {
                return false;
            }
        }
        let matters = servers.get(name).is_none_or(|Entry { state: before, .. }| {
            before.fitness != state.fitness
                || before.placeable != state.placeable
                || before.prepared != state.prepared
                || before.template != state.template
                || before.desired != state.desired
                || !same_connection(before.connection.as_ref(), state.connection.as_ref())
        });
        servers.insert(name.clone(), Entry { state, silence: None });
        matters
    }

    /// The connection of a server that was itself when it last answered, with the sessions that the operator holds: a full server lets no others in.
    #[must_use]
    pub fn held(&self, name: &ServerName) -> Option<Arc<ServerConnection>> {
        self.get(name).filter(|state| matches!(state.fitness, Ok(()) | Err(FULL))).and_then(|state| state.connection)
    }

    /// Forgets a server whose object is gone.
    pub fn remove(&self, name: &ServerName) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).remove(name);
    }

    /// What is known of one server; none when it was never observed.
    #[must_use]
    pub fn get(&self, name: &ServerName) -> Option<ServerState> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(name).map(|entry| entry.state.clone())
    }

    /// Every server's name and state.
    #[must_use]
    pub fn all(&self) -> Vec<(ServerName, ServerState)> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).iter().map(|(name, entry)| (name.clone(), entry.state.clone())).collect()
    }
}

fn same_connection(before: Option<&Arc<ServerConnection>>, now: Option<&Arc<ServerConnection>>) -> bool {
    match (before, now) {
        (Some(before), Some(now)) => Arc::ptr_eq(before, now),
        (None, None) => true,
        (Some(_), None) | (None, Some(_)) => false,
    }
}

#[cfg(test)]
mod tests {
    use domain::server::{AllowedNamespaces, Host, PasswordForm, TlsMode};
    use postgres::session::{Endpoint, Tls};

    use super::*;

    const GRACE: Duration = Duration::from_secs(10);

    fn state(fitness: Result<(), Unavailable>) -> ServerState {
        let host = Host::parse("pg.example").unwrap();
        let desired = DesiredServer {
            host,
            port: 5432,
            tls: TlsMode::Require,
            passwords: PasswordForm::Verifier,
            tiers: Vec::new(),
            max_schools: None,
            schedulable: true,
            allowed: AllowedNamespaces::All,
        };
        ServerState {
            desired,
            connection: None,
            migrator: None,
            fitness,
            placeable: true,
            prepared: true,
            template: true,
            identity: ServerIdentity::default(),
            passwords: Passwords::Hidden,
        }
    }

    #[test]
    fn schools_are_not_told_of_a_server_that_did_not_answer_once_or_for_a_moment() {
        let (cache, name, began) = (ServerCache::default(), ServerName::parse("pg-1").unwrap(), Instant::now());
        let put = |fitness, seconds| cache.put(&name, state(fitness), GRACE, began + Duration::from_secs(seconds));
        let silent = Err(Unavailable::Unreachable);
        assert!(put(Ok(()), 0));
        assert!(!put(silent, 10), "one failed probe flips a server");
        assert!(!put(Ok(()), 11), "and back");
        assert!(![20, 21, 22, 23].into_iter().any(|second| put(silent, second)), "so do several within a moment");
        assert_eq!(cache.get(&name).unwrap().fitness, Ok(()));
        assert!(put(silent, 30), "Schools are never told of a server that stays away");
        assert_eq!(cache.get(&name).unwrap().fitness, silent);
        assert!(!put(silent, 31));
        assert!(put(Ok(()), 32));
        // By time alone it is not away: the operator may have been paused.
        assert!(!put(silent, 40) && !put(silent, 400) && put(silent, 401));
    }

    #[tokio::test]
    async fn a_full_server_is_worked_on_for_schools_that_leave_and_another_server_for_none() {
        let endpoint = Endpoint { host: "pg.example".to_owned(), port: 5432, tls: Tls::Disable };
        let admin = Credentials { username: "admin".to_owned(), password: "secret".to_owned().into() };
        let connection = Arc::new(ServerConnection::new(endpoint, admin, "postgres".to_owned(), 1));
        let (cache, name) = (ServerCache::default(), ServerName::parse("pg-1").unwrap());
        for (fitness, for_all, for_leaving) in [
            (Ok(()), true, true),
            (Err(FULL), false, true),
            (Err(Unavailable::IdentityMismatch), false, false),
            (Err(Unavailable::Unusable(Reason::ServerReadOnly)), false, false),
            (Err(Unavailable::Unreachable), false, false),
        ] {
            let state = ServerState { connection: Some(Arc::clone(&connection)), ..state(fitness) };
            assert_eq!((state.usable(false).is_ok(), state.usable(true).is_ok()), (for_all, for_leaving), "{fitness:?}");
            cache.remove(&name);
            cache.put(&name, state, GRACE, Instant::now());
            assert_eq!(cache.held(&name).is_some(), for_leaving, "{fitness:?}");
        }
    }

    #[test]
    fn what_is_not_silence_or_follows_a_changed_spec_is_told_at_once() {
        for unavailable in [Unavailable::NotReady, Unavailable::IdentityMismatch] {
            let (cache, name, now) = (ServerCache::default(), ServerName::parse("pg-1").unwrap(), Instant::now());
            assert!(cache.put(&name, state(Ok(())), GRACE, now) && cache.put(&name, state(Err(unavailable)), GRACE, now));
            assert!(cache.put(&name, state(Ok(())), GRACE, now));
            let mut moved = state(Err(Unavailable::Unreachable));
            moved.desired.port = 5433;
            assert!(cache.put(&name, moved, GRACE, now), "the old address says nothing about the new one");
        }
    }
}
