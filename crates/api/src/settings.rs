//! What the API works with from start to end: plain values, whoever gives them.
//!
//! Must not read the environment or a command line.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use postgres::url::Target;
use tenancy::limits::Quota;
use tenancy::{cache, pools};

use super::{edge, identity};

/// The audience of our own tokens.
pub const AUDIENCE: &str = "dailycare-api";

/// Settings of one API process.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where it serves.
    pub address: SocketAddr,
    /// Where its probes and metrics are.
    pub http_address: SocketAddr,
    /// The master database, as the API's login.
    pub master: Target,
    /// The keys that open schools' credentials; read again when a school names a key that it does not hold.
    pub opening_key_file: PathBuf,
    /// Redis; without it nothing is cached outside the process.
    pub cache: Option<cache::Settings>,
    /// Tokens: our own, and an external issuer's.
    pub identity: identity::Settings,
    /// Connections to schools' databases.
    pub pools: pools::Limits,
    /// What one school may do of this process.
    pub quota: Quota,
    /// What surrounds the routes.
    pub edge: edge::Settings,
    /// How long requests are still taken after a stop, so that load balancers notice first.
    pub grace: Duration,
}

impl Settings {
    /// The usual settings: every other field has its default.
    #[must_use]
    pub fn new(master: Target, opening_key_file: &Path, issuer: &str, signing_key_file: &Path) -> Self {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let pools = pools::Limits::default();
        let rate = |more| NonZeroU32::MIN.saturating_add(more);
        Self {
            address: any,
            http_address: any,
            master,
            opening_key_file: opening_key_file.to_owned(),
            cache: None,
            identity: identity::Settings::new(issuer, AUDIENCE, signing_key_file),
            quota: Quota { rate: rate(199), burst: rate(399), in_flight: pools.tenant_cap.saturating_mul(4) },
            pools,
            edge: edge::Settings::default(),
            grace: Duration::from_secs(5),
        }
    }
}
