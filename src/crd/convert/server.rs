//! A `DatabaseServer` object to [`ServerSpec`] and the Secrets it refers to.

use super::{At as _, SpecError, tier};
use crate::crd::server::{AllowedNamespaces as Written, DatabaseServer, NamespacesFrom, TlsMode as Mode};
use crate::domain::names::{Invalid, SecretName};
use crate::domain::server::{AllowedNamespaces, Host, ServerSpec, TlsMode};

/// `spec.port` when it is not given.
pub const DEFAULT_PORT: u16 = 5432;
/// `spec.tls.caSecretRef.key` when it is not given.
pub const DEFAULT_CA_KEY: &str = "ca.crt";

/// The Secrets a server refers to, all in the operator's namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerSecrets {
    /// The admin login: keys `username`, `password` and, optionally, `database`.
    pub admin: SecretName,
    /// The Secret and the key with the authority's certificates; always there when the mode verifies.
    pub authority: Option<(SecretName, String)>,
}

/// What a `DatabaseServer` asks for.
///
/// # Errors
/// [`SpecError`] when a field cannot be used.
pub fn spec(server: &DatabaseServer) -> Result<ServerSpec, SpecError> {
    let spec = &server.spec;
    Ok(ServerSpec {
        host: Host::parse(&spec.host).at("spec.host")?,
        port: spec.port.map_or(Ok(DEFAULT_PORT), port).at("spec.port")?,
        tls: mode(spec.tls.mode).at("spec.tls.mode")?,
        tiers: tiers(server).at("spec.tiers")?,
        max_schools: spec
            .capacity
            .as_ref()
            .and_then(|capacity| capacity.max_schools)
            .map(max_schools)
            .transpose()
            .at("spec.capacity.maxSchools")?,
        schedulable: spec.schedulable.unwrap_or(true),
        allowed: spec.allowed_namespaces.as_ref().map_or(Ok(AllowedNamespaces::All), allowed).at("spec.allowedNamespaces")?,
    })
}

/// The Secrets a `DatabaseServer` refers to.
///
/// # Errors
/// [`SpecError`] when a name cannot be used, or when the mode verifies and no authority is given.
pub fn secrets(server: &DatabaseServer) -> Result<ServerSecrets, SpecError> {
    let spec = &server.spec;
    let authority = match &spec.tls.ca_secret_ref {
        Some(reference) => {
            let key = reference.key.clone().unwrap_or_else(|| DEFAULT_CA_KEY.to_owned());
            Some((SecretName::parse(&reference.name).at("spec.tls.caSecretRef.name")?, key))
        }
        None if mode(spec.tls.mode).at("spec.tls.mode")?.verifies() => {
            return Err(Invalid { what: "authority", why: "must be given for verify-ca and verify-full" }).at("spec.tls.caSecretRef");
        }
        None => None,
    };
    Ok(ServerSecrets { admin: SecretName::parse(&spec.admin_secret_ref.name).at("spec.adminSecretRef.name")?, authority })
}

fn port(port: i64) -> Result<u16, Invalid> {
    u16::try_from(port).ok().filter(|port| *port > 0).ok_or(Invalid { what: "port", why: "must be 1 to 65535" })
}

fn max_schools(most: i64) -> Result<u32, Invalid> {
    u32::try_from(most).map_err(|_| Invalid { what: "capacity", why: "must be 0 or more" })
}

fn mode(mode: Mode) -> Result<TlsMode, Invalid> {
    match mode {
        Mode::Disable => Ok(TlsMode::Disable),
        Mode::Require => Ok(TlsMode::Require),
        Mode::VerifyCa => Ok(TlsMode::VerifyCa),
        Mode::VerifyFull => Ok(TlsMode::VerifyFull),
        Mode::Unknown => Err(Invalid { what: "TLS mode", why: "must be disable, require, verify-ca or verify-full" }),
    }
}

fn tiers(server: &DatabaseServer) -> Result<Vec<crate::domain::school::wanted::Tier>, Invalid> {
    let mut tiers = server.spec.tiers.iter().copied().map(tier).collect::<Result<Vec<_>, _>>()?;
    tiers.sort_unstable();
    tiers.dedup();
    if tiers.is_empty() { Err(Invalid { what: "list of tiers", why: "must name at least one tier" }) } else { Ok(tiers) }
}

fn allowed(written: &Written) -> Result<AllowedNamespaces, Invalid> {
    match (written.from, &written.selector) {
        (NamespacesFrom::All, _) => Ok(AllowedNamespaces::All),
        (NamespacesFrom::Selector, Some(selector)) if !selector.match_labels.is_empty() => {
            Ok(AllowedNamespaces::Labelled(selector.match_labels.clone()))
        }
        (NamespacesFrom::Selector, _) => Err(Invalid { what: "selector", why: "must name at least one label in matchLabels" }),
        (NamespacesFrom::Unknown, _) => Err(Invalid { what: "from", why: "must be All or Selector" }),
    }
}
