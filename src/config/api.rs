//! What `dailycare api` is told at start.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use clap::builder::{StringValueParser, TypedValueParser as _};
use ipnet::IpNet;
use secrecy::SecretString;

use super::{Error, Master, parse_seconds, read};
use crate::api::identity::Subject;

/// Settings of `dailycare api`.
#[derive(Args, Clone, Debug)]
#[group(id = "api_settings")]
pub struct Api {
    #[command(flatten)]
    pub(crate) master: Master,
    /// File with the keys that open sealed credentials in the master database, as `dailycare opening-keys` prints them of the operator's sealing keys, which are
    /// refused here; read again when a school names a key that it does not hold.
    #[arg(long, env = "DAILYCARE_OPENING_KEY_FILE")]
    pub opening_key_file: PathBuf,
    /// Address of the API.
    #[arg(long, env = "DAILYCARE_API_ADDRESS", default_value = "0.0.0.0:8000")]
    pub address: SocketAddr,
    /// Address of `/healthz`, `/readyz` and `/metrics`.
    #[arg(long, env = "DAILYCARE_HTTP_ADDRESS", default_value = "0.0.0.0:8080")]
    pub http_address: SocketAddr,
    #[command(flatten)]
    pub(crate) tokens: Tokens,
    #[command(flatten)]
    pub(crate) connections: Connections,
    #[command(flatten)]
    pub(crate) cache: Redis,
    #[command(flatten)]
    pub(crate) edge: Edge,
}

/// Tokens: our own, and an external issuer's.
#[derive(Args, Clone, Debug)]
pub struct Tokens {
    /// File with the keys that sign tokens: lines `key-id:base64 of a 32-byte Ed25519 seed`, the first one signs; read again when it changes. `dailycare
    /// signing-key` makes one.
    #[arg(long, env = "DAILYCARE_SIGNING_KEY_FILE")]
    pub signing_key_file: PathBuf,
    /// What our tokens name as their issuer; its `/.well-known/jwks.json` has the keys.
    #[arg(long, env = "DAILYCARE_ISSUER", default_value = "https://dailycare.local")]
    pub issuer: String,
    /// Life of an access token, in seconds: from a minute to an hour.
    #[arg(long, env = "DAILYCARE_ACCESS_TOKEN_SECONDS", default_value = "900", value_parser = parse_access_token)]
    pub access_token: Duration,
    /// An external issuer whose tokens are accepted too, as its tokens name it.
    #[arg(long, env = "DAILYCARE_EXTERNAL_ISSUER")]
    pub external_issuer: Option<String>,
    /// Where its keys are; https, or http on loopback.
    #[arg(long, env = "DAILYCARE_EXTERNAL_JWKS_URL")]
    pub external_jwks_url: Option<String>,
    /// The audience that its tokens must name.
    #[arg(long, env = "DAILYCARE_EXTERNAL_AUDIENCE")]
    pub external_audience: Option<String>,
    /// What its tokens' `sub` is here.
    #[arg(long, env = "DAILYCARE_EXTERNAL_SUBJECT", value_enum, default_value_t)]
    pub external_subject: Subject,
}

/// Connections to schools' databases. What a school's own row says of pooling goes before none of these bounds.
#[derive(Args, Clone, Debug)]
pub struct Connections {
    /// Connections that this process may have open to one server; what the server allows, divided by the replicas.
    #[arg(long, env = "DAILYCARE_SERVER_BUDGET", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub server_budget: u32,
    /// Connections that one school may have of them.
    #[arg(long, env = "DAILYCARE_TENANT_CONNECTIONS", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub tenant_connections: u32,
    /// How long a request waits for a connection, in milliseconds.
    #[arg(long, env = "DAILYCARE_CONNECTION_WAIT_MILLISECONDS", default_value_t = 250, value_parser = clap::value_parser!(u64).range(1..=60_000))]
    pub connection_wait_milliseconds: u64,
    /// The most that connecting to a school's database may take once there is a place for it, in milliseconds; a school's own connect timeout counts when
    /// it is shorter.
    #[arg(long, env = "DAILYCARE_CONNECT_TIMEOUT_MILLISECONDS", default_value_t = 3_000, value_parser = clap::value_parser!(u64).range(1..=3_600_000))]
    pub connect_timeout_milliseconds: u64,
}

/// The cache.
#[derive(Args, Clone, Debug)]
pub struct Redis {
    /// Redis, as `redis://…` or `rediss://…`; without it nothing is cached outside this process. Prefer the file.
    #[arg(long, env = "DAILYCARE_REDIS_URL", hide_env_values = true, value_parser = StringValueParser::new().map(SecretString::from), conflicts_with = "redis_url_file")]
    pub redis_url: Option<SecretString>,
    /// File that holds Redis' URL.
    #[arg(long, env = "DAILYCARE_REDIS_URL_FILE")]
    pub redis_url_file: Option<PathBuf>,
    /// How long values are kept, in seconds.
    #[arg(long, env = "DAILYCARE_CACHE_SECONDS", default_value = "3600", value_parser = parse_seconds)]
    pub cache_ttl: Duration,
}

/// What surrounds the routes.
#[derive(Args, Clone, Debug)]
pub struct Edge {
    /// Origins whose pages may call the API from a browser, as browsers send them; repeat or separate by commas. None unless given.
    #[arg(long = "cors-origin", env = "DAILYCARE_CORS_ORIGINS", value_delimiter = ',')]
    pub cors_origins: Vec<String>,
    /// Networks of proxies whose X-Forwarded-For is believed; repeat or separate by commas.
    #[arg(long = "trusted-proxy", env = "DAILYCARE_TRUSTED_PROXIES", value_delimiter = ',')]
    pub trusted_proxies: Vec<IpNet>,
    /// Tells browsers to use nothing but TLS, for a year. Only where TLS ends in front of the API.
    #[arg(long, env = "DAILYCARE_STRICT_TRANSPORT")]
    pub strict_transport: bool,
    /// Requests per second that one school may make of this process, over time.
    #[arg(long, env = "DAILYCARE_TENANT_RATE", default_value = "200")]
    pub tenant_rate: NonZeroU32,
    /// Requests that one school may make at once after a silence.
    #[arg(long, env = "DAILYCARE_TENANT_BURST", default_value = "400")]
    pub tenant_burst: NonZeroU32,
    /// The most that a request may take, in seconds, and so any of its statements; a school's own command timeout counts when it is shorter.
    #[arg(long, env = "DAILYCARE_REQUEST_SECONDS", default_value_t = 70, value_parser = clap::value_parser!(u64).range(1..=3_700))]
    pub request_seconds: u64,
    /// How long requests are still taken after SIGTERM, in seconds, so that load balancers notice first.
    #[arg(long, env = "DAILYCARE_GRACE_SECONDS", default_value_t = 5, value_parser = clap::value_parser!(u64).range(0..=300))]
    pub grace_seconds: u64,
}

/// What `Identity` takes: what it would refuse later would be taken for a registry that does not answer, and waited for.
fn parse_access_token(text: &str) -> Result<Duration, String> {
    let life = parse_seconds(text)?;
    if (60..=3600).contains(&life.as_secs()) { Ok(life) } else { Err("is not from 60 to 3600".to_owned()) }
}

impl Api {
    /// The opening keys' file.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn opening_keys(&self) -> Result<SecretString, Error> {
        read("the opening keys", &self.opening_key_file).await
    }
}

impl Redis {
    /// Redis' URL, if one was given.
    ///
    /// # Errors
    /// When its file cannot be read.
    pub async fn url(&self) -> Result<Option<SecretString>, Error> {
        let from = async |path: &Path| read("Redis' URL", path).await;
        match (&self.redis_url, &self.redis_url_file) {
            (Some(url), _) => Ok(Some(url.clone())),
            (None, Some(path)) => from(path).await.map(Some),
            (None, None) => Ok(None),
        }
    }
}
