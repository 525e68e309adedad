//! What a `DatabaseServer` object asks for, parsed and complete.
//!
//! Must not read the object: `crd::convert` in the operator makes these values from it.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use crate::names::Invalid;
use crate::tier::Tier;

/// What a `DatabaseServer` asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DesiredServer {
    /// Where it listens.
    pub host: Host,
    /// TCP port, never 0.
    pub port: u16,
    /// What is required of connections.
    pub tls: TlsMode,
    /// How it is sent the passwords of roles.
    pub passwords: PasswordForm,
    /// The tiers it offers, each once, in order.
    pub tiers: Vec<Tier>,
    /// The most schools it takes; no limit when none.
    pub max_schools: Option<u32>,
    /// It accepts new schools.
    pub schedulable: bool,
    /// The namespaces whose schools it takes.
    pub allowed: AllowedNamespaces,
}

/// Transport security, in libpq's words. There is no `prefer`: the connection has what the spec says, or is not made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TlsMode {
    /// Plain text.
    Disable,
    /// Encrypted, the certificate unchecked.
    Require,
    /// Encrypted, the certificate signed by the given authority.
    VerifyCa,
    /// Encrypted, the certificate signed by the given authority for the host's name.
    VerifyFull,
}

impl TlsMode {
    /// libpq's word, as `sslmode` takes it.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Disable => "disable",
            Self::Require => "require",
            Self::VerifyCa => "verify-ca",
            Self::VerifyFull => "verify-full",
        }
    }

    /// The server's certificate is checked, so an authority must be given.
    #[must_use]
    pub fn verifies(self) -> bool {
        matches!(self, Self::VerifyCa | Self::VerifyFull)
    }
}

/// How a server is sent the passwords of roles.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum PasswordForm {
    /// As SCRAM verifiers, with which nobody can log in.
    #[default]
    Verifier,
    /// As they are, over encrypted connections only.
    Plain,
}

/// The namespaces whose schools a server takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AllowedNamespaces {
    /// Every namespace.
    All,
    /// Those that have each of these labels with its value. An empty map allows none.
    Labelled(BTreeMap<String, String>),
}

impl AllowedNamespaces {
    /// A namespace with these labels may place its schools here.
    #[must_use]
    pub fn allows(&self, namespace: &BTreeMap<String, String>) -> bool {
        match self {
            Self::All => true,
            Self::Labelled(required) => !required.is_empty() && required.iter().all(|(key, value)| namespace.get(key) == Some(value)),
        }
    }
}

/// An IP address, or a DNS name in lower case.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Host(String);

impl Host {
    /// The host, if `text` is an IP address or a DNS name of at most 253 characters.
    ///
    /// # Errors
    /// [`Invalid`] with the rule that was broken.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let why = "must be an IP address or a DNS name in lower case, without port or scheme";
        if text.parse::<IpAddr>().is_ok() || is_dns_name(text) { Ok(Self(text.to_owned())) } else { Err(Invalid { what: "host", why }) }
    }

    /// The host as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn is_dns_name(text: &str) -> bool {
    let alphanumeric = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let label = |part: &str| match part.as_bytes() {
        [only] => alphanumeric(*only),
        [first, middle @ .., last] => {
            alphanumeric(*first) && alphanumeric(*last) && middle.len() <= 61 && middle.iter().all(|&b| alphanumeric(b) || b == b'-')
        }
        [] => false,
    };
    text.len() <= 253 && text.split('.').all(label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_an_address_or_a_lower_case_dns_name() {
        let long = format!("{}.a", "a".repeat(63));
        for good in ["pg", "pg-1.db.svc.cluster.local", "127.0.0.1", "::1", "2001:db8::5432", &long] {
            assert!(Host::parse(good).is_ok(), "{good} was refused");
        }
        let (label, name) = ("a".repeat(64), vec!["a"; 128].join("."));
        for bad in ["", ".", "pg.", "-pg", "pg-", "PG", "pg:5432", "postgres://pg", "[::1]", "a b", "pg_1", "a..b", &label, &name] {
            assert!(Host::parse(bad).is_err(), "{bad} was taken");
        }
    }

    #[test]
    fn a_selector_allows_namespaces_with_all_its_labels_and_an_empty_one_allows_none() {
        let labels = |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect::<BTreeMap<_, _>>();
        let allowed = AllowedNamespaces::Labelled(labels(&[("region", "north"), ("paid", "yes")]));
        assert!(allowed.allows(&labels(&[("region", "north"), ("paid", "yes"), ("other", "1")])));
        assert!(!allowed.allows(&labels(&[("region", "north")])));
        assert!(!allowed.allows(&labels(&[("region", "north"), ("paid", "no")])));
        assert!(!AllowedNamespaces::Labelled(BTreeMap::new()).allows(&labels(&[("region", "north")])));
        assert!(AllowedNamespaces::All.allows(&BTreeMap::new()));
    }
}
