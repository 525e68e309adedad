//! A private PostgreSQL server: started from a prepared copy in well under a second, killed, paused and started again at will.
//!
//! Must not know the product.

mod guard;
mod identity;
mod options;
mod template;
mod upgrade;

use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use postgres_protocol::password::scram_sha_256;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection};

pub use self::guard::Refusal;
pub use self::options::{PostgresOptions, Version};
use super::account::Account;
use super::certificates::Certificates;
use super::command::{argv, run};
use super::error::Doing;
use super::port::Port;
use super::process::{Launch, signal_process};
use super::random::random_token;
use super::scratch::Scratch;
use super::{Lifetime, Process, Result, programs};

const HOST: &str = "127.0.0.1";
/// Crash recovery of a test's data takes a second; a loaded machine takes its time.
const PATIENCE: Duration = Duration::from_mins(3);
/// What a database's name may hold unescaped in a URL.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'_').remove(b'-').remove(b'.');

/// One running server with a superuser `postgres`. Dropping it ends it, unless it is [`Lifetime::Detached`].
#[derive(Debug)]
pub struct Postgres {
    process: Process,
    port: Port,
    version: Version,
    password: String,
    data: PathBuf,
    log: PathBuf,
    certificates: Option<Certificates>,
    // Dropped last: the server must have ended before its files go.
    _scratch: Option<Scratch>,
}

impl Postgres {
    /// Starts a server and returns when it accepts connections. A detached one that runs already in this directory is found again.
    ///
    /// # Errors
    /// When the programs are not installed, or the server does not start; then with the end of its log.
    pub async fn start(version: Version, options: PostgresOptions) -> Result<Self> {
        Self::start_from(None, version, options).await
    }

    /// Starts a server on a copy of data that `prepare` made once for this build of this program, and returns with it the notes that `prepare` made then. `recipe`
    /// names what is prepared.
    ///
    /// # Errors
    /// As [`Postgres::start`], or when `prepare` fails.
    pub async fn start_prepared(
        version: Version,
        options: PostgresOptions,
        recipe: &str,
        prepare: impl AsyncFnOnce(Self) -> Result<(Self, String)>,
    ) -> Result<(Self, String)> {
        let follow = async |directory: &Path| {
            let options = PostgresOptions { directory: Some(directory.to_owned()), ..PostgresOptions::default() };
            let (mut server, notes) = prepare(Self::start(version, options).await?).await?;
            server.stop().await.map(|()| notes)
        };
        let (template, notes) = Box::pin(template::prepared(version, &programs::cache(), recipe, follow)).await?;
        Ok((Self::start_from(Some(&template), version, options).await?, notes))
    }

    async fn start_from(template: Option<&Path>, version: Version, options: PostgresOptions) -> Result<Self> {
        let scratch = if options.directory.is_none() { Some(Scratch::create(version.name())?) } else { None };
        let directory = options.directory.clone().or_else(|| scratch.as_ref().map(|scratch| scratch.path().to_owned())).unwrap_or_default();
        fs::create_dir_all(&directory).doing(|| format!("create {}", directory.display()))?;
        let account = Account::unprivileged()?;
        let data = directory.join("data");
        let password = template::instantiate(version, &account, &programs::cache(), template, &directory).await?;
        let program = programs::postgres_bin(version.name())?.join("postgres");
        let launch = launch(version, &directory, options.lifetime, account.run(argv![program, "-D", data]));
        let certificates = if options.tls { Some(Certificates::in_directory(&directory).await?) } else { None };
        let recorded = recorded_port(&directory);
        let (process, port) = if let Some((process, number)) = Process::find(launch.clone()).zip(recorded) {
            (process, Port::in_use(number))
        } else {
            let port = Port::prefer(recorded)?;
            configure(&directory, &account, &options, port.number(), certificates.as_ref()).await?;
            (Process::start(launch)?, port)
        };
        let mut server = Self { process, port, version, password, log: directory.join("log"), data, certificates, _scratch: scratch };
        server.until_ready().await?;
        Ok(server)
    }

    /// The process id of the server that a detached [`Postgres::start`] left running in `directory`, if it runs.
    #[must_use]
    pub fn detached(version: Version, directory: &Path) -> Option<u32> {
        find_detached(version, directory).map(|process| process.pid())
    }

    /// Ends that server. Its data stays. False when it does not run.
    ///
    /// # Errors
    /// When it cannot be ended.
    pub async fn stop_detached(version: Version, directory: &Path) -> Result<bool> {
        let Some(mut process) = find_detached(version, directory) else { return Ok(false) };
        process.stop(PATIENCE).await.map(|()| true)
    }

    /// A URL for the superuser `postgres`, password included: for connecting, not for printing.
    #[must_use]
    pub fn superuser_url(&self, database: &str) -> String {
        let Self { password, .. } = self;
        format!(
            "postgres://postgres:{password}@{HOST}:{port}/{database}",
            port = self.port(),
            database = utf8_percent_encode(database, PLAIN)
        )
    }

    /// The superuser's password.
    #[must_use]
    pub fn superuser_password(&self) -> &str {
        &self.password
    }

    /// The address that it listens on, and its certificate's name.
    #[must_use]
    pub fn host(&self) -> &'static str {
        HOST
    }

    /// The port, which stays the same over [`Postgres::start_again`].
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// Its version.
    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }

    /// The postmaster's process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Everything that it logged, over all its starts.
    #[must_use]
    pub fn log_path(&self) -> &Path {
        &self.log
    }

    /// The certificate that clients must trust, in PEM form; `None` without TLS.
    #[must_use]
    pub fn ca_path(&self) -> Option<&Path> {
        self.certificates.as_ref().map(|certificates| certificates.authority.as_path())
    }

    /// Makes a login that may create databases and roles and is no superuser, as hosted PostgreSQL gives to its customers. Returns
    /// its password, of which the server was sent only the SCRAM verifier.
    ///
    /// # Errors
    /// When the server refuses, for example because the role exists.
    pub async fn create_plain_admin(&self, name: &str) -> Result<String> {
        let password = random_token()?;
        let mut statement = String::from("CREATE ROLE \"");
        // Writing to a string cannot fail.
        let _ = write!(statement, "{}\" LOGIN CREATEDB CREATEROLE NOSUPERUSER PASSWORD '", name.replace('"', "\"\""));
        statement += &scram_sha_256(password.as_bytes());
        statement.push('\'');
        let mut connection = self.connect("postgres").await?;
        sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut connection).await.doing(|| format!("create role {name}"))?;
        let _ = connection.close().await;
        Ok(password)
    }

    /// Shuts down in order (checkpoint, sessions ended) and returns when the server is gone. Its data stays for
    /// [`Postgres::start_again`].
    ///
    /// # Errors
    /// When it cannot be ended.
    pub async fn stop(&mut self) -> Result<()> {
        // The postmaster waits for its sessions, which cannot end while they are paused. That it has ended already is no error here.
        let _ = self.resume();
        self.process.stop(PATIENCE).await
    }

    /// Ends the postmaster and all its children as a power cut would, and returns when they are gone.
    ///
    /// # Errors
    /// When it cannot be ended.
    pub async fn kill9(&mut self) -> Result<()> {
        // Stopped first, so that it neither starts another child nor notices the death of one and says goodbye to the others.
        self.process.pause()?;
        for child in children(self.pid()) {
            signal_process(child, "KILL");
        }
        self.process.kill().await
    }

    /// Starts the server again after [`Postgres::stop`] or [`Postgres::kill9`]: same data, same port, same passwords.
    ///
    /// # Errors
    /// When it does not become ready; then with the end of its log.
    pub async fn start_again(&mut self) -> Result<()> {
        self.process.start_again()?;
        self.until_ready().await
    }

    /// Freezes the server with all its sessions: connections stay open and nothing answers, like a machine that hangs.
    ///
    /// # Errors
    /// When it does not run.
    pub fn pause(&self) -> Result<()> {
        self.process.pause()?;
        for child in children(self.pid()) {
            signal_process(child, "STOP");
        }
        Ok(())
    }

    /// Lets it go on after [`Postgres::pause`].
    ///
    /// # Errors
    /// When it does not run.
    pub fn resume(&self) -> Result<()> {
        for child in children(self.pid()) {
            signal_process(child, "CONT");
        }
        self.process.resume()
    }

    async fn connect(&self, database: &str) -> Result<PgConnection> {
        let options = PgConnectOptions::new_without_pgpass().host(HOST).port(self.port()).database(database);
        let options = options.username("postgres").password(&self.password).disable_statement_logging();
        options.connect().await.doing(|| format!("connect to database {database}"))
    }

    /// The server itself says in its lock file when it accepts connections, which costs no failed logins in its log.
    async fn until_ready(&mut self) -> Result<()> {
        let (file, pid) = (self.data.join("postmaster.pid"), self.pid().to_string());
        let ready = async || {
            let text = fs::read_to_string(&file).unwrap_or_default();
            let mut lines = text.lines().map(str::trim);
            lines.next() == Some(pid.as_str()) && matches!(lines.nth(6), Some("ready" | "standby"))
        };
        self.process.until("ready for connections", PATIENCE, ready).await
    }
}

fn launch(version: Version, directory: &Path, lifetime: Lifetime, argv: Vec<OsString>) -> Launch {
    Launch {
        name: version.name(),
        argv,
        log: directory.join("log"),
        record: directory.join("pid"),
        lifetime,
        // Fast shutdown on order, immediate shutdown when orphaned: both free the shared memory, which KILL would leave behind.
        stop: "INT",
        abandon: "QUIT",
    }
}

fn find_detached(version: Version, directory: &Path) -> Option<Process> {
    Process::find(launch(version, directory, Lifetime::Detached, Vec::new()))
}

/// Writes the settings of this start. They stand in a file of their own that the copied `postgresql.conf` includes, so that a test's
/// `ALTER SYSTEM` goes before them as it would anywhere else.
async fn configure(
    directory: &Path,
    account: &Account,
    options: &PostgresOptions,
    port: u16,
    certificates: Option<&Certificates>,
) -> Result<()> {
    let data = directory.join("data");
    let mut settings = options.lines(port);
    if let Some(Certificates { certificate, key, .. }) = certificates {
        // The server accepts a key only as its own file with mode 0600, which `install` makes as the server's account.
        for (file, name) in [(certificate, "server.crt"), (key, "server.key")] {
            let copy = data.join(name);
            run(argv!["install", "-m", "0600", file, copy]).await?;
            account.own(&copy)?;
        }
        settings += "ssl = on\n";
    }
    fs::write(data.join("private.conf"), settings).doing(|| "write private.conf".into())?;
    fs::write(directory.join("port"), port.to_string()).doing(|| "write port".into())
}

fn recorded_port(directory: &Path) -> Option<u16> {
    fs::read_to_string(directory.join("port")).ok()?.trim().parse().ok()
}

/// The processes whose parent is `pid`. They have sessions of their own, so no signal to a group reaches them.
fn children(pid: u32) -> Vec<u32> {
    let parent = |stat: &str| stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse::<u32>().ok();
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|child| fs::read_to_string(format!("/proc/{child}/stat")).is_ok_and(|stat| parent(&stat) == Some(pid))).collect()
}
