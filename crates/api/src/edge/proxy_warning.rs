//! Warns that a proxy is not trusted: without it all of the proxy's clients share one address, and with it the limits of one.
//!
//! Must not warn as often as somebody sends a header: anybody can.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::http::request::Parts;
use ipnet::IpNet;

use crate::client::ClientAddress;

/// Between two warnings.
const PAUSE: Duration = Duration::from_mins(10);

/// When the last warning was.
#[derive(Debug, Default)]
pub(super) struct ProxyWarning(Mutex<Option<Instant>>);

impl ProxyWarning {
    /// Warns when the request came through a proxy that the settings do not name, unless that was done a moment ago.
    pub(super) fn check(&self, head: &Parts, trusted: &[IpNet]) {
        let Some(peer) = ClientAddress::untrusted_proxy(head, trusted) else { return };
        if self.is_due(Instant::now()) {
            tracing::warn!(
                %peer,
                "X-Forwarded-For of a peer that is no trusted proxy is ignored: if the peer is your proxy, name it with --trusted-proxy; until then all of its \
                 clients count as one address, in the audit and in the limits of logins"
            );
        }
    }

    fn is_due(&self, now: Instant) -> bool {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let due = last.is_none_or(|last| now.saturating_duration_since(last) >= PAUSE);
        if due {
            *last = Some(now);
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use axum::extract::ConnectInfo;
    use axum::http::Request;

    use super::*;

    fn head(peer: &str, forwarded: bool) -> Parts {
        let mut request = Request::builder().extension(ConnectInfo(peer.parse::<SocketAddr>().unwrap()));
        if forwarded {
            request = request.header("x-forwarded-for", "203.0.113.1");
        }
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn a_peer_that_speaks_for_others_is_named_unless_it_is_trusted() {
        let trusted = ["10.0.0.0/8".parse().unwrap()];
        let named = |peer, forwarded| ClientAddress::untrusted_proxy(&head(peer, forwarded), &trusted).map(|peer| peer.to_string());
        assert_eq!(named("192.0.2.9:1", true).as_deref(), Some("192.0.2.9"));
        assert_eq!([named("192.0.2.9:1", false), named("10.0.0.1:1", true), named("[::ffff:10.0.0.1]:1", true)], [None, None, None]);
    }

    #[test]
    fn it_warns_once_in_ten_minutes_however_often_the_header_comes() {
        let (warning, start) = (ProxyWarning::default(), Instant::now());
        assert!(warning.is_due(start));
        assert!((0..1000).all(|n| !warning.is_due(start + Duration::from_millis(n))));
        assert!(warning.is_due(start + PAUSE) && !warning.is_due(start + PAUSE));
    }
}
