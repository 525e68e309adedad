//! Connection URLs, `postgres://user:password@host:port/database?sslmode=…&sslrootcert=file`, as administrators write them into Secrets.
//!
//! Errors say which part is wrong and never quote any of it: a password with a stray `@` or `?` would end up in another part. Must not connect.

use std::path::Path;

use percent_encoding::percent_decode_str;
use secrecy::{ExposeSecret as _, SecretString};

use super::session::{Credentials, Endpoint, Tls};

/// The contents of a URL.
#[derive(Clone, Debug)]
pub struct Target {
    /// Where the server listens and how it proves who it is.
    pub endpoint: Endpoint,
    /// The login.
    pub credentials: Credentials,
    /// The database.
    pub database: String,
}

/// Why text is not a connection URL.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another scheme, or none.
    #[error("the connection URL must start with postgres:// or postgresql://")]
    Scheme,
    /// A part is missing or empty.
    #[error("the connection URL has no {0}")]
    Missing(&'static str),
    /// A part cannot be read.
    #[error("the connection URL's {part} {why}")]
    Malformed {
        /// The part.
        part: &'static str,
        /// What is wrong with it, in words that say what to do.
        why: &'static str,
    },
    /// A parameter that this program does not know; ignoring it could weaken what was asked for.
    #[error("the connection URL has a parameter other than sslmode and sslrootcert")]
    UnknownParameter,
    /// No transport security was chosen.
    #[error("the connection URL has no sslmode; choose disable, require, verify-ca or verify-full")]
    NoSslMode,
    /// Opportunistic or unknown transport security.
    #[error("the connection URL's sslmode must be disable, require, verify-ca or verify-full")]
    SslMode,
    /// `verify-ca` or `verify-full` without an authority to verify against.
    #[error("the connection URL's sslmode needs sslrootcert, the file of the authority that signed the server's certificate")]
    NoRootCertificate,
    /// An authority that would not be asked.
    #[error("the connection URL's sslrootcert needs sslmode verify-ca or verify-full")]
    UnusedRootCertificate,
    /// The authority's file could not be read.
    #[error("reading the file that the connection URL's sslrootcert names failed")]
    UnreadableRootCertificate(#[source] std::io::Error),
}

impl Target {
    /// Reads a URL, and the authority's file when one is named. The port is 5432 unless given; everything else must be said.
    ///
    /// # Errors
    /// The part that is missing or wrong, quoting nothing.
    pub fn parse(url: &SecretString) -> Result<Self, Error> {
        let url = url.expose_secret().trim();
        let rest = url.strip_prefix("postgres://").or_else(|| url.strip_prefix("postgresql://")).ok_or(Error::Scheme)?;
        let (address, parameters) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, database) = address.split_once('/').ok_or(Error::Missing("database"))?;
        let (user, host_and_port) = authority.rsplit_once('@').ok_or(Error::Missing("user"))?;
        let (username, password) = user.split_once(':').ok_or(Error::Missing("password"))?;
        let (host, port) = split_port(host_and_port)?;
        Ok(Self {
            endpoint: Endpoint { host: decoded("host", host)?, port, tls: tls(parameters)? },
            credentials: Credentials { username: decoded("user", username)?, password: decoded("password", password)?.into() },
            database: decoded("database", database)?,
        })
    }
}

/// Splits `host:port`; an IPv6 address stands in brackets.
fn split_port(text: &str) -> Result<(&str, u16), Error> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => rest.split_once(']').ok_or(Error::Malformed { part: "host", why: "has no closing bracket" })?,
        None => text.find(':').map_or((text, ""), |colon| text.split_at(colon)),
    };
    let bad = Error::Malformed { part: "port", why: "must be a number from 1 to 65535" };
    match port.strip_prefix(':') {
        None if port.is_empty() => Ok((host, 5432)),
        Some(digits) => digits.parse().ok().filter(|&port| port > 0).map(|port| (host, port)).ok_or(bad),
        None => Err(bad),
    }
}

fn decoded(part: &'static str, text: &str) -> Result<String, Error> {
    let malformed = |why| Error::Malformed { part, why };
    let hex = |b: Option<&u8>| b.is_some_and(u8::is_ascii_hexdigit);
    let bytes = text.as_bytes();
    if (0..bytes.len()).any(|i| bytes[i] == b'%' && !(hex(bytes.get(i + 1)) && hex(bytes.get(i + 2)))) {
        return Err(malformed("has a % that is not followed by two hexadecimal digits; write % itself as %25"));
    }
    let text = percent_decode_str(text).decode_utf8().map_err(|_| malformed("is not UTF-8"))?.into_owned();
    if text.contains('\0') {
        return Err(malformed("holds a zero byte"));
    }
    if text.is_empty() { Err(Error::Missing(part)) } else { Ok(text) }
}

fn tls(parameters: &str) -> Result<Tls, Error> {
    let (mut mode, mut authority) = (None, None);
    for parameter in parameters.split('&').filter(|parameter| !parameter.is_empty()) {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        match name {
            "sslmode" => mode = Some(value),
            "sslrootcert" => authority = Some(decoded("sslrootcert", value)?),
            _ => return Err(Error::UnknownParameter),
        }
    }
    let read = |file: String| std::fs::read(Path::new(&file)).map_err(Error::UnreadableRootCertificate);
    match (mode, authority) {
        (None, _) => Err(Error::NoSslMode),
        (Some("disable" | "require"), Some(_)) => Err(Error::UnusedRootCertificate),
        (Some("disable"), None) => Ok(Tls::Disable),
        (Some("require"), None) => Ok(Tls::Require),
        (Some("verify-ca" | "verify-full"), None) => Err(Error::NoRootCertificate),
        (Some("verify-ca"), Some(file)) => read(file).map(|pem| Tls::VerifyCa(pem.into())),
        (Some("verify-full"), Some(file)) => read(file).map(|pem| Tls::VerifyFull(pem.into())),
        (Some(_), _) => Err(Error::SslMode),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> Result<Target, Error> {
        Target::parse(&url.into())
    }

    #[test]
    fn every_part_is_read_and_percent_decoded() {
        let target = parse("postgres://ad%40min:p%2Fa%3As%25s@db.example:6432/da%20ta?sslmode=require\n").unwrap();
        assert_eq!(target.endpoint, Endpoint { host: "db.example".into(), port: 6432, tls: Tls::Require });
        assert_eq!(target.credentials.username, "ad@min");
        assert_eq!(target.credentials.password.expose_secret(), "p/a:s%s");
        assert_eq!(target.database, "da ta");
    }

    #[test]
    fn the_port_may_be_left_out_and_an_ipv6_address_stands_in_brackets() {
        let plain = parse("postgresql://u:p@h/d?sslmode=disable").unwrap().endpoint;
        assert_eq!((plain.host.as_str(), plain.port), ("h", 5432));
        let six = parse("postgres://u:p@[::1]:5433/d?sslmode=disable").unwrap().endpoint;
        assert_eq!((six.host.as_str(), six.port), ("::1", 5433));
        assert_eq!(parse("postgres://u:p@[::1]/d?sslmode=disable").unwrap().endpoint.port, 5432);
    }

    #[test]
    fn the_authority_is_read_from_its_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "PEM").unwrap();
        let url = |mode| format!("postgres://u:p@h/d?sslrootcert={}&sslmode={mode}", file.path().display());
        assert_eq!(parse(&url("verify-full")).unwrap().endpoint.tls, Tls::VerifyFull(b"PEM"[..].into()));
        assert_eq!(parse(&url("verify-ca")).unwrap().endpoint.tls, Tls::VerifyCa(b"PEM"[..].into()));
        assert!(matches!(parse(&url("require")), Err(Error::UnusedRootCertificate)));
        let absent = "postgres://u:p@h/d?sslmode=verify-full&sslrootcert=/nowhere/ca.pem";
        assert!(matches!(parse(absent), Err(Error::UnreadableRootCertificate(_))));
    }

    #[test]
    fn a_wrong_part_is_named_and_nothing_is_quoted() {
        for (url, part) in [
            ("mysql://u:canary@h/d", "start with postgres"),
            ("postgres://u:canary@h", "database"),
            ("postgres://u:canary@h/?sslmode=disable", "database"),
            ("postgres://canary/d?sslmode=disable", "user"),
            ("postgres://canary@h/d?sslmode=disable", "password"),
            ("postgres://:canary@h/d?sslmode=disable", "user"),
            ("postgres://u:@h/d?sslmode=disable", "password"),
            ("postgres://u:canary@/d?sslmode=disable", "host"),
            ("postgres://u:canary@h:0/d?sslmode=disable", "port"),
            ("postgres://u:canary@h:canary/d?sslmode=disable", "port"),
            ("postgres://u:canary@[::1/d?sslmode=disable", "host"),
            ("postgres://u:canary@[::1]x/d?sslmode=disable", "port"),
            ("postgres://u:canary%zz@h/d?sslmode=disable", "password"),
            ("postgres://u:canary%f@h/d?sslmode=disable", "password"),
            ("postgres://u:canary%ff@h/d?sslmode=disable", "password"),
            ("postgres://u:canary%00@h/d?sslmode=disable", "password"),
            ("postgres://u:p?canary@h/d", "database"),
            ("postgres://u:p@h/d?canary=1&sslmode=disable", "parameter"),
            ("postgres://u:canary@h/d", "no sslmode"),
            ("postgres://u:canary@h/d?sslmode=prefer", "sslmode must be"),
            ("postgres://u:canary@h/d?sslmode=verify-full", "needs sslrootcert"),
        ] {
            let error = parse(url).unwrap_err();
            assert!(error.to_string().contains(part), "{url}: {error}");
            assert!(!format!("{error:?} {error}").contains("canary"), "{error:?}");
        }
    }

    #[test]
    fn a_target_shows_no_password() {
        let target = parse("postgres://u:canary@h/d?sslmode=disable").unwrap();
        assert!(!format!("{target:?}").contains("canary"));
    }
}
