//! A PostgreSQL module that refuses SCRAM verifiers, compiled by the C compiler that links Rust programs, with the headers of the pinned PostgreSQL 18.
//!
//! Must not be loaded into a server of another version.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use crate::command::{argv, run};
use crate::error::{Doing, Error};
use crate::programs;
use crate::{PostgresOptions, Result, Version};

const SOURCE: &str = include_str!("guard.c");

/// When a server refuses the verifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// In the statement, with SQLSTATE 28000: credcheck.
    InStatement,
    /// When the transaction commits, with SQLSTATE XX000: Neon and Lakebase.
    AtCommit,
}

impl PostgresOptions {
    /// These options and a module that refuses SCRAM verifiers, for version 18. The module is compiled into `directory`, which must outlive the server.
    ///
    /// # Errors
    /// When there is no C compiler, or the headers are not installed.
    pub async fn refusing_verifiers(self, refusal: Refusal, directory: &Path) -> Result<Self> {
        let headers = headers()?;
        let (source, module) = (directory.join("guard.c"), directory.join("guard.so"));
        fs::write(&source, SOURCE).doing(|| format!("write {}", source.display()))?;
        run(argv!["cc", "-O1", "-shared", "-fPIC", "-I", headers, "-o", module, source]).await?;
        // The server runs as another account.
        for path in [directory, module.as_path()] {
            fs::set_permissions(path, fs::Permissions::from_mode(0o755)).doing(|| format!("open {}", path.display()))?;
        }
        let at_commit = if refusal == Refusal::AtCommit { "on" } else { "off" };
        Ok(self.with("shared_preload_libraries", &module.display().to_string()).with("guard.at_commit", at_commit))
    }
}

fn headers() -> Result<PathBuf> {
    let bin = programs::postgres_bin(Version::V18.name())?;
    let real = bin.join("postgres").canonicalize().unwrap_or_else(|_| bin.join("postgres"));
    let path = real.parent().and_then(|bin| bin.parent()).map(|root| root.join("include/server")).unwrap_or_default();
    if path.join("postgres.h").exists() {
        Ok(path)
    } else {
        Err(Error::NotInstalled { program: "postgres.h", thing: "postgresql-18", path })
    }
}
