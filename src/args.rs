//! The flags of every subcommand, each with an environment variable, and the settings that they make. Nothing else reads the environment.
//!
//! Must not start anything.

pub(crate) mod api;
pub(crate) mod operator;

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use clap::builder::{StringValueParser, TypedValueParser as _};
use postgres::{schema, url};
use provisioning::master::keyring::Keyring;
use registry::seal;
use secrecy::SecretString;

/// Where the master database is.
#[derive(Args, Clone, Debug)]
pub(crate) struct MasterArgs {
    /// URL of the master database, as `postgres://user:password@host:port/dailycare_master`. Prefer the file: other processes can read a process's environment.
    #[arg(long, env = "DAILYCARE_MASTER_URL", hide_env_values = true, value_parser = StringValueParser::new().map(SecretString::from), conflicts_with = "master_url_file")]
    pub(crate) master_url: Option<SecretString>,
    /// File that holds the master database's URL.
    #[arg(long, env = "DAILYCARE_MASTER_URL_FILE", required_unless_present = "master_url")]
    pub(crate) master_url_file: Option<PathBuf>,
}

/// Where the operator's sealing keys are.
#[derive(Args, Clone, Debug)]
pub(crate) struct SealingArgs {
    /// File with the keys that seal credentials in the master database: lines `key-id:base64 of 32 bytes`. The first key seals, all keys open. Give it to the
    /// operator alone; give the API what `dailycare opening-keys` prints.
    #[arg(long, env = "DAILYCARE_SEALING_KEY_FILE")]
    pub(crate) sealing_key_file: PathBuf,
}

/// A setting that cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
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
    /// The sealing keys.
    #[error("the sealing keys cannot be used")]
    SealingKeys(#[source] seal::Error),
    /// Some of the external issuer's settings were given, and not all.
    #[error("an external issuer needs --external-issuer, --external-jwks-url and --external-audience, all three")]
    ExternalIssuer,
}

impl MasterArgs {
    /// Where it is.
    ///
    /// # Errors
    /// When it was not given, its file cannot be read, or it is no usable URL.
    pub(crate) async fn target(&self) -> Result<url::Target, Error> {
        let url = match (&self.master_url, &self.master_url_file) {
            (Some(url), _) => url.clone(),
            (None, Some(path)) => read("the master database's URL", path).await?,
            (None, None) => return Err(Error::NoMasterUrl),
        };
        url::Target::parse(&url).map_err(Error::MasterUrl)
    }
}

impl SealingArgs {
    /// The keys that the file holds.
    ///
    /// # Errors
    /// When it cannot be read, or a line of it is wrong.
    pub(crate) async fn keyring(&self) -> Result<Keyring, Error> {
        Keyring::parse(&self.keys().await?).map_err(Error::SealingKeys)
    }

    /// The sealing keys' file.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(crate) async fn keys(&self) -> Result<SecretString, Error> {
        read("the sealing keys", &self.sealing_key_file).await
    }
}

async fn read(what: &'static str, path: &Path) -> Result<SecretString, Error> {
    let text = tokio::fs::read_to_string(path).await;
    text.map(SecretString::from).map_err(|source| Error::File { what, path: path.to_owned(), source })
}

fn parse_seconds(text: &str) -> Result<Duration, String> {
    match text.parse() {
        Ok(seconds @ 1..=86_400) => Ok(Duration::from_secs(seconds)),
        _ => Err("give whole seconds, 1 to 86400".to_owned()),
    }
}
