//! One place in a server's budget, held from before a connection is opened until it is closed.

use std::sync::Arc;
use std::time::Duration;

use domain::names::TenantId;
use sqlx::Connection as _;
use sqlx::postgres::PgConnection;
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::server::Server;

/// Gives the place back when it is dropped, whatever became of the future that held it.
#[derive(Debug)]
pub(super) struct Place {
    server: Arc<Server>,
    tenant: TenantId,
    on: On,
    // Lets the end of the process wait for it.
    _busy: TaskTrackerToken,
}

/// What dropping it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum On {
    Vacate,
    VacateClosing,
    Nothing,
}

impl Place {
    /// A place that the ledger has counted.
    pub(super) fn new(server: &Arc<Server>, tenant: TenantId) -> Self {
        Self { server: Arc::clone(server), tenant, on: On::Vacate, _busy: server.shared().busy.token() }
    }

    /// The place of a session that the ledger counts as being closed.
    pub(super) fn closing(server: &Arc<Server>, tenant: TenantId) -> Self {
        let mut place = Self::new(server, tenant);
        place.on = On::VacateClosing;
        place
    }

    pub(super) fn server(&self) -> &Arc<Server> {
        &self.server
    }

    pub(super) fn tenant(&self) -> TenantId {
        self.tenant
    }

    /// The ledger keeps the place, with the session in it.
    pub(super) fn left_in_ledger(mut self) {
        self.on = On::Nothing;
    }

    /// Closes the session, and gives the place back when that is done. A server that was in the middle of a statement notices only after a while, which is
    /// waited for: a place is free when the server has none of it left.
    pub(super) async fn close(self, session: PgConnection, abandoned: Option<Duration>) {
        // Not closed in time is closed without a good-bye.
        let _ = tokio::time::timeout(self.server.shared().limits.answer, session.close()).await;
        if let Some(time) = abandoned {
            tokio::time::sleep(time).await;
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.on != On::Nothing {
            self.server.vacated(self.tenant, self.on == On::VacateClosing);
        }
    }
}
