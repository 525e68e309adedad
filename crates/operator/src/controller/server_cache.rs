//! The tenant servers as this process knows them. The server controller writes it, the School controller reads it.
//!
//! Must never take a server that was not observed yet for one that does not exist.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use domain::names::ServerName;
use domain::school::observed::Unavailable;
use domain::server::DesiredServer;
use postgres::session::Credentials;

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
    /// It lets nobody else connect, but schools can be closed and dropped over the session that the operator holds.
    pub full: bool,
    /// The system identifier that it answered with, if it did.
    pub identifier: Option<String>,
}

/// Every server observed so far.
#[derive(Debug, Default)]
pub struct ServerCache(RwLock<HashMap<ServerName, ServerState>>);

impl ServerCache {
    /// Replaces what is known of a server. True when something changed that matters to Schools.
    pub fn put(&self, name: &ServerName, state: ServerState) -> bool {
        let mut servers = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let matters = servers.get(name).is_none_or(|before| {
            before.fitness != state.fitness
                || before.placeable != state.placeable
                || before.prepared != state.prepared
                || before.desired != state.desired
                || !same_connection(before.connection.as_ref(), state.connection.as_ref())
        });
        servers.insert(name.clone(), state);
        matters
    }

    /// Forgets a server whose object is gone.
    pub fn remove(&self, name: &ServerName) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).remove(name);
    }

    /// What is known of one server; none when it was never observed.
    #[must_use]
    pub fn get(&self, name: &ServerName) -> Option<ServerState> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// Every server's name and state.
    #[must_use]
    pub fn all(&self) -> Vec<(ServerName, ServerState)> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).iter().map(|(name, state)| (name.clone(), state.clone())).collect()
    }
}

fn same_connection(before: Option<&Arc<ServerConnection>>, now: Option<&Arc<ServerConnection>>) -> bool {
    match (before, now) {
        (Some(before), Some(now)) => Arc::ptr_eq(before, now),
        (None, None) => true,
        (Some(_), None) | (None, Some(_)) => false,
    }
}
