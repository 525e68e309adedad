//! The operator as its own process, told where to work: for tests that kill it, read its log or watch it from outside.
//!
//! Must not link the operator: it runs the program.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::error::Doing;
use super::process::{Launch, Process};
use super::scratch::Scratch;
use super::{Lifetime, Result};

/// How long a stop in order, or an end for another reason, may take on a loaded machine. The operator's own grace is much shorter.
const PATIENCE: Duration = Duration::from_mins(3);

/// A running operator, or one that was running.
#[derive(Debug)]
pub struct Operator {
    process: Process,
    directory: Scratch,
}

/// What an operator is told.
#[derive(Clone, Debug)]
pub struct OperatorOptions {
    /// The program.
    pub binary: PathBuf,
    /// Whose API server, and as whom.
    pub kubeconfig: PathBuf,
    /// The master database's URL.
    pub master_url: String,
    /// The sealing keys, the contents of the file.
    pub sealing_keys: String,
    /// More arguments.
    pub arguments: Vec<String>,
    /// More environment.
    pub environment: Vec<(String, String)>,
}

impl Operator {
    /// Starts it; that it runs does not mean that it leads.
    ///
    /// # Errors
    /// When the program cannot be started or a file cannot be written.
    pub fn start(options: &OperatorOptions) -> Result<Self> {
        let directory = Scratch::create("operator")?;
        let keys = directory.path().join("sealing-keys");
        fs::write(&keys, &options.sealing_keys).doing(|| format!("write {}", keys.display()))?;
        let mut argv: Vec<OsString> = vec!["env".into()];
        let set = |name: &str, value: &std::ffi::OsStr| {
            let mut pair = OsString::from(format!("{name}="));
            pair.push(value);
            pair
        };
        argv.push(set("KUBECONFIG", options.kubeconfig.as_os_str()));
        argv.push(set("DAILYCARE_MASTER_URL", options.master_url.as_ref()));
        argv.push(set("DAILYCARE_SEALING_KEY_FILE", keys.as_os_str()));
        argv.push("DAILYCARE_HTTP_ADDRESS=127.0.0.1:0".into());
        argv.extend(options.environment.iter().map(|(name, value)| set(name, value.as_ref())));
        argv.push(options.binary.clone().into());
        argv.push("operator".into());
        argv.extend(options.arguments.iter().map(OsString::from));
        let launch = Launch {
            name: "operator",
            argv,
            log: directory.path().join("operator.log"),
            record: directory.path().join("operator.pid"),
            lifetime: Lifetime::Test,
            stop: "TERM",
            abandon: "KILL",
        };
        Ok(Self { process: Process::start(launch)?, directory })
    }

    /// Everything it has said so far.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    /// Where it writes what it says.
    #[must_use]
    pub fn log_path(&self) -> PathBuf {
        self.directory.path().join("operator.log")
    }

    /// Where `/healthz`, `/readyz` and `/metrics` are; none until it listens.
    #[must_use]
    pub fn http_address(&self) -> Option<String> {
        let log = self.log();
        let (_, rest) = log.split_once("listening address=Some(")?;
        rest.split_once(')').map(|(address, _)| address.to_owned())
    }

    /// Its process.
    #[must_use]
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Ends it as a power cut would.
    ///
    /// # Errors
    /// When it is not gone after seconds.
    pub async fn kill9(&mut self) -> Result<()> {
        self.process.kill().await
    }

    /// Ends it in order.
    ///
    /// # Errors
    /// When it is not gone, even by force.
    pub async fn stop(&mut self) -> Result<()> {
        self.process.stop(PATIENCE).await
    }

    /// Waits until it has ended, for whatever reason, and returns its exit status as a shell tells it: 134 after an abort, 137 after SIGKILL.
    ///
    /// # Errors
    /// When it still runs after minutes.
    pub async fn ended(&mut self) -> Result<Option<i32>> {
        self.process.ended(PATIENCE).await
    }

    /// Starts it again with the same settings; it must have ended.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start_again(&mut self) -> Result<()> {
        self.process.start_again()
    }

    /// Its directory, for a test that keeps files beside it.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }
}
