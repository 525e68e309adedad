//! An API in this process, on a platform that somebody else holds.
//!
//! Must not make schools or accounts: `world` does.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::Path;
use std::sync::{LazyLock, Mutex};
use std::time::Duration;

use api::run::{self, Started};
use api::settings::Settings;
use postgres::url::Target;
use telemetry::metrics::Exposition;
use testing::{Platform, until};
use tokio_util::sync::CancellationToken;

/// The usual issuer of our own tokens.
const ISSUER: &str = "https://dailycare.local";

const PLENTY: NonZeroU32 = NonZeroU32::new(1_000_000).unwrap();

/// The recorder of this process.
pub static METRICS: LazyLock<Exposition> = LazyLock::new(|| api::metrics::install().unwrap());

/// An API in this process.
pub struct Running {
    /// Where it takes requests.
    pub address: SocketAddr,
    /// Where `/readyz` and `/metrics` are.
    pub http_address: SocketAddr,
    started: Mutex<Option<Started>>,
    stop: CancellationToken,
}

/// Settings of an API on this platform. How much a machine does in a second is its own affair: a test of such a limit gives it itself.
fn settings(platform: &Platform, files: &Path, change: impl FnOnce(&mut Settings)) -> Settings {
    let master = Target::parse(&platform.api_url().into()).unwrap();
    let mut settings = Settings::new(master, &files.join("opening-keys"), ISSUER, &files.join("signing-keys"));
    settings.quota.rate = PLENTY;
    settings.quota.burst = PLENTY;
    settings.pools.wait = Duration::from_secs(30);
    settings.grace = Duration::ZERO;
    change(&mut settings);
    settings
}

impl Running {
    pub(crate) async fn start(platform: &Platform, files: &Path, change: impl FnOnce(&mut Settings)) -> Self {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let stop = CancellationToken::new();
        let started = run::start(settings(platform, files, change), METRICS.clone(), stop.clone()).await.unwrap();
        let running = Self { address: started.address, http_address: started.http_address, started: Mutex::new(Some(started)), stop };
        running.until_ready().await;
        running
    }

    /// Waits until it takes requests.
    pub async fn until_ready(&self) {
        let url = format!("http://{}/readyz", self.http_address);
        until("the API is ready", async || reqwest::get(&url).await.is_ok_and(|answer| answer.status().is_success())).await;
    }

    /// Stops it as SIGTERM does, and waits for its end.
    pub async fn stop(&self) {
        self.stop.cancel();
        let started = self.started.lock().unwrap().take();
        started.unwrap().ended().await;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}
