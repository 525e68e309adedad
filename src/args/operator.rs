//! Flags of `dailycare operator`, `dailycare plan` and `dailycare server`.
//!
//! Must not open a connection; it turns flags, and the files that they name, into settings.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use operator::controller::preview;
use operator::controller::run::{MasterAccess, Settings};
use operator::controller::timing::Timing;
use postgres::schema::{self, Migrations};
use postgres::session::Credentials;
use postgres::url::Target;
use provisioning::master::keyring::Keyring;
use provisioning::master::tenants::PoolDefaults;

use super::{Error, MasterArgs, SealingArgs, parse_seconds, read};

/// What `dailycare operator`, `dailycare plan` and `dailycare server` have in common.
#[derive(Args, Clone, Debug)]
pub(crate) struct CommonArgs {
    #[command(flatten)]
    master: MasterArgs,
    #[command(flatten)]
    sealing: SealingArgs,
    /// Namespace of the servers' admin and CA Secrets and of the leader Lease. Schools live in other namespaces.
    #[arg(
        id = "operator_namespace",
        long = "operator-namespace",
        env = "DAILYCARE_OPERATOR_NAMESPACE",
        default_value = "dailycare-system"
    )]
    namespace: String,
    /// Directory with the tenant schema's migrations, to use instead of the built-in ones.
    #[arg(long, env = "DAILYCARE_SCHEMA_DIR")]
    schema_dir: Option<PathBuf>,
    #[command(flatten)]
    pooling: PoolArgs,
}

/// How the API pools schools' connections. The operator writes it into every school's row of the registry, beside the School's own connection limit.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct PoolArgs {
    /// Seconds that the API may take to connect to a school's database, 1 to 3600; the API's own `--connect-timeout-milliseconds` bounds it.
    #[arg(long, env = "DAILYCARE_CONNECT_TIMEOUT_SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u16).range(1..=3600))]
    connect_timeout_seconds: u16,
    /// Seconds that a statement of the API may take, 1 to 3600; the API's own `--request-seconds` bounds it.
    #[arg(long, env = "DAILYCARE_COMMAND_TIMEOUT_SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u16).range(1..=3600))]
    command_timeout_seconds: u16,
    /// Whether the API keeps connections for the next request.
    #[arg(long, env = "DAILYCARE_POOLING", default_value_t = true, action = clap::ArgAction::Set)]
    pooling: bool,
}

impl PoolArgs {
    /// As the registry holds them.
    fn settings(self) -> PoolDefaults {
        let Self { connect_timeout_seconds, command_timeout_seconds, pooling: enabled } = self;
        PoolDefaults { connect_timeout_seconds, command_timeout_seconds, enabled }
    }
}

/// Settings of `dailycare operator`.
#[derive(Args, Clone, Debug)]
pub(crate) struct OperatorArgs {
    #[command(flatten)]
    common: CommonArgs,
    /// File with the URL by which the API reaches the master database, the one that `dailycare api` mounts. At start the operator creates that login, or gives it
    /// that password.
    #[arg(long, env = "DAILYCARE_API_URL_FILE")]
    api_url_file: Option<PathBuf>,
    /// Address of `/healthz`, `/readyz` and `/metrics`.
    #[arg(long, env = "DAILYCARE_HTTP_ADDRESS", default_value = "0.0.0.0:8080")]
    http_address: SocketAddr,
    /// Schools worked on at once for each server and kind of work, 1 to 64.
    #[arg(long, env = "DAILYCARE_CONCURRENCY", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=64))]
    concurrency: u16,
    /// Seconds after which every School is reconciled although nothing happened, 1 to 86400.
    #[arg(long, env = "DAILYCARE_RESYNC_SECONDS", default_value = "600", value_parser = parse_seconds)]
    resync: Duration,
    /// Seconds without progress after which a School or server counts as stalled, 1 to 86400.
    #[arg(long, env = "DAILYCARE_PROGRESS_DEADLINE_SECONDS", default_value = "600", value_parser = parse_seconds)]
    progress_deadline: Duration,
    /// This process's name in the Lease and in Events; in a pod, the pod's name.
    #[arg(long, env = "HOSTNAME", default_value = "dailycare")]
    instance: String,
    /// Work without a leader Lease. Only where no second operator can run.
    #[arg(long, env = "DAILYCARE_NO_LEADER_ELECTION")]
    no_leader_election: bool,
}

impl CommonArgs {
    /// Where the master database is.
    ///
    /// # Errors
    /// As [`MasterArgs::target`].
    async fn master(&self) -> Result<Target, Error> {
        self.master.target().await
    }

    /// The sealing keys.
    ///
    /// # Errors
    /// As [`SealingArgs::keyring`].
    async fn keyring(&self) -> Result<Keyring, Error> {
        self.sealing.keyring().await
    }

    /// The tenant schema's migrations.
    ///
    /// # Errors
    /// When the directory given holds none, or they are not numbered without gaps.
    fn migrations(&self) -> Result<Migrations, Error> {
        self.schema_dir
            .as_deref()
            .map_or_else(Migrations::tenant, |path| Migrations::from_dir(schema::Kind::Tenant, path))
            .map_err(Error::Schema)
    }

    /// How the API is to pool a school's connections.
    fn pooling(&self) -> PoolDefaults {
        self.pooling.settings()
    }

    /// Where to look, for a subcommand that runs no operator.
    ///
    /// # Errors
    /// When a file cannot be read or used.
    pub(crate) async fn preview(&self) -> Result<preview::Settings, Error> {
        Ok(preview::Settings {
            master: self.master().await?,
            keyring: self.keyring().await?,
            migrations: self.migrations()?,
            pooling: self.pooling.settings(),
            namespace: self.namespace.clone(),
        })
    }
}

impl OperatorArgs {
    /// The operator's settings.
    ///
    /// # Errors
    /// When a file cannot be read or used.
    pub(crate) async fn settings(&self) -> Result<Settings, Error> {
        let common = &self.common;
        // The schema first: it can be checked without anything else being right.
        let migrations = common.migrations()?;
        Ok(Settings {
            keyring: common.keyring().await?,
            migrations,
            pooling: common.pooling(),
            namespace: common.namespace.clone(),
            http_address: self.http_address,
            concurrency: self.concurrency,
            resync: self.resync,
            progress_deadline: self.progress_deadline,
            timing: Timing::of_process(),
            instance: self.instance.clone(),
            leader_election: !self.no_leader_election,
        })
    }

    /// How to reach the master database, as the files say it now.
    ///
    /// # Errors
    /// When a file cannot be read or holds no usable URL.
    pub(crate) async fn master_access(&self) -> Result<MasterAccess, Error> {
        Ok(MasterAccess { target: self.common.master().await?, api_login: self.api_login().await? })
    }

    /// The API's login to the master database, if it is to be made here. Where its URL leads is the API's affair.
    async fn api_login(&self) -> Result<Option<Credentials>, Error> {
        let Some(path) = &self.api_url_file else { return Ok(None) };
        let url = read("the API's URL of the master database", path).await?;
        Target::parse(&url).map(|target| Some(target.credentials)).map_err(Error::ApiUrl)
    }
}
