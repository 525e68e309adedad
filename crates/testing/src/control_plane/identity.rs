//! Who may talk to the private API server: two fixed tokens for the administrator and the controllers, and service accounts on demand.
//!
//! Must not be used for a cluster that is not private.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};
use serde_json::json;

use crate::error::Doing;
use crate::kubernetes::config;
use crate::random::random_token;
use crate::{Error, Result};

const ADMIN: &str = "admin";
/// A name of its own, so that the controllers' calls can be told from the tests' in the audit log.
const CONTROLLERS: &str = "system:kube-controller-manager";
/// Longer than any run.
const TOKEN_SECONDS: i64 = 7 * 24 * 3600;
/// For one request; an API server that answers later is not up.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// The identities of one control plane.
#[derive(Debug)]
pub(super) struct Identities {
    directory: PathBuf,
    server: String,
    pub(super) admin: PathBuf,
}

/// The file with the fixed tokens.
pub(super) fn tokens(directory: &Path) -> PathBuf {
    directory.join("tokens.csv")
}

/// The controllers' kubeconfig.
pub(super) fn controller_manager(directory: &Path) -> PathBuf {
    directory.join("kube-controller-manager.kubeconfig")
}

impl Identities {
    /// Draws the tokens when there are none yet, and writes the kubeconfigs for the API server at `port`.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub(super) fn prepare(directory: &Path, port: u16) -> Result<Self> {
        let file = tokens(directory);
        if !file.exists() {
            let row = |user: &str| Ok::<_, Error>(format!("{},{user},{user},\"system:masters\"\n", random_token()?));
            write_secret(&file, &(row(ADMIN)? + &row(CONTROLLERS)?))?;
        }
        let identities =
            Self { directory: directory.to_owned(), server: format!("https://127.0.0.1:{port}"), admin: directory.join("kubeconfig") };
        let rows = fs::read_to_string(&file).doing(|| format!("read {}", file.display()))?;
        let token = |user: &str| rows.lines().filter_map(|row| row.split_once(',')).find(|(_, rest)| rest.starts_with(user));
        for (user, path) in [(ADMIN, identities.admin.clone()), (CONTROLLERS, controller_manager(directory))] {
            identities.write_kubeconfig(&path, user, token(user).map_or("", |(token, _)| token))?;
        }
        Ok(identities)
    }

    /// Makes the namespace and the service account when they are missing, asks for a token and writes its kubeconfig.
    ///
    /// # Errors
    /// When the API server refuses.
    pub(super) async fn service_account(&self, client: &Client, namespace: &str, name: &str) -> Result<PathBuf> {
        let metadata = |name: &str| ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() };
        let creating = PostParams::default();
        let outcome =
            Api::all(client.clone()).create(&creating, &Namespace { metadata: metadata(namespace), ..Namespace::default() }).await;
        unless_exists(outcome).doing(|| format!("create namespace {namespace}"))?;
        let accounts = Api::namespaced(client.clone(), namespace);
        let outcome = accounts.create(&creating, &ServiceAccount { metadata: metadata(name), ..ServiceAccount::default() }).await;
        unless_exists(outcome).doing(|| format!("create service account {name}"))?;
        let spec = TokenRequestSpec { expiration_seconds: Some(TOKEN_SECONDS), ..TokenRequestSpec::default() };
        let request = TokenRequest { spec, ..TokenRequest::default() };
        let answer = accounts.create_token_request(name, &creating, &request).await.doing(|| format!("request a token for {name}"))?;
        let path = self.directory.join(format!("{namespace}.{name}.kubeconfig"));
        self.write_kubeconfig(&path, name, answer.status.as_ref().map_or("", |status| &status.token))?;
        Ok(path)
    }

    /// Self-contained, so that it can be copied anywhere.
    fn write_kubeconfig(&self, path: &Path, user: &str, token: &str) -> Result<()> {
        let authority = fs::read(self.directory.join("ca.crt")).doing(|| "read ca.crt".into())?;
        let kubeconfig = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{
                "name": "dailycare",
                "cluster": {"server": self.server, "certificate-authority-data": BASE64_STANDARD.encode(authority)},
            }],
            "users": [{"name": user, "user": {"token": token}}],
            "contexts": [{"name": "dailycare", "context": {"cluster": "dailycare", "user": user, "namespace": "default"}}],
            "current-context": "dailycare",
        });
        // JSON is YAML, and every client reads it.
        write_secret(path, &format!("{kubeconfig:#}\n"))
    }
}

/// A client with the identity of a kubeconfig file.
///
/// # Errors
/// When the file cannot be used.
pub(super) async fn client(kubeconfig: &Path) -> Result<Client> {
    let mut config = config(kubeconfig).await?;
    config.connect_timeout = Some(REQUEST_TIMEOUT);
    Client::try_from(config).doing(|| format!("use {}", kubeconfig.display()))
}

fn unless_exists<T>(outcome: kube::Result<T>) -> kube::Result<()> {
    match outcome {
        Err(kube::Error::Api(status)) if status.reason == "AlreadyExists" => Ok(()),
        outcome => outcome.map(drop),
    }
}

fn write_secret(path: &Path, text: &str) -> Result<()> {
    let doing = || format!("write {}", path.display());
    // Replaced as a whole: a reader sees the old file or the new one.
    let new = path.with_extension("new");
    let _ = fs::remove_file(&new);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new).doing(doing)?;
    file.write_all(text.as_bytes()).and_then(|()| fs::rename(&new, path)).doing(doing)
}
