//! Redis, asked within a time and only while it is worth it. Every kind of trouble is the same to the caller: no answer.

use std::future::Future;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{Client, ErrorKind, FromRedisValue, Pipeline, RedisError, RedisResult, ServerErrorKind, TlsCertificates};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::breaker::Breaker;
use super::{Error, Settings};

#[derive(Debug)]
pub(super) struct Server {
    client: Client,
    connect_timeout: Duration,
    breaker: Breaker,
    in_flight: Semaphore,
    /// Connects when it is first used and after a loss. A pause of the breaker drops it: one whose peer is gone without a word would wait for
    /// as long as TCP does.
    connection: Mutex<Option<ConnectionManager>>,
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// Redis was not asked.
    Skipped,
    /// It did not answer in time, or with an error.
    Failed,
}

/// How long one caller may still wait for Redis, over all that it asks.
#[derive(Debug)]
pub(super) struct Patience(pub(super) Duration);

impl Patience {
    async fn spend<T>(&mut self, asking: impl Future<Output = T>) -> Option<T> {
        let started = Instant::now();
        let answer = timeout(self.0, asking).await.ok();
        self.0 = self.0.saturating_sub(started.elapsed());
        answer
    }
}

impl Server {
    /// A server that is not connected yet.
    pub(super) fn new(settings: Settings) -> Result<Self, Error> {
        Ok(Self {
            client: client(&settings.url, settings.authority)?,
            connect_timeout: settings.connect_timeout,
            breaker: Breaker::new(settings.breaking),
            in_flight: Semaphore::new(settings.in_flight),
            connection: Mutex::new(None),
        })
    }

    /// Sends commands in one go and reads their answers.
    pub(super) async fn ask<T: FromRedisValue>(&self, commands: &Pipeline, patience: &mut Patience) -> Result<T, Trouble> {
        let attempt = self.breaker.admit(Instant::now()).ok_or(Trouble::Skipped)?;
        let asking = async {
            // Never closed, so there is always a permit to come.
            let _permit = self.in_flight.acquire().await.ok();
            commands.query_async(&mut self.connection()?).await
        };
        let (code, in_time) = match patience.spend(asking).await {
            Some(Ok(answer)) => {
                if attempt.answered() {
                    tracing::info!("Redis answers again");
                }
                return Ok(answer);
            }
            Some(Err(error)) => (error.category().to_owned(), is_well(&error)),
            None => ("timeout".to_owned(), false),
        };
        if in_time {
            attempt.answered();
        } else if attempt.failed(Instant::now()) {
            *self.slot() = None;
            tracing::warn!(error = code, "Redis fails; going on without the cache for a while");
        }
        tracing::debug!(error = code, "a Redis command failed");
        Err(Trouble::Failed)
    }

    fn connection(&self) -> RedisResult<ConnectionManager> {
        let mut slot = self.slot();
        if let Some(connection) = &*slot {
            return Ok(connection.clone());
        }
        // The breaker decides when to try again, and `Patience` how long to wait for an answer.
        let config = ConnectionManagerConfig::new().set_number_of_retries(0).set_response_timeout(None);
        let config = config.set_connection_timeout(Some(self.connect_timeout));
        let connection = ConnectionManager::new_lazy_with_config(self.client.clone(), config)?;
        Ok(slot.insert(connection).clone())
    }

    fn slot(&self) -> std::sync::MutexGuard<'_, Option<ConnectionManager>> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether Redis itself is well though it says no: to this key's type, or to writing while its memory is full. Other refusals (READONLY, LOADING,
/// MOVED, no permission) would be repeated, and another server may have taken over.
fn is_well(error: &RedisError) -> bool {
    matches!(error.kind(), ErrorKind::UnexpectedReturnType | ErrorKind::Extension | ErrorKind::Server(ServerErrorKind::ResponseError))
}

fn client(url: &SecretString, authority: Option<Vec<u8>>) -> Result<Client, Error> {
    let url = url.expose_secret().trim();
    let tls = url.starts_with("rediss://");
    if !tls && !url.starts_with("redis://") {
        return Err(Error::Scheme);
    }
    // The client would read `#insecure` as leave to trust anybody.
    if url.contains('#') {
        return Err(Error::Fragment);
    }
    match authority {
        // Of the client's reasons none is passed on: they may quote the URL.
        None => Client::open(url).map_err(|_| Error::Malformed),
        Some(_) if !tls => Err(Error::UnusedAuthority),
        Some(pem) => {
            Client::open(url).map_err(|_| Error::Malformed)?;
            let certificates = TlsCertificates { client_tls: None, root_cert: Some(pem) };
            Client::build_with_tls(url, certificates).map_err(|_| Error::Authority)
        }
    }
}

#[cfg(test)]
mod tests {
    use redis::ConnectionAddr;

    use super::*;

    #[test]
    fn a_wrong_url_is_refused_without_a_word_of_it() {
        for (url, error) in [
            ("", Error::Scheme),
            ("http://:canary@h/", Error::Scheme),
            ("redis+unix:///canary", Error::Scheme),
            ("canary", Error::Scheme),
            ("rediss://:canary@h/#insecure", Error::Fragment),
            ("redis://:can#ary@h/", Error::Fragment),
            ("redis://", Error::Malformed),
            ("redis://:canary@h:canary/", Error::Malformed),
            ("redis://:canary@h/canary", Error::Malformed),
        ] {
            let found = client(&url.into(), None).err();
            assert_eq!(found, Some(error), "{url}");
            assert!(!format!("{found:?} {error}").contains("canary"));
        }
    }

    #[test]
    fn tls_is_what_the_scheme_says_and_certificates_are_always_checked() {
        let address = |url: &str, authority| client(&url.into(), authority).map(|client| client.get_connection_info().addr().clone());
        assert!(matches!(address("redis://h", None), Ok(ConnectionAddr::Tcp(host, 6379)) if host == "h"));
        let tls = address("rediss://u:p@h:7000/2", None);
        assert!(matches!(tls, Ok(ConnectionAddr::TcpTls { host, port: 7000, insecure: false, .. }) if host == "h"));
        assert_eq!(address("redis://h", Some(Vec::new())), Err(Error::UnusedAuthority));
        let nonsense = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".to_vec();
        assert_eq!(address("rediss://h", Some(nonsense)), Err(Error::Authority));
    }
}
