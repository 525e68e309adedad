//! A `DatabaseServer` object to [`DesiredServer`] and the Secrets it refers to.
//!
//! Must not read a Secret: it only names them.

use domain::names::{Invalid, SecretName};
use domain::server::{AllowedNamespaces, DesiredServer, Host, PasswordForm, TlsMode};

use super::{At as _, SpecError, tier};
use crate::crd::server::{AllowedNamespaces as Written, DatabaseServer, NamespacesFrom, Passwords, TlsMode as Mode};

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
pub fn spec(server: &DatabaseServer) -> Result<DesiredServer, SpecError> {
    let spec = &server.spec;
    Ok(DesiredServer {
        host: Host::parse(&spec.host).at("spec.host")?,
        port: spec.port.map_or(Ok(DEFAULT_PORT), port).at("spec.port")?,
        tls: mode(spec.tls.mode).at("spec.tls.mode")?,
        passwords: passwords(server).at("spec.passwords")?,
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

fn passwords(server: &DatabaseServer) -> Result<PasswordForm, Invalid> {
    let refused = |why| Err(Invalid { what: "form of passwords", why });
    match (server.spec.passwords, server.spec.tls.mode) {
        (None | Some(Passwords::Verifier), _) => Ok(PasswordForm::Verifier),
        (Some(Passwords::Plain), Mode::Require | Mode::VerifyCa | Mode::VerifyFull) => Ok(PasswordForm::Plain),
        (Some(Passwords::Plain), Mode::Disable | Mode::Unknown) => refused("may be Plain only when spec.tls.mode encrypts"),
        (Some(Passwords::Unknown), _) => refused("must be Verifier or Plain"),
    }
}

fn tiers(server: &DatabaseServer) -> Result<Vec<domain::tier::Tier>, Invalid> {
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::{Value, json};

    use super::*;
    use domain::tier::Tier;

    fn server(fields: &Value) -> DatabaseServer {
        let mut object = json!({
            "apiVersion": "dailycare.io/v1alpha1", "kind": "DatabaseServer", "metadata": {"name": "pg-1"},
            "spec": {"host": "pg-1.db.example", "tls": {"mode": "require"}, "adminSecretRef": {"name": "pg-1-admin"}, "tiers": ["standard"]}
        });
        for (key, field) in fields.as_object().unwrap() {
            object["spec"][key] = field.clone();
        }
        serde_json::from_value(object).unwrap()
    }

    #[test]
    fn what_is_not_given_has_its_meaning() {
        let expected = DesiredServer {
            host: Host::parse("pg-1.db.example").unwrap(),
            port: 5432,
            tls: TlsMode::Require,
            passwords: PasswordForm::Verifier,
            tiers: vec![Tier::Standard],
            max_schools: None,
            schedulable: true,
            allowed: AllowedNamespaces::All,
        };
        assert_eq!(spec(&server(&json!({}))), Ok(expected));
        let admin = SecretName::parse("pg-1-admin").unwrap();
        assert_eq!(secrets(&server(&json!({}))), Ok(ServerSecrets { admin, authority: None }));
    }

    #[test]
    fn what_is_given_is_taken() {
        let server = server(&json!({
            "host": "::1", "port": 6432, "tls": {"mode": "verify-ca", "caSecretRef": {"name": "ca"}}, "tiers": ["basic", "premium", "basic"],
            "capacity": {"maxSchools": 0}, "schedulable": false,
            "allowedNamespaces": {"from": "Selector", "selector": {"matchLabels": {"region": "north"}}}
        }));
        let spec = spec(&server).unwrap();
        assert_eq!((spec.host.as_str(), spec.port, spec.tls.label()), ("::1", 6432, "verify-ca"));
        assert_eq!((spec.tiers, spec.max_schools, spec.schedulable), (vec![Tier::Premium, Tier::Basic], Some(0), false));
        assert_eq!(spec.allowed, AllowedNamespaces::Labelled(BTreeMap::from([("region".to_owned(), "north".to_owned())])));
        let authority = secrets(&server).unwrap().authority;
        assert_eq!(authority, Some((SecretName::parse("ca").unwrap(), "ca.crt".to_owned())));
    }

    #[test]
    fn what_a_weaker_schema_would_let_through_is_named_by_its_field() {
        for (fields, field) in [
            (json!({"host": "pg:5432"}), "spec.host"),
            (json!({"port": 0}), "spec.port"),
            (json!({"port": 65536}), "spec.port"),
            (json!({"tls": {"mode": "prefer"}}), "spec.tls.mode"),
            (json!({"passwords": "Hashed"}), "spec.passwords"),
            (json!({"passwords": "Plain", "tls": {"mode": "disable"}}), "spec.passwords"),
            (json!({"tiers": []}), "spec.tiers"),
            (json!({"tiers": ["gold"]}), "spec.tiers"),
            (json!({"capacity": {"maxSchools": -1}}), "spec.capacity.maxSchools"),
            (json!({"allowedNamespaces": {"from": "Selector"}}), "spec.allowedNamespaces"),
            (json!({"allowedNamespaces": {"from": "Selector", "selector": {"matchLabels": {}}}}), "spec.allowedNamespaces"),
            (json!({"allowedNamespaces": {"from": "Same"}}), "spec.allowedNamespaces"),
        ] {
            assert_eq!(spec(&server(&fields)).unwrap_err().field, field, "{fields}");
        }
        for (fields, field) in [
            (json!({"adminSecretRef": {"name": "A"}}), "spec.adminSecretRef.name"),
            (json!({"tls": {"mode": "verify-full"}}), "spec.tls.caSecretRef"),
            (json!({"tls": {"mode": "verify-full", "caSecretRef": {"name": "A"}}}), "spec.tls.caSecretRef.name"),
            (json!({"tls": {"mode": "prefer"}}), "spec.tls.mode"),
        ] {
            assert_eq!(secrets(&server(&fields)).unwrap_err().field, field, "{fields}");
        }
    }
}
