//! Where the pinned programs are. It only looks; `dev/install` is what fetches and builds them.
//!
//! Must not fetch anything.

use std::env;
use std::path::PathBuf;

use super::{Error, Result};

/// The same file that `dev/install` reads, so that the two never look for different versions.
const VERSIONS: &str = include_str!("../../../dev/versions");

/// The pinned kubectl.
///
/// # Errors
/// [`Error::NotInstalled`] when the cache does not have it.
pub fn kubectl() -> Result<PathBuf> {
    kubernetes("kubectl")
}

/// psql 18, which serves every server version; `pg_dump` and the other client programs are beside it.
///
/// # Errors
/// [`Error::NotInstalled`] when the cache does not have it.
pub fn psql() -> Result<PathBuf> {
    existing("psql", "postgresql-18", cache().join(format!("postgresql-{}", version("POSTGRESQL_18"))).join("bin/psql"))
}

/// Schemathesis, which tests an API by its own document.
///
/// # Errors
/// [`Error::NotInstalled`] when the cache does not have it.
pub fn schemathesis() -> Result<PathBuf> {
    existing("schemathesis", "schemathesis", cache().join(format!("schemathesis-{}", version("SCHEMATHESIS"))).join("schemathesis"))
}

/// One of Kubernetes' own programs, by its name.
pub(super) fn kubernetes(program: &'static str) -> Result<PathBuf> {
    existing(program, program, cache().join(format!("{program}-{}", version("KUBERNETES"))).join(program))
}

/// The etcd server.
pub(super) fn etcd() -> Result<PathBuf> {
    existing("etcd", "etcd", cache().join(format!("etcd-{}", version("ETCD"))).join("etcd"))
}

/// The server that speaks Redis' protocol.
pub(super) fn valkey() -> Result<PathBuf> {
    existing("valkey-server", "valkey", cache().join(format!("valkey-{}", version("VALKEY"))).join("valkey-server"))
}

/// The `bin` directory of a PostgreSQL server. An installed version 15 goes before the cached one, as in `dev/install`.
pub(super) fn postgres_bin(thing: &'static str) -> Result<PathBuf> {
    let (installed, key) = match thing {
        "postgresql-15" => (PathBuf::from("/usr/lib/postgresql/15/bin"), "POSTGRESQL_15"),
        "postgresql-14" => (PathBuf::new(), "POSTGRESQL_14"),
        _ => (PathBuf::new(), "POSTGRESQL_18"),
    };
    if installed.join("initdb").exists() {
        return Ok(installed);
    }
    let bin = cache().join(format!("postgresql-{}", version(key))).join("bin");
    existing("postgres", thing, bin.join("postgres"))?;
    Ok(bin)
}

/// The cache that all clones of this machine's user share.
pub(super) fn cache() -> PathBuf {
    let base = env::var_os("XDG_CACHE_HOME").filter(|path| !path.is_empty()).map(PathBuf::from);
    base.unwrap_or_else(|| PathBuf::from(env::var_os("HOME").unwrap_or_default()).join(".cache")).join("dailycare-dev")
}

fn existing(program: &'static str, thing: &'static str, path: PathBuf) -> Result<PathBuf> {
    if path.exists() { Ok(path) } else { Err(Error::NotInstalled { program, thing, path }) }
}

fn version(key: &str) -> &'static str {
    let value = |line: &'static str| line.split_once('=').filter(|(name, _)| *name == key).map(|(_, value)| value);
    VERSIONS.lines().find_map(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::version;

    #[test]
    fn every_program_has_a_pinned_version() {
        for key in ["KUBERNETES", "ETCD", "POSTGRESQL_18", "POSTGRESQL_15", "POSTGRESQL_14", "VALKEY", "SCHEMATHESIS"] {
            assert!(version(key).split('.').count() >= 3, "{key} is {:?}", version(key));
        }
    }
}
