//! Slots: rights to one connection of a server's budget, held from before it is opened until it is closed. Executes what the budget decides.
//!
//! Must not use a session: it only hands sessions over and closes them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::names::TenantId;
use sqlx::Connection as _;
use sqlx::postgres::PgConnection;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::budget::PoolAction;
use super::error::Error;
use super::server::{Actions, Requested, Server};
use super::session::Session;
use super::target::Target;

/// A server whose waiters are requests of this process.
pub(super) type PoolServer = Server<Waiter>;

/// A request that waits for a slot.
#[derive(Debug)]
pub(super) struct Waiter {
    epoch: i64,
    sender: oneshot::Sender<Result<Grant, Error>>,
}

/// A slot, and the session in it if there is one already. Dropped unused, it gives the session back.
#[derive(Debug)]
pub(super) struct Grant(Option<(Slot, Option<Session>)>);

/// Gives the slot back when it is dropped, whatever became of the future that held it.
#[derive(Debug)]
pub(super) struct Slot {
    server: Arc<PoolServer>,
    tenant: TenantId,
    on_drop: OnDrop,
    /// The end of the process waits for it.
    _busy: TaskTrackerToken,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OnDrop {
    Release,
    /// The budget counts the connection as closing.
    ReleaseClosing,
    /// The budget has the slot back already, with a session in it.
    Nothing,
}

/// A place in the queue. Dropping it leaves the queue.
struct Waiting {
    server: Arc<PoolServer>,
    tenant: TenantId,
    ticket: u64,
    receiver: oneshot::Receiver<Result<Grant, Error>>,
}

impl Server<Waiter> {
    /// A slot, with a session if the tenant has an idle one. Waits for it as long as the limits allow.
    pub(super) async fn acquire(self: &Arc<Self>, target: &Target) -> Result<Grant, Error> {
        let (sender, receiver) = oneshot::channel();
        let (requested, actions) = self.request(target, Waiter { epoch: target.epoch, sender });
        self.execute(actions);
        match requested? {
            Requested::Session(session) => Ok(Grant::new(Slot::new(self, target.tenant), Some(session))),
            Requested::Queued(ticket) => Waiting { server: Arc::clone(self), tenant: target.tenant, ticket, receiver }.granted().await,
        }
    }

    /// An idle session that the tenant has, if nobody waits.
    pub(super) fn lend_idle(self: &Arc<Self>, target: &Target) -> Option<(Slot, Session)> {
        let (session, actions) = self.take_idle(target);
        self.execute(actions);
        session.map(|session| (Slot::new(self, target.tenant), session))
    }

    /// Closes a tenant's idle sessions of older epochs, and refuses its waiters of older epochs.
    pub(super) fn refuse_older(self: &Arc<Self>, tenant: TenantId, epoch: i64) {
        let (waiters, actions) = self.close_older(tenant, epoch, |waiter| waiter.epoch < epoch);
        refuse(waiters, || Error::Stale);
        self.execute(actions);
    }

    /// Closes all idle sessions and refuses all waiters.
    pub(super) fn shut_down(self: &Arc<Self>) {
        let (waiters, actions) = self.stop();
        refuse(waiters, || Error::Stopping);
        self.execute(actions);
    }

    /// Closes what was idle or lived too long.
    pub(super) fn close_expired(self: &Arc<Self>, now: Instant) {
        let actions = self.reap(now);
        self.execute(actions);
    }

    fn execute(self: &Arc<Self>, actions: Actions<Waiter>) {
        for action in actions {
            match action {
                // A waiter that has left drops the grant, which gives it back.
                PoolAction::Open(tenant, waiter) => drop(waiter.sender.send(Ok(Grant::new(Slot::new(self, tenant), None)))),
                PoolAction::HandOver(tenant, waiter, session) => {
                    drop(waiter.sender.send(Ok(Grant::new(Slot::new(self, tenant), Some(session)))));
                }
                PoolAction::Close(tenant, session) => {
                    let slot = Slot::closing(self, tenant);
                    // Without a runtime, dropping the session closes its socket at once.
                    if let Ok(runtime) = Handle::try_current() {
                        runtime.spawn(slot.close(session.connection, None));
                    } else {
                        drop(session);
                    }
                }
            }
        }
    }
}

impl Grant {
    fn new(slot: Slot, session: Option<Session>) -> Self {
        Self(Some((slot, session)))
    }

    /// The slot, and the session in it.
    pub(super) fn take(mut self) -> Option<(Slot, Option<Session>)> {
        self.0.take()
    }
}

impl Drop for Grant {
    fn drop(&mut self) {
        if let Some((slot, Some(session))) = self.0.take() {
            // Nobody has used it since it was given back.
            slot.give_back(session);
        }
    }
}

impl Slot {
    /// A slot that the budget has counted.
    fn new(server: &Arc<PoolServer>, tenant: TenantId) -> Self {
        Self { server: Arc::clone(server), tenant, on_drop: OnDrop::Release, _busy: server.context().busy.token() }
    }

    /// The slot of a session that the budget counts as closing.
    fn closing(server: &Arc<PoolServer>, tenant: TenantId) -> Self {
        let mut slot = Self::new(server, tenant);
        slot.on_drop = OnDrop::ReleaseClosing;
        slot
    }

    pub(super) fn server(&self) -> &Arc<PoolServer> {
        &self.server
    }

    /// Gives a clean session back, and the slot with it.
    pub(super) fn give_back(mut self, session: Session) {
        let actions = self.server.give_back(self.tenant, session);
        self.on_drop = OnDrop::Nothing;
        let server = Arc::clone(&self.server);
        drop(self);
        server.execute(actions);
    }

    /// Closes the tenant's sessions that are open now, when they are not used.
    pub(super) fn reopen(&self) {
        let actions = self.server.close_opened(self.tenant, Instant::now());
        self.server.execute(actions);
    }

    /// Closes the session, and gives the slot back after that. `abandoned` is how long a server that was executing a statement may need to notice: the slot
    /// is free only when the server has ended the session.
    pub(super) async fn close(self, session: PgConnection, abandoned: Option<Duration>) {
        // Out of time, the socket is closed without a message.
        let _ = tokio::time::timeout(self.server.context().limits.answer_timeout, session.close()).await;
        if let Some(time) = abandoned {
            tokio::time::sleep(time).await;
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let is_closing = match self.on_drop {
            OnDrop::Release => false,
            OnDrop::ReleaseClosing => true,
            OnDrop::Nothing => return,
        };
        let actions = self.server.release(self.tenant, is_closing);
        self.server.execute(actions);
    }
}

impl Waiting {
    /// Waits as long as it makes sense, which openings that take long may extend meanwhile.
    async fn granted(mut self) -> Result<Grant, Error> {
        let began = tokio::time::Instant::now();
        let mut until = began + self.server.patience();
        loop {
            match tokio::time::timeout_at(until, &mut self.receiver).await {
                Ok(Ok(granted)) => return granted,
                // The sender is dropped unused only together with the server.
                Ok(Err(_)) => return Err(Error::Stopping),
                Err(_) => {
                    let extended = began + self.server.patience();
                    if extended <= until {
                        return Err(Error::Exhausted { source: None });
                    }
                    until = extended;
                }
            }
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.server.leave_queue(self.tenant, self.ticket);
    }
}

fn refuse(waiters: Vec<Waiter>, error: impl Fn() -> Error) {
    for waiter in waiters {
        // Whoever has left needs no answer.
        let _ = waiter.sender.send(Err(error()));
    }
}
