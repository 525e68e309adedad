//! The connection to Redis: commands are sent within a time limit, and only while the circuit breaker allows it.
//!
//! Must not tell its callers why there is no answer: they load the value in every case.

use std::future::Future;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{ErrorKind, FromRedisValue, Pipeline, RedisError, RedisResult, ServerErrorKind, TlsCertificates};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::Semaphore;

use super::settings::{Error, Settings};
use crate::circuit_breaker::{Attempt, BreakerSettings, CircuitBreaker};

#[derive(Debug)]
pub(super) struct Client {
    redis: redis::Client,
    connect_timeout: Duration,
    breaker: Mutex<CircuitBreaker>,
    breaker_settings: BreakerSettings,
    in_flight: Semaphore,
    /// Connects on first use and after a loss. A pause of the breaker drops it: a connection whose peer vanished would wait as long as TCP does.
    connection: Mutex<Option<ConnectionManager>>,
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unanswered {
    /// Nothing was sent.
    Skipped,
    /// No answer came in time, or an error did.
    Failed,
}

impl Client {
    /// A client that is not connected yet.
    pub(super) fn new(settings: Settings) -> Result<Self, Error> {
        Ok(Self {
            redis: redis_client(&settings.url, settings.authority)?,
            connect_timeout: settings.connect_timeout,
            breaker: Mutex::default(),
            breaker_settings: settings.breaker,
            in_flight: Semaphore::new(settings.in_flight),
            connection: Mutex::new(None),
        })
    }

    /// Sends commands together and reads their answers. What it waits is subtracted from `remaining`.
    pub(super) async fn send<T: FromRedisValue>(&self, commands: &Pipeline, remaining: &mut Duration) -> Result<T, Unanswered> {
        let attempt = self.admit().ok_or(Unanswered::Skipped)?;
        let sending = async {
            // Never closed, so there is always a permit to come.
            let _permit = self.in_flight.acquire().await.ok();
            commands.query_async(&mut self.connection()?).await
        };
        let (code, is_healthy) = match within(remaining, sending).await {
            Some(Ok(answer)) => {
                if attempt.succeeded() {
                    tracing::info!("Redis answers again");
                }
                return Ok(answer);
            }
            Some(Err(error)) => (error.category().to_owned(), is_healthy(&error)),
            None => ("timeout".to_owned(), false),
        };
        if is_healthy {
            attempt.succeeded();
        } else if attempt.failed() {
            *self.current() = None;
            tracing::warn!(error = code, "Redis fails and is not used for a while");
        }
        tracing::debug!(error = code, "a Redis command failed");
        Err(Unanswered::Failed)
    }

    fn admit(&self) -> Option<BreakerGuard<'_>> {
        let attempt = lock(&self.breaker).admit(Instant::now()).ok()?;
        Some(BreakerGuard { client: self, attempt: Some(attempt) })
    }

    fn connection(&self) -> RedisResult<ConnectionManager> {
        let mut current = self.current();
        if let Some(connection) = &*current {
            return Ok(connection.clone());
        }
        // The breaker decides when to try again, and the caller's remaining time how long to wait for an answer.
        let config = ConnectionManagerConfig::new().set_number_of_retries(0).set_response_timeout(None);
        let config = config.set_connection_timeout(Some(self.connect_timeout));
        let connection = ConnectionManager::new_lazy_with_config(self.redis.clone(), config)?;
        Ok(current.insert(connection).clone())
    }

    fn current(&self) -> MutexGuard<'_, Option<ConnectionManager>> {
        lock(&self.connection)
    }
}

/// Tells the breaker how an attempt ended, also when its caller was dropped.
struct BreakerGuard<'a> {
    client: &'a Client,
    attempt: Option<Attempt>,
}

impl BreakerGuard<'_> {
    /// True when that ends a pause.
    fn succeeded(mut self) -> bool {
        self.attempt.take().is_some_and(|attempt| lock(&self.client.breaker).succeeded(attempt))
    }

    /// True when that begins a pause, or prolongs one.
    fn failed(mut self) -> bool {
        let settings = &self.client.breaker_settings;
        self.attempt.take().is_some_and(|attempt| lock(&self.client.breaker).failed(attempt, settings, Instant::now()))
    }
}

impl Drop for BreakerGuard<'_> {
    fn drop(&mut self) {
        if let Some(attempt) = self.attempt.take() {
            lock(&self.client.breaker).abandoned(attempt);
        }
    }
}

async fn within<T>(remaining: &mut Duration, work: impl Future<Output = T>) -> Option<T> {
    let started = Instant::now();
    let answer = tokio::time::timeout(*remaining, work).await.ok();
    *remaining = remaining.saturating_sub(started.elapsed());
    answer
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether Redis works although it refuses: this key has another type, or its memory is full. Other refusals (READONLY, LOADING, MOVED, no permission)
/// would come again, and another server may have taken over.
fn is_healthy(error: &RedisError) -> bool {
    matches!(error.kind(), ErrorKind::UnexpectedReturnType | ErrorKind::Extension | ErrorKind::Server(ServerErrorKind::ResponseError))
}

fn redis_client(url: &SecretString, authority: Option<Vec<u8>>) -> Result<redis::Client, Error> {
    let url = url.expose_secret().trim();
    let tls = url.starts_with("rediss://");
    if !tls && !url.starts_with("redis://") {
        return Err(Error::Scheme);
    }
    // The client would take `#insecure` for an option that turns certificate checks off.
    if url.contains('#') {
        return Err(Error::Fragment);
    }
    match authority {
        // The client's own errors are not passed on: they may quote the URL.
        None => redis::Client::open(url).map_err(|_| Error::Malformed),
        Some(_) if !tls => Err(Error::UnusedAuthority),
        Some(pem) => {
            redis::Client::open(url).map_err(|_| Error::Malformed)?;
            let certificates = TlsCertificates { client_tls: None, root_cert: Some(pem) };
            redis::Client::build_with_tls(url, certificates).map_err(|_| Error::Authority)
        }
    }
}

#[cfg(test)]
mod tests {
    use redis::ConnectionAddr;

    use super::*;

    #[test]
    fn a_wrong_url_is_refused_without_quoting_it() {
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
            let found = redis_client(&url.into(), None).err();
            assert_eq!(found, Some(error), "{url}");
            assert!(!format!("{found:?} {error}").contains("canary"));
        }
    }

    #[test]
    fn the_scheme_decides_on_tls_and_certificates_are_always_checked() {
        let address = |url: &str, authority| redis_client(&url.into(), authority).map(|client| client.get_connection_info().addr().clone());
        assert!(matches!(address("redis://h", None), Ok(ConnectionAddr::Tcp(host, 6379)) if host == "h"));
        let tls = address("rediss://u:p@h:7000/2", None);
        assert!(matches!(tls, Ok(ConnectionAddr::TcpTls { host, port: 7000, insecure: false, .. }) if host == "h"));
        assert_eq!(address("redis://h", Some(Vec::new())), Err(Error::UnusedAuthority));
        let nonsense = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".to_vec();
        assert_eq!(address("rediss://h", Some(nonsense)), Err(Error::Authority));
    }
}
