//! The leader Lease, with client-go's semantics, on kube's client.
//!
//! A lease alone never makes a write safe, because a paused process does not know that it was paused: what must not happen twice is guarded where
//! it happens (locks and ownership comments in PostgreSQL, `resourceVersion` in Kubernetes). The lease keeps two operators from getting in each other's way.

mod election;

use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::jiff::Timestamp;
use kube::api::PostParams;
use kube::{Api, Client};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::{CancellationToken, DropGuard};

use self::election::{Decision, Election};
use super::{Error, FIELD_MANAGER, Result, within};

/// The times of an election.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// Others may take the lease after seeing it unchanged for this long; whole seconds.
    pub duration: Duration,
    /// A holder that could not renew for this long has lost; shorter than `duration`.
    pub renew_deadline: Duration,
    /// Between two tries.
    pub retry: Duration,
}

impl Default for Timing {
    /// client-go's.
    fn default() -> Self {
        Self { duration: Duration::from_secs(15), renew_deadline: Duration::from_secs(10), retry: Duration::from_secs(2) }
    }
}

/// A process that wants to lead.
#[derive(Debug)]
pub struct Contender {
    api: Api<Lease>,
    name: String,
    timing: Timing,
    election: Election,
}

/// The lease, held and being renewed. Dropped without [`Held::release`], it is no longer renewed and runs out.
#[derive(Debug)]
pub struct Held {
    lost: CancellationToken,
    renewed: watch::Receiver<Instant>,
    renew_deadline: Duration,
    release: oneshot::Sender<()>,
    keeper: JoinHandle<()>,
}

/// The outcome of one attempt.
enum Try {
    Ours(Box<Lease>),
    Theirs,
    Raced,
}

/// An identity that no other process has, starting with `host` so that a person can tell who it is.
///
/// # Errors
/// When the system gives no randomness.
pub fn identity(host: &str) -> std::io::Result<String> {
    let mut random = [0; 8];
    aws_lc_rs::rand::fill(&mut random).map_err(|_| std::io::Error::other("no randomness"))?;
    Ok(format!("{host}_{:016x}", u64::from_ne_bytes(random)))
}

impl Contender {
    /// Stands for election under `identity`, which no other process may share (see [`identity`]).
    #[must_use]
    pub fn new(client: Client, namespace: &str, name: &str, identity: &str, timing: Timing) -> Self {
        let election = Election::new(identity.to_owned(), timing.duration);
        Self { api: Api::namespaced(client, namespace), name: name.to_owned(), timing, election }
    }

    /// Waits until the lease is ours; none when `stop` came first. Errors are logged and tried again: a standby has nothing better to do.
    pub async fn acquire(mut self, stop: &CancellationToken) -> Option<Held> {
        loop {
            let started = Instant::now();
            match stop.run_until_cancelled(timeout(self.timing.renew_deadline, self.attempt())).await? {
                Ok(Ok(Try::Ours(lease))) => return Some(self.hold(*lease, started)),
                Ok(Ok(Try::Theirs | Try::Raced)) => {}
                Ok(Err(error)) => tracing::warn!(error = error.message(), "requesting the lease failed"),
                Err(_) => tracing::warn!("requesting the lease failed: no answer"),
            }
            stop.run_until_cancelled(sleep(self.timing.retry)).await?;
        }
    }

    fn hold(self, lease: Lease, since: Instant) -> Held {
        tracing::info!(lease = self.name, identity = self.election.identity(), "leading");
        let (lost, renew_deadline) = (CancellationToken::new(), self.timing.renew_deadline);
        let (renewals, renewed) = watch::channel(since);
        let (release, released) = oneshot::channel();
        let keeper = tokio::spawn(self.keep(lease, renewals, released, lost.clone().drop_guard()));
        Held { lost, renewed, renew_deadline, release, keeper }
    }

    /// Renews until told to release, or until the lease is lost. The guard reports every end, also a panic.
    async fn keep(mut self, mut lease: Lease, renewed: watch::Sender<Instant>, mut released: oneshot::Receiver<()>, _lost: DropGuard) {
        loop {
            let deadline = *renewed.borrow() + self.timing.renew_deadline;
            tokio::select! {
                requested = &mut released => {
                    if requested.is_ok() {
                        self.give_back(&lease).await;
                    }
                    return;
                }
                () = sleep_until(deadline.min(Instant::now() + self.timing.retry)) => {}
            }
            // A renewal counts from before it was sent: the others' clocks start after that.
            let started = Instant::now();
            if started >= deadline {
                return tracing::error!("the lease could not be renewed in time");
            }
            let patience = deadline.duration_since(started).min(self.timing.renew_deadline / 2);
            match timeout(patience, self.renew(&lease)).await {
                Ok(Ok(Try::Ours(renewal))) => {
                    lease = *renewal;
                    renewed.send_replace(started);
                }
                Ok(Ok(Try::Theirs)) => return tracing::error!("the lease was taken by another"),
                Ok(Ok(Try::Raced)) => {}
                Ok(Err(error)) => tracing::warn!(error = error.message(), "the lease was not renewed"),
                Err(_) => tracing::warn!("the lease was not renewed: no answer"),
            }
        }
    }

    /// Writes over our last write. Only when that is refused, reads who wrote since.
    async fn renew(&mut self, last: &Lease) -> Result<Try> {
        match self.write(last).await? {
            Try::Raced => self.attempt().await,
            done => Ok(done),
        }
    }

    async fn attempt(&mut self) -> Result<Try> {
        let found = within("reading the lease", self.api.get_opt(&self.name)).await?;
        let spec = found.as_ref().map(|lease| lease.spec.clone().unwrap_or_default());
        match (self.election.observe(spec.as_ref(), Instant::now()), found) {
            (Decision::Wait, _) => Ok(Try::Theirs),
            (_, Some(lease)) => self.write(&lease).await,
            (_, None) => self.create().await,
        }
    }

    async fn create(&self) -> Result<Try> {
        let metadata = ObjectMeta { name: Some(self.name.clone()), ..ObjectMeta::default() };
        let lease = Lease { metadata, spec: Some(self.election.claim(None, Timestamp::now())) };
        unless_raced(within("creating the lease", self.api.create(&parameters(), &lease)).await)
    }

    /// Writes us into `current`, on condition that it is still what the API server holds.
    async fn write(&self, current: &Lease) -> Result<Try> {
        let spec = self.election.claim(current.spec.as_ref(), Timestamp::now());
        let lease = Lease { spec: Some(spec), ..current.clone() };
        unless_raced(within("writing the lease", self.api.replace(&self.name, &parameters(), &lease)).await)
    }

    async fn give_back(&self, held: &Lease) {
        let spec = Election::release(held.spec.as_ref().unwrap_or(&LeaseSpec::default()), Timestamp::now());
        let lease = Lease { spec: Some(spec), ..held.clone() };
        match within("giving back the lease", self.api.replace(&self.name, &parameters(), &lease)).await {
            Ok(_) => tracing::info!(lease = self.name, "lease given back"),
            Err(error) => tracing::warn!(error = error.message(), "the lease was not given back and will run out"),
        }
    }
}

fn parameters() -> PostParams {
    PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() }
}

fn unless_raced(written: Result<Lease, Error>) -> Result<Try> {
    match written {
        Ok(lease) => Ok(Try::Ours(Box::new(lease))),
        Err(error) if error.is_conflict() || error.is_already_exists() || error.is_not_found() => Ok(Try::Raced),
        Err(error) => Err(error),
    }
}

impl Held {
    /// Resolves when the lease is lost: taken by another, not renewed in time, or its renewal ended. Then the process must exit; nothing that
    /// it still does may be started.
    pub async fn lost(&self) {
        self.lost.cancelled().await;
    }

    /// Whether an effect may be started now: the last renewal is recent enough. Also right just after the process was paused, when
    /// [`Held::lost`] has not resolved yet.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        !self.lost.is_cancelled() && self.renewed.borrow().elapsed() < self.renew_deadline
    }

    /// Gives the lease back, so that a successor starts at once. Call it after the last effect.
    pub async fn release(self) {
        let _ = self.release.send(());
        if timeout(self.renew_deadline, self.keeper).await.is_err() {
            tracing::warn!("the lease was not given back in time and will run out");
        }
    }
}
