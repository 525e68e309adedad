//! Why a server could not be started, driven or stopped. It says where the log is and how it ends: a failed start is read in a
//! test's output, not in the debugger.
//!
//! Must not print.

use std::error::Error as _;
use std::path::PathBuf;
use std::{fmt, io};

/// The result of everything in [`crate`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A failure of the machinery around a test, never of the product.
#[derive(thiserror::Error)]
pub enum Error {
    /// The cache has no such program.
    #[error("{program} is not installed ({path} is missing); `dev/install {thing}` makes it", path = path.display())]
    NotInstalled {
        /// The program that was looked for.
        program: &'static str,
        /// What `dev/install` calls the thing that it belongs to.
        thing: &'static str,
        /// Where it should be.
        path: PathBuf,
    },
    /// A server ended, or did not become ready in time.
    #[error("start {name}: {why}\n--- the end of {log} ---\n{tail}\n---", log = log.display())]
    NotStarted {
        /// The server.
        name: &'static str,
        /// What was awaited and did not come.
        why: String,
        /// Its whole log.
        log: PathBuf,
        /// The last lines of the log.
        tail: String,
    },
    /// A process survived even SIGKILL, or could not be signalled.
    #[error("stop {name} (process {pid}): it is still there")]
    NotStopped {
        /// The server.
        name: &'static str,
        /// Its process id.
        pid: u32,
    },
    /// A program that should do its work and end has failed.
    #[error("run {program}: {status}\n{stderr}")]
    Command {
        /// The program.
        program: String,
        /// How it ended.
        status: std::process::ExitStatus,
        /// What it said.
        stderr: String,
    },
    /// No port could be reserved.
    #[error("no free port on the loopback address among {tried} tried")]
    NoPort {
        /// How many were tried.
        tried: u32,
    },
    /// A file or process operation failed.
    #[error("{doing}")]
    Io {
        /// What was being done.
        doing: String,
        /// Why it failed.
        source: io::Error,
    },
    /// The API server refused or did not answer.
    #[error("{doing}")]
    Kubernetes {
        /// What was being done.
        doing: String,
        /// Why it failed.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// PostgreSQL refused or did not answer.
    #[error("{doing}")]
    Sql {
        /// What was being done.
        doing: String,
        /// Why it failed.
        source: sqlx::Error,
    },
    /// A part of the product that a test's ground is made with failed.
    #[error("preparing the ground of a test with the product's own parts")]
    Product(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl Error {
    /// What a part of the product failed with.
    pub(super) fn product(source: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::Product(Box::new(source))
    }
}

/// The readable chain: tests `unwrap`, which prints this, and a log's lines in one escaped string help nobody.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")?;
        let mut cause = self.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

/// Names what was being done when an I/O error came.
pub(super) trait Doing<T> {
    /// `doing` is an infinitive phrase without a full stop: `write /x/kubeconfig`.
    fn doing(self, doing: impl FnOnce() -> String) -> Result<T>;
}

impl<T> Doing<T> for io::Result<T> {
    fn doing(self, doing: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|source| Error::Io { doing: doing(), source })
    }
}

impl<T> Doing<T> for std::result::Result<T, sqlx::Error> {
    fn doing(self, doing: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|source| Error::Sql { doing: doing(), source })
    }
}

impl<T> Doing<T> for std::result::Result<T, kube::Error> {
    fn doing(self, doing: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|source| Error::Kubernetes { doing: doing(), source: source.into() })
    }
}
