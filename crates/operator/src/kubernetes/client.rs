//! The one client: where the API server is, who we are, and how long anything may take.
//!
//! Must not retry: the caller decides that by the class of the error.

use std::time::Duration;

use http::HeaderValue;
use http::header::USER_AGENT;
use kube::{Client, Config};

use super::error::{Error, Result};

/// The longest any single call may take, watches excepted.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// Time for TCP and TLS.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a connection may be silent after a request. The API server ends a watch after 290 s at the latest, so a longer silence is a dead
/// peer; single calls are bounded by [`CALL_TIMEOUT`] long before.
const IDLE_TIMEOUT: Duration = Duration::from_mins(5);

/// The configuration found in `KUBECONFIG`, `~/.kube/config` or the pod, in this order.
///
/// # Errors
/// When none of them is complete.
pub async fn config() -> Result<Config> {
    let doing = "finding the Kubernetes configuration";
    Config::infer().await.map_err(|source| Error::call(doing, kube::Error::InferConfig(source)))
}

/// A client for `config`, with this program's time-outs and name.
///
/// The client's own retries are off: they repeat creates, honour a `Retry-After` of any length and hide from the caller how long a call took.
/// Trying again is the reconcile's work, with one table of waits.
///
/// # Errors
/// When the configured certificates or credentials cannot be used.
pub fn client(mut config: Config) -> Result<Client> {
    config.connect_timeout = Some(CONNECT_TIMEOUT);
    config.read_timeout = Some(IDLE_TIMEOUT);
    config.reset_reader_on_write = true;
    config.write_timeout = Some(CALL_TIMEOUT);
    config.default_retry = false;
    config.headers.push((USER_AGENT, HeaderValue::from_static(concat!("dailycare/", env!("CARGO_PKG_VERSION")))));
    Client::try_from(config).map_err(|source| Error::call("preparing the Kubernetes client", source))
}

/// Makes one call within [`CALL_TIMEOUT`], and says what was being done when it fails.
///
/// # Errors
/// The call's own failure, or [`Error::TimedOut`]; then whether a write took effect is unknown.
pub async fn within<T>(doing: &'static str, call: impl Future<Output = kube::Result<T>>) -> Result<T> {
    bounded(CALL_TIMEOUT, doing, call).await
}

async fn bounded<T>(limit: Duration, doing: &'static str, call: impl Future<Output = kube::Result<T>>) -> Result<T> {
    match tokio::time::timeout(limit, call).await {
        Ok(answer) => answer.map_err(|source| Error::call(doing, source)),
        Err(_) => Err(Error::TimedOut { doing, limit }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::retry::Class;

    #[tokio::test]
    async fn a_server_that_takes_the_call_and_never_answers_is_a_timeout() {
        let error = bounded(Duration::from_millis(1), "reading", std::future::pending::<kube::Result<()>>()).await.unwrap_err();
        assert!(matches!(error, Error::TimedOut { .. }), "{error}");
        assert_eq!(error.class(), Class::Transient);
    }

    #[tokio::test]
    async fn a_server_that_is_not_there_is_transient() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let client = client(Config::new(format!("http://{address}").parse().unwrap())).unwrap();
        let error = within("asking for the version", client.apiserver_version()).await.unwrap_err();
        assert_eq!(error.class(), Class::Transient, "{error:?}");
    }
}
