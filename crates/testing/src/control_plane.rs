//! A private Kubernetes control plane: etcd, kube-apiserver and kube-controller-manager, without a node. Everything that is not a
//! running pod is the real thing: CRDs and CEL, server-side apply, watches, RBAC, finalizers, garbage collection, Jobs as objects.
//!
//! Must not know the product.

mod flags;
mod identity;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::http::Request;
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use kube::{Api, Client};

use self::identity::Identities;
use super::certificates::{Certificates, generate_key};
use super::error::Doing;
use super::port::Port;
use super::process::Launch;
use super::scratch::Scratch;
use super::{Lifetime, Process, Result};

/// It takes two seconds on an idle machine; with compilers beside it, minutes. A process that ends is noticed at once.
const PATIENCE: Duration = Duration::from_mins(6);
/// An API server whose etcd is gone waits for it when it is asked to stop.
const STOP_PATIENCE: Duration = Duration::from_secs(10);

/// A running control plane. Dropping it ends it, unless it is [`Lifetime::Detached`].
#[derive(Debug)]
pub struct ControlPlane {
    // Dropped, and so stopped, in this order: an API server without its etcd would linger for a minute.
    controller_manager: Process,
    apiserver: Process,
    etcd: Process,
    directory: PathBuf,
    identities: Identities,
    _ports: Ports,
    // Last: the servers must have ended before their files go.
    scratch: Option<Scratch>,
}

/// The listeners, all on the loopback address.
#[derive(Debug)]
struct Ports {
    etcd: Port,
    etcd_peer: Port,
    apiserver: Port,
}

impl ControlPlane {
    /// Starts a control plane for this process alone, in a temporary directory that goes with it.
    ///
    /// # Errors
    /// As [`ControlPlane::start`].
    pub async fn private() -> Result<Self> {
        let scratch = Scratch::create("control-plane")?;
        let mut control_plane = Self::start(scratch.path(), Lifetime::Test).await?;
        control_plane.scratch = Some(scratch);
        Ok(control_plane)
    }

    /// Starts a control plane whose data, credentials and logs lie in `directory`, and returns when the API server is ready, the
    /// first namespaces exist and the controllers work. A detached one that runs already in this directory is found again, and data
    /// from an earlier start is kept.
    ///
    /// # Errors
    /// When the programs are not installed, or one of them does not start; then with the end of its log.
    pub async fn start(directory: &Path, lifetime: Lifetime) -> Result<Self> {
        fs::create_dir_all(directory).doing(|| format!("create {}", directory.display()))?;
        let directory = directory.canonicalize().doing(|| format!("find {}", directory.display()))?;
        let recorded = recorded_ports(&directory);
        if let (Some(processes), Some(numbers)) = (find(&directory), recorded) {
            let [etcd, etcd_peer, apiserver] = numbers.map(Port::in_use);
            return Self::attend(directory, Ports { etcd, etcd_peer, apiserver }, processes).await;
        }
        // Half of a control plane is of no use: what is left of it goes before it is started anew on the same data.
        Self::stop_detached(&directory).await?;
        let port = |index: usize| Port::prefer(recorded.map(|numbers| numbers[index]));
        let ports = Ports { etcd: port(0)?, etcd_peer: port(1)?, apiserver: port(2)? };
        let numbers = [&ports.etcd, &ports.etcd_peer, &ports.apiserver].map(|port| port.number().to_string());
        fs::write(directory.join("ports"), numbers.join(" ")).doing(|| "write ports".into())?;
        let certificates = Certificates::in_directory(&directory).await?;
        let signing_key = directory.join("service-accounts.key");
        if !signing_key.exists() {
            generate_key(&signing_key).await?;
        }
        let identities = Identities::prepare(&directory, ports.apiserver.number())?;
        let processes = flags::launches(&directory, lifetime, &ports, &certificates)?;
        let mut etcd = Process::start(processes.etcd)?;
        let address = ("127.0.0.1", ports.etcd.number());
        etcd.until("listening", PATIENCE, async || tokio::net::TcpStream::connect(address).await.is_ok()).await?;
        let mut apiserver = Process::start(processes.apiserver)?;
        let client = identity::client(&identities.admin).await?;
        apiserver.until("ready", PATIENCE, async || is_ready(&client).await).await?;
        // It waits ten seconds for the API server and then ends, which is not enough on a machine that compiles beside.
        let controller_manager = Process::start(processes.controller_manager)?;
        Self::attend(directory, ports, [etcd, apiserver, controller_manager]).await
    }

    /// The processes that a detached [`ControlPlane::start`] left in `directory`, each with its id when it runs.
    #[must_use]
    pub fn detached(directory: &Path) -> [(&'static str, Option<u32>); 3] {
        let pid = |name| Process::find(detached(directory, name)).map(|process| process.pid());
        [flags::ETCD, flags::APISERVER, flags::CONTROLLER_MANAGER].map(|name| (name, pid(name)))
    }

    /// Ends those processes. Their data stays. False when none runs.
    ///
    /// # Errors
    /// When one of its processes cannot be ended.
    pub async fn stop_detached(directory: &Path) -> Result<bool> {
        let mut stopped = false;
        for name in [flags::CONTROLLER_MANAGER, flags::APISERVER, flags::ETCD] {
            if let Some(mut process) = Process::find(detached(directory, name)) {
                process.stop(STOP_PATIENCE).await?;
                stopped = true;
            }
        }
        Ok(stopped)
    }

    /// Ends it in the order that loses nothing, and returns when it is gone.
    ///
    /// # Errors
    /// When one of its processes cannot be ended.
    pub async fn stop(&mut self) -> Result<()> {
        for process in [&mut self.controller_manager, &mut self.apiserver, &mut self.etcd] {
            process.stop(STOP_PATIENCE).await?;
        }
        Ok(())
    }

    /// The kubeconfig of a cluster administrator (group `system:masters`).
    #[must_use]
    pub fn kubeconfig(&self) -> &Path {
        &self.identities.admin
    }

    /// A client of the cluster administrator. Each has connections of its own, so that tests with a runtime each can share a plane.
    ///
    /// # Errors
    /// When the kubeconfig cannot be used.
    pub async fn client(&self) -> Result<Client> {
        identity::client(self.kubeconfig()).await
    }

    /// The kubeconfig of a service account, made when it is missing (with its namespace): an identity that may do only what RBAC
    /// grants to `system:serviceaccount:<namespace>:<name>`, with the kind of token that a pod has.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn service_account(&self, namespace: &str, name: &str) -> Result<PathBuf> {
        self.identities.service_account(&self.client().await?, namespace, name).await
    }

    /// The audit log: a JSON `audit.k8s.io/v1` Event a line at level Metadata, one per request (none for stage `RequestReceived`),
    /// written before the response. Watches are logged twice, when they begin (stage `ResponseStarted`) and when they end.
    #[must_use]
    pub fn audit_log(&self) -> PathBuf {
        flags::audit_log(&self.directory)
    }

    /// The process ids of etcd, kube-apiserver and kube-controller-manager.
    #[must_use]
    pub fn pids(&self) -> [u32; 3] {
        [&self.etcd, &self.apiserver, &self.controller_manager].map(Process::pid)
    }

    /// The API server's process, for pausing it: an outage that clients see as silence.
    #[must_use]
    pub fn apiserver(&self) -> &Process {
        &self.apiserver
    }

    async fn attend(directory: PathBuf, ports: Ports, [etcd, apiserver, controller_manager]: [Process; 3]) -> Result<Self> {
        let identities = Identities::prepare(&directory, ports.apiserver.number())?;
        let client = identity::client(&identities.admin).await?;
        let mut plane = Self { controller_manager, apiserver, etcd, directory, identities, _ports: ports, scratch: None };
        let namespaces = Api::<Namespace>::all(client.clone());
        let exist = async || namespaces.get("default").await.is_ok() && namespaces.get("kube-system").await.is_ok();
        plane.apiserver.until("serving the first namespaces", PATIENCE, exist).await?;
        // The first thing that the controllers make in a fresh cluster, so the proof that they work.
        let accounts = Api::<ServiceAccount>::namespaced(client, "default");
        plane.controller_manager.until("making ServiceAccounts", PATIENCE, async || accounts.get("default").await.is_ok()).await?;
        Ok(plane)
    }
}

async fn is_ready(client: &Client) -> bool {
    match Request::get("/readyz").body(Vec::new()) {
        Ok(request) => client.request_text(request).await.is_ok(),
        Err(_) => false,
    }
}

/// All three detached processes, or `None` when one of them does not run.
fn find(directory: &Path) -> Option<[Process; 3]> {
    let [etcd, apiserver, controller_manager] =
        [flags::ETCD, flags::APISERVER, flags::CONTROLLER_MANAGER].map(|name| Process::find(detached(directory, name)));
    Some([etcd?, apiserver?, controller_manager?])
}

fn detached(directory: &Path, name: &'static str) -> Launch {
    flags::launch(directory, Lifetime::Detached, name, Vec::new())
}

fn recorded_ports(directory: &Path) -> Option<[u16; 3]> {
    let text = fs::read_to_string(directory.join("ports")).ok()?;
    let ports: Vec<u16> = text.split_whitespace().filter_map(|port| port.parse().ok()).collect();
    ports.try_into().ok()
}
