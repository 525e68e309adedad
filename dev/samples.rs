//! The samples of `config/samples` as they fit the local cluster: an overlay for `kubectl apply -k` that gives each `DatabaseServer` the
//! address of a server that runs here, and its admin Secret. It changes no sample, and what a sample says about schools stays as it is.
//!
//! Must not change `config/samples`.

use std::path::{Component, Path, PathBuf};
use std::{fs, iter};

use postgres::session::Tls;
use postgres::url::Target;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

use super::{Outcome, write_private};

/// Where the operator looks for admin Secrets.
const NAMESPACE: &str = "dailycare-system";
const SAMPLES: &str = "config/samples";
const STANDARD: &str = "pg-standard";
const PREMIUM: &str = "pg-premium";

/// The URLs of the servers behind the samples, passwords included.
pub(super) enum Servers {
    /// One for most schools and one for premium ones, as in the samples.
    Two { standard: String, premium: String },
    /// One for all tiers: a server belongs to one `DatabaseServer`.
    One(String),
}

impl Servers {
    /// The one that takes the master database too.
    pub(super) fn newest(&self) -> &str {
        match self {
            Self::Two { standard: url, .. } | Self::One(url) => url,
        }
    }
}

/// Writes the overlay into `directory`, for its owner only: it holds the servers' passwords.
pub(super) fn write(directory: &Path, servers: &Servers) -> Outcome {
    fs::create_dir_all(directory)?;
    let directory = directory.canonicalize()?;
    let mut secrets = Vec::new();
    // A school that was suspended by hand is active again when the samples are applied again.
    let active = json!([{"op": "add", "path": "/spec/state", "value": "Active"}]);
    let mut patches = vec![json!({"target": {"kind": "School"}, "patch": serde_yaml::to_string(&active)?})];
    let mut place = |name: &str, url: &str, more: Option<Value>| -> Outcome {
        let target = Target::parse(&url.into())?;
        patches.push(address(name, &target, more)?);
        secrets.extend(secrets_of(name, &target));
        Ok(())
    };
    match servers {
        Servers::Two { standard, premium } => {
            place(STANDARD, standard, None)?;
            place(PREMIUM, premium, None)?;
        }
        Servers::One(url) => {
            let tiers = json!({"op": "replace", "path": "/spec/tiers", "value": ["premium", "standard", "basic"]});
            place(STANDARD, url, Some(tiers))?;
            let absent =
                json!({"apiVersion": "dailycare.io/v1alpha1", "kind": "DatabaseServer", "metadata": {"name": PREMIUM}, "$patch": "delete"});
            patches.push(json!({"patch": serde_yaml::to_string(&absent)?}));
        }
    }
    let base = relative(&directory, &Path::new(SAMPLES).canonicalize()?);
    let overlay = json!({
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": ["namespace.yaml", "secrets.yaml", base],
        "patches": patches,
    });
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}});
    let secrets = secrets.iter().map(serde_yaml::to_string).collect::<Result<Vec<_>, _>>()?;
    write_private(&directory.join("namespace.yaml"), &serde_yaml::to_string(&namespace)?)?;
    write_private(&directory.join("secrets.yaml"), &secrets.join("---\n"))?;
    write_private(&directory.join("kustomization.yaml"), &serde_yaml::to_string(&overlay)?)
}

/// The patch that gives a `DatabaseServer` its address.
fn address(name: &str, Target { endpoint, .. }: &Target, extra: Option<Value>) -> Outcome<Value> {
    let (sslmode, authority) = protection(&endpoint.tls);
    let tls = match authority {
        Some(_) => json!({"mode": sslmode, "caSecretRef": {"name": format!("{name}-ca")}}),
        None => json!({"mode": sslmode}),
    };
    let fields = [("host", json!(endpoint.host)), ("port", json!(endpoint.port)), ("tls", tls)];
    let replaced = fields.map(|(field, value)| json!({"op": "replace", "path": format!("/spec/{field}"), "value": value}));
    let patch: Vec<_> = replaced.into_iter().chain(extra).collect();
    Ok(json!({"target": {"kind": "DatabaseServer", "name": name}, "patch": serde_yaml::to_string(&patch)?}))
}

/// Its admin Secret, and the one with the authority's certificates where they are checked.
fn secrets_of(name: &str, Target { endpoint, credentials, database }: &Target) -> Vec<Value> {
    let login = json!({"username": credentials.username, "password": credentials.password.expose_secret(), "database": database});
    let (_, authority) = protection(&endpoint.tls);
    let authority = authority.map(|pem| secret(&format!("{name}-ca"), &json!({"ca.crt": String::from_utf8_lossy(pem)})));
    iter::once(secret(&format!("{name}-admin"), &login)).chain(authority).collect()
}

fn secret(name: &str, data: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": NAMESPACE}, "stringData": data})
}

/// `sslmode` in libpq's words, and the authority that is checked against.
fn protection(tls: &Tls) -> (&'static str, Option<&[u8]>) {
    match tls {
        Tls::Disable => ("disable", None),
        Tls::Require => ("require", None),
        Tls::VerifyCa(pem) => ("verify-ca", Some(pem)),
        Tls::VerifyFull(pem) => ("verify-full", Some(pem)),
    }
}

/// `to` as seen from `from`: an overlay may name its base only so.
fn relative(from: &Path, to: &Path) -> PathBuf {
    let common = from.components().zip(to.components()).take_while(|(from, to)| from == to).count();
    let up = iter::repeat_n(Component::ParentDir, from.components().count() - common);
    up.chain(to.components().skip(common)).collect()
}
