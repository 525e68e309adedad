//! What the product is told at start: flags, each with an environment variable. Nothing else reads the environment.

pub mod api;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use clap::builder::{StringValueParser, TypedValueParser as _};
use secrecy::SecretString;

use crate::registry::route::Pooling;
use crate::schema::{self, Migrations};
use crate::sql::session::Credentials;
use crate::sql::url;

/// Where the master database is.
#[derive(Args, Clone, Debug)]
pub struct Master {
    /// Master database, as `postgres://user:password@host:port/dailycare_master`. Prefer the file: other processes can read a process's environment.
    #[arg(long, env = "DAILYCARE_MASTER_URL", hide_env_values = true, value_parser = StringValueParser::new().map(SecretString::from), conflicts_with = "master_url_file")]
    pub master_url: Option<SecretString>,
    /// File that holds the master database's URL.
    #[arg(long, env = "DAILYCARE_MASTER_URL_FILE", required_unless_present = "master_url")]
    pub master_url_file: Option<PathBuf>,
}

/// Where the operator's sealing keys are.
#[derive(Args, Clone, Debug)]
pub struct Sealing {
    /// File with the keys that seal credentials in the master database: lines `key-id:base64 of 32 bytes`, the first one seals. The operator's alone: the API gets
    /// what `dailycare opening-keys` prints of it.
    #[arg(long, env = "DAILYCARE_SEALING_KEY_FILE")]
    pub sealing_key_file: PathBuf,
}

/// Settings of `dailycare operator` and `dailycare plan`.
#[derive(Args, Clone, Debug)]
pub struct Config {
    #[command(flatten)]
    master: Master,
    #[command(flatten)]
    sealing: Sealing,
    /// Namespace that holds the admin Secrets of servers and the leader Lease; not that of a School.
    #[arg(
        id = "operator_namespace",
        long = "operator-namespace",
        env = "DAILYCARE_OPERATOR_NAMESPACE",
        default_value = "dailycare-system"
    )]
    pub namespace: String,
    /// Directory with the tenant schema's migrations, instead of those built in.
    #[arg(long, env = "DAILYCARE_SCHEMA_DIR")]
    pub schema_dir: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) pooling: PoolDefaults,
}

/// How the API pools schools' connections: what every school's row in the registry says of it, beside the School's own connection limit.
#[derive(Args, Clone, Copy, Debug)]
pub struct PoolDefaults {
    /// Seconds that the API may take to connect to a school's database; no longer than its `--connect-timeout-milliseconds`.
    #[arg(long, env = "DAILYCARE_CONNECT_TIMEOUT_SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u16).range(1..=3600))]
    pub connect_timeout_seconds: u16,
    /// Seconds that a statement of the API may take; no longer than its `--request-seconds`.
    #[arg(long, env = "DAILYCARE_COMMAND_TIMEOUT_SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u16).range(1..=3600))]
    pub command_timeout_seconds: u16,
    /// Whether the API keeps connections for the next request.
    #[arg(long, env = "DAILYCARE_POOLING", default_value_t = true, action = clap::ArgAction::Set)]
    pub pooling: bool,
}

impl PoolDefaults {
    /// As the registry holds them.
    #[must_use]
    pub fn settings(self) -> Pooling {
        let Self { connect_timeout_seconds, command_timeout_seconds, pooling: enabled } = self;
        Pooling { connect_timeout_seconds, command_timeout_seconds, enabled }
    }
}

/// Settings of `dailycare operator` alone.
#[derive(Args, Clone, Debug)]
pub struct Running {
    /// File with the URL by which the API reaches the master database, the one that `dailycare api` mounts: its login is made, or gets that password, at start.
    #[arg(long, env = "DAILYCARE_API_URL_FILE")]
    pub api_url_file: Option<PathBuf>,
    /// Address of `/healthz`, `/readyz` and `/metrics`.
    #[arg(long, env = "DAILYCARE_HTTP_ADDRESS", default_value = "0.0.0.0:8080")]
    pub http_address: SocketAddr,
    /// Schools worked on at once for each server.
    #[arg(long, env = "DAILYCARE_CONCURRENCY", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub concurrency: u16,
    /// How often every School is looked at although nothing happened, in seconds.
    #[arg(long, env = "DAILYCARE_RESYNC_SECONDS", default_value = "600", value_parser = parse_seconds)]
    pub resync: Duration,
    /// How long progress is awaited before a School or server counts as stalled, in seconds.
    #[arg(long, env = "DAILYCARE_PROGRESS_DEADLINE_SECONDS", default_value = "600", value_parser = parse_seconds)]
    pub progress_deadline: Duration,
    /// This process's name in the Lease and in Events; in a pod, the pod's name.
    #[arg(long, env = "HOSTNAME", default_value = "dailycare")]
    pub instance: String,
    /// Work without a leader Lease. Only where no second operator can run.
    #[arg(long, env = "DAILYCARE_NO_LEADER_ELECTION")]
    pub no_leader_election: bool,
}

/// A setting that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file could not be read.
    #[error("reading {what} from {path} failed")]
    File {
        /// What the file holds.
        what: &'static str,
        /// Where it is.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Neither the URL nor its file was given.
    #[error("give --master-url-file or --master-url")]
    NoMasterUrl,
    /// The master database's URL.
    #[error("the master database's URL cannot be used")]
    MasterUrl(#[source] url::Error),
    /// The URL that the API's login is taken from.
    #[error("the API's URL of the master database cannot be used")]
    ApiUrl(#[source] url::Error),
    /// The tenant schema's migrations.
    #[error("the tenant schema cannot be used")]
    Schema(#[source] schema::Error),
    /// Some of the external issuer's settings were given, and not all.
    #[error("an external issuer needs --external-issuer, --external-jwks-url and --external-audience, all three")]
    ExternalIssuer,
}

impl Master {
    /// Where it is.
    ///
    /// # Errors
    /// When it was not given, its file cannot be read, or it is no usable URL.
    pub async fn target(&self) -> Result<url::Target, Error> {
        let url = match (&self.master_url, &self.master_url_file) {
            (Some(url), _) => url.clone(),
            (None, Some(path)) => read("the master database's URL", path).await?,
            (None, None) => return Err(Error::NoMasterUrl),
        };
        url::Target::parse(&url).map_err(Error::MasterUrl)
    }
}

impl Sealing {
    /// The sealing keys' file.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn keys(&self) -> Result<SecretString, Error> {
        read("the sealing keys", &self.sealing_key_file).await
    }
}

impl Config {
    /// Where the master database is.
    ///
    /// # Errors
    /// As [`Master::target`].
    pub async fn master(&self) -> Result<url::Target, Error> {
        self.master.target().await
    }

    /// The sealing keys' file.
    ///
    /// # Errors
    /// As [`Sealing::keys`].
    pub async fn sealing_keys(&self) -> Result<SecretString, Error> {
        self.sealing.keys().await
    }

    /// The tenant schema's migrations.
    ///
    /// # Errors
    /// When the directory given holds none, or they are not numbered without gaps.
    pub fn migrations(&self) -> Result<Migrations, Error> {
        self.schema_dir
            .as_deref()
            .map_or_else(Migrations::tenant, |path| Migrations::from_dir(schema::Kind::Tenant, path))
            .map_err(Error::Schema)
    }
}

impl Running {
    /// The API's login to the master database, if it is to be made here. Where its URL leads is the API's affair.
    ///
    /// # Errors
    /// When its file cannot be read or holds no usable URL.
    pub async fn api_login(&self) -> Result<Option<Credentials>, Error> {
        let Some(path) = &self.api_url_file else { return Ok(None) };
        let url = read("the API's URL of the master database", path).await?;
        url::Target::parse(&url).map(|target| Some(target.credentials)).map_err(Error::ApiUrl)
    }
}

async fn read(what: &'static str, path: &std::path::Path) -> Result<SecretString, Error> {
    let text = tokio::fs::read_to_string(path).await;
    text.map(SecretString::from).map_err(|source| Error::File { what, path: path.to_owned(), source })
}

fn parse_seconds(text: &str) -> Result<Duration, String> {
    match text.parse() {
        Ok(seconds @ 1..=86_400) => Ok(Duration::from_secs(seconds)),
        _ => Err("give whole seconds, 1 to 86400".to_owned()),
    }
}
