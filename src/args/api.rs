//! Flags of `dailycare api`.
//!
//! Must not open a connection; it turns flags, and the files that they name, into settings.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use api::edge;
use api::identity::{self, External, Subject};
use api::settings::{AUDIENCE, Settings};
use clap::builder::{StringValueParser, TypedValueParser as _};
use clap::{Args, ValueEnum};
use ipnet::IpNet;
use secrecy::{ExposeSecret as _, SecretString};
use tenancy::limits::Quota;
use tenancy::{cache, pools};

use super::{Error, MasterArgs, parse_seconds, read};

/// Settings of `dailycare api`.
#[derive(Args, Clone, Debug)]
#[group(id = "api_settings")]
pub(crate) struct ApiArgs {
    #[command(flatten)]
    master: MasterArgs,
    /// File with the keys that open sealed credentials in the master database, as `dailycare opening-keys` prints them of the operator's sealing keys, which are
    /// refused here; read again when a school names a key that it does not hold.
    #[arg(long, env = "DAILYCARE_OPENING_KEY_FILE")]
    opening_key_file: PathBuf,
    /// Address of the API.
    #[arg(long, env = "DAILYCARE_API_ADDRESS", default_value = "0.0.0.0:8000")]
    address: SocketAddr,
    /// Address of `/healthz`, `/readyz` and `/metrics`.
    #[arg(long, env = "DAILYCARE_HTTP_ADDRESS", default_value = "0.0.0.0:8080")]
    http_address: SocketAddr,
    #[command(flatten)]
    tokens: TokenArgs,
    #[command(flatten)]
    connections: ConnectionArgs,
    #[command(flatten)]
    cache: CacheArgs,
    #[command(flatten)]
    edge: EdgeArgs,
}

/// Tokens: our own, and an external issuer's.
#[derive(Args, Clone, Debug)]
pub(crate) struct TokenArgs {
    /// File with the keys that sign tokens: lines `key-id:base64 of a 32-byte Ed25519 seed`, the first one signs; read again when it changes. `dailycare
    /// signing-key` makes one.
    #[arg(long, env = "DAILYCARE_SIGNING_KEY_FILE")]
    signing_key_file: PathBuf,
    /// What our tokens name as their issuer; its `/.well-known/jwks.json` has the keys.
    #[arg(long, env = "DAILYCARE_ISSUER", default_value = "https://dailycare.local")]
    issuer: String,
    /// Life of an access token, in seconds: from a minute to an hour.
    #[arg(long, env = "DAILYCARE_ACCESS_TOKEN_SECONDS", default_value = "900", value_parser = parse_access_token)]
    access_token: Duration,
    /// An external issuer whose tokens are accepted too, as its tokens name it.
    #[arg(long, env = "DAILYCARE_EXTERNAL_ISSUER")]
    external_issuer: Option<String>,
    /// Where its keys are; https, or http on loopback.
    #[arg(long, env = "DAILYCARE_EXTERNAL_JWKS_URL")]
    external_jwks_url: Option<String>,
    /// Its keys may be fetched by http from elsewhere too, as from a service of the same cluster. Whoever can change what travels there can let in anybody.
    #[arg(long, env = "DAILYCARE_EXTERNAL_JWKS_HTTP", requires = "external_jwks_url")]
    external_jwks_http: bool,
    /// File with the authorities (PEM) that the certificate of that address is checked against, instead of the usual ones.
    #[arg(long, env = "DAILYCARE_EXTERNAL_JWKS_CA_FILE", requires = "external_jwks_url")]
    external_jwks_ca_file: Option<PathBuf>,
    /// The audience that its tokens must name.
    #[arg(long, env = "DAILYCARE_EXTERNAL_AUDIENCE")]
    external_audience: Option<String>,
    /// What its tokens' `sub` is here.
    #[arg(long, env = "DAILYCARE_EXTERNAL_SUBJECT", value_enum, default_value_t)]
    external_subject: SubjectArg,
}

/// Connections to schools' databases. What a school's own row says of pooling goes before none of these bounds.
#[derive(Args, Clone, Debug)]
pub(crate) struct ConnectionArgs {
    /// Connections that this process may have open to one server; what the server allows, divided by the replicas.
    #[arg(long, env = "DAILYCARE_SERVER_BUDGET", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    server_budget: u32,
    /// Connections that one school may have of them.
    #[arg(long, env = "DAILYCARE_TENANT_CONNECTIONS", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    tenant_connections: u32,
    /// How long a request waits for a connection, in milliseconds; longer where opening one takes long: as long as four openings, but at most as long as
    /// connecting may take.
    #[arg(long, env = "DAILYCARE_CONNECTION_WAIT_MILLISECONDS", default_value_t = 250, value_parser = clap::value_parser!(u64).range(1..=60_000))]
    connection_wait_milliseconds: u64,
    /// The most that connecting to a school's database may take once there is a place for it, in milliseconds; a school's own connect timeout counts when
    /// it is shorter.
    #[arg(long, env = "DAILYCARE_CONNECT_TIMEOUT_MILLISECONDS", default_value_t = 3_000, value_parser = clap::value_parser!(u64).range(1..=3_600_000))]
    connect_timeout_milliseconds: u64,
}

/// The cache.
#[derive(Args, Clone, Debug)]
pub(crate) struct CacheArgs {
    /// Redis, as `redis://…` or `rediss://…`; without it nothing is cached outside this process. Prefer the file.
    #[arg(long, env = "DAILYCARE_REDIS_URL", hide_env_values = true, value_parser = StringValueParser::new().map(SecretString::from), conflicts_with = "redis_url_file")]
    redis_url: Option<SecretString>,
    /// File that holds Redis' URL.
    #[arg(long, env = "DAILYCARE_REDIS_URL_FILE")]
    redis_url_file: Option<PathBuf>,
    /// How long values are kept, in seconds.
    #[arg(long, env = "DAILYCARE_CACHE_SECONDS", default_value = "3600", value_parser = parse_seconds)]
    cache_ttl: Duration,
}

/// What surrounds the routes.
#[derive(Args, Clone, Debug)]
pub(crate) struct EdgeArgs {
    /// Origins whose pages may call the API from a browser, as browsers send them; repeat or separate by commas. None unless given.
    #[arg(long = "cors-origin", env = "DAILYCARE_CORS_ORIGINS", value_delimiter = ',')]
    cors_origins: Vec<String>,
    /// Networks of proxies whose X-Forwarded-For is believed; repeat or separate by commas.
    #[arg(long = "trusted-proxy", env = "DAILYCARE_TRUSTED_PROXIES", value_delimiter = ',')]
    trusted_proxies: Vec<IpNet>,
    /// Tells browsers to use nothing but TLS, for a year. Only where TLS ends in front of the API.
    #[arg(long, env = "DAILYCARE_STRICT_TRANSPORT")]
    strict_transport: bool,
    /// Requests per second that one school may make of this process, over time.
    #[arg(long, env = "DAILYCARE_TENANT_RATE", default_value = "200")]
    tenant_rate: NonZeroU32,
    /// Requests that one school may make at once after a silence.
    #[arg(long, env = "DAILYCARE_TENANT_BURST", default_value = "400")]
    tenant_burst: NonZeroU32,
    /// The most that a request may take, in seconds, and so any of its statements; a school's own command timeout counts when it is shorter.
    #[arg(long, env = "DAILYCARE_REQUEST_SECONDS", default_value_t = 70, value_parser = clap::value_parser!(u64).range(1..=3_700))]
    request_seconds: u64,
    /// How long requests are still taken after SIGTERM, in seconds, so that load balancers notice first.
    #[arg(long, env = "DAILYCARE_GRACE_SECONDS", default_value_t = 5, value_parser = clap::value_parser!(u64).range(0..=300))]
    grace_seconds: u64,
}

/// What `Identity` takes: what it would refuse later would be taken for a registry that does not answer, and waited for.
fn parse_access_token(text: &str) -> Result<Duration, String> {
    let life = parse_seconds(text)?;
    if (60..=3600).contains(&life.as_secs()) { Ok(life) } else { Err("is not from 60 to 3600".to_owned()) }
}

/// What the external issuer's `sub` is here, as the flag says it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum SubjectArg {
    /// The issuer's own name for a user: the user's id here is a UUID (version 5) of issuer and `sub`, which is no account's.
    #[default]
    Derived,
    /// The id of one of our accounts. Only for an issuer that lets nobody choose a `sub`: whoever has a token with an account's id is that account in its school.
    UserId,
}

impl From<SubjectArg> for Subject {
    fn from(subject: SubjectArg) -> Self {
        match subject {
            SubjectArg::Derived => Self::Derived,
            SubjectArg::UserId => Self::UserId,
        }
    }
}

/// A year.
const STRICT_TRANSPORT: Duration = Duration::from_hours(365 * 24);

impl ApiArgs {
    /// The API's settings.
    ///
    /// # Errors
    /// When a file cannot be read or used, or the external issuer's flags do not go together.
    pub(crate) async fn settings(&self) -> Result<Settings, Error> {
        Ok(Settings {
            address: self.address,
            http_address: self.http_address,
            master: self.master.target().await?,
            opening_key_file: self.opening_key_file.clone(),
            cache: self.cache.settings().await?,
            identity: self.tokens.settings().await?,
            pools: self.pool_limits(),
            quota: self.quota(),
            edge: self.edge.settings(),
            grace: Duration::from_secs(self.edge.grace_seconds),
        })
    }

    fn pool_limits(&self) -> pools::Limits {
        let connections = &self.connections;
        pools::Limits {
            server_budget: connections.server_budget,
            tenant_cap: connections.tenant_connections,
            wait: Duration::from_millis(connections.connection_wait_milliseconds),
            connect_timeout: Duration::from_millis(connections.connect_timeout_milliseconds),
            command_timeout: Duration::from_secs(self.edge.request_seconds),
            ..pools::Limits::default()
        }
    }

    fn quota(&self) -> Quota {
        let in_flight = self.connections.tenant_connections.saturating_mul(4);
        Quota { rate: self.edge.tenant_rate, burst: self.edge.tenant_burst, in_flight }
    }
}

impl TokenArgs {
    async fn settings(&self) -> Result<identity::Settings, Error> {
        let authority = match &self.external_jwks_ca_file {
            Some(path) => Some(read("the authorities of the issuer's keys", path).await?.expose_secret().as_bytes().to_vec()),
            None => None,
        };
        let (subject, insecure_http) = (self.external_subject.into(), self.external_jwks_http);
        let external = match (&self.external_issuer, &self.external_jwks_url, &self.external_audience) {
            (Some(issuer), Some(keys), Some(audience)) => {
                Some(External { subject, insecure_http, authority, ..External::new(issuer, keys, audience) })
            }
            (None, None, None) => None,
            _ => return Err(Error::ExternalIssuer),
        };
        let settings = identity::Settings::new(&self.issuer, AUDIENCE, &self.signing_key_file);
        Ok(identity::Settings { access_life: self.access_token, external, ..settings })
    }
}

impl CacheArgs {
    async fn settings(&self) -> Result<Option<cache::Settings>, Error> {
        let url = match (&self.redis_url, &self.redis_url_file) {
            (Some(url), _) => url.clone(),
            (None, Some(path)) => read("Redis' URL", path).await?,
            (None, None) => return Ok(None),
        };
        Ok(Some(cache::Settings { ttl: self.cache_ttl, ..cache::Settings::new(url) }))
    }
}

impl EdgeArgs {
    fn settings(&self) -> edge::Settings {
        edge::Settings {
            cors_origins: self.cors_origins.clone(),
            trusted_proxies: self.trusted_proxies.clone(),
            request_timeout: Duration::from_secs(self.request_seconds),
            strict_transport: self.strict_transport.then_some(STRICT_TRANSPORT),
            ..edge::Settings::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        api: ApiArgs,
    }

    fn bounds(flags: &[&str]) -> [Duration; 3] {
        let needed = ["api", "--master-url", "postgres://a:b@c/d", "--opening-key-file", "s", "--signing-key-file", "t"];
        let args = Line::parse_from(needed.iter().chain(flags)).api;
        let (pools, edge) = (args.pool_limits(), args.edge.settings());
        [pools.connect_timeout, pools.command_timeout, edge.request_timeout]
    }

    #[test]
    fn the_limits_of_one_schools_requests_are_flags() {
        let defaults =
            [pools::Limits::default().connect_timeout, pools::Limits::default().command_timeout, edge::Settings::default().request_timeout];
        assert_eq!(bounds(&[]), defaults);
        let (more, less) = (["--connect-timeout-milliseconds", "30000", "--request-seconds", "3700"], ["--request-seconds", "5"]);
        assert_eq!(bounds(&more), [30, 3700, 3700].map(Duration::from_secs));
        assert_eq!(bounds(&less), [3, 5, 5].map(Duration::from_secs));
    }
}
