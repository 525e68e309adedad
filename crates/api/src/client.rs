//! Who is at the other end: the address that the audit and the limits count. Believes a proxy only when it is configured as one.
//!
//! Must not read a header of a proxy that the settings do not name.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use axum::extract::ConnectInfo;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName};
use ipnet::IpNet;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The client's address: an extension of every request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ClientAddress(pub IpAddr);

impl ClientAddress {
    /// The peer's address; behind trusted proxies, the right-most of `X-Forwarded-For` that none of them vouches for by being one.
    ///
    /// What stands further left was written by the client and may be anything. Without a peer (a request that came over no socket) the address
    /// is unspecified.
    #[must_use]
    pub fn of(parts: &Parts, trusted: &[IpNet]) -> Self {
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.0.ip());
        Self(behind(peer.to_canonical(), &parts.headers, trusted))
    }

    /// The peer that vouches for a client without being trusted to: most likely a proxy that the settings do not name.
    #[must_use]
    pub fn untrusted_proxy(parts: &Parts, trusted: &[IpNet]) -> Option<IpAddr> {
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>()?.0.ip().to_canonical();
        let vouches = parts.headers.contains_key(FORWARDED_FOR) && !trusted.iter().any(|net| net.contains(&peer));
        vouches.then_some(peer)
    }
}

fn behind(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let is_proxy = |address: &IpAddr| trusted.iter().any(|net| net.contains(address));
    let mut nearest = peer;
    let mut hops = headers.get_all(FORWARDED_FOR).iter().rev().flat_map(|line| line.to_str().unwrap_or_default().rsplit(','));
    while is_proxy(&nearest) {
        // What is no address ends the chain: the last proxy is then all that is known.
        match hops.next().and_then(|hop| address(hop.trim())) {
            Some(hop) => nearest = hop,
            None => break,
        }
    }
    nearest
}

/// `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1` or `[2001:db8::1]:80`.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text.parse::<IpAddr>().ok();
    bare.or_else(|| text.parse::<SocketAddr>().ok().map(|socket| socket.ip())).map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(peer: &str, forwarded: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for line in forwarded {
            headers.append(FORWARDED_FOR, line.parse().unwrap());
        }
        let trusted = ["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()];
        behind(peer.parse().unwrap(), &headers, &trusted).to_string()
    }

    #[test]
    fn only_trusted_proxies_are_believed_and_only_about_their_own_client() {
        for (peer, forwarded, expected) in [
            ("192.0.2.9", &["203.0.113.1"][..], "192.0.2.9"),
            ("10.0.0.1", &[], "10.0.0.1"),
            ("10.0.0.1", &["203.0.113.1"], "203.0.113.1"),
            ("10.0.0.1", &["198.51.100.7, 203.0.113.1"], "203.0.113.1"),
            ("10.0.0.1", &["203.0.113.1, 10.0.0.2"], "203.0.113.1"),
            ("10.0.0.1", &["203.0.113.1", "10.9.9.9,10.0.0.2"], "203.0.113.1"),
            ("10.0.0.1", &["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
            ("10.0.0.1", &["203.0.113.1, unknown, 10.0.0.2"], "10.0.0.2"),
            ("10.0.0.1", &["203.0.113.1:4711"], "203.0.113.1"),
            ("fd00::1", &["[2001:db8::1]:80"], "2001:db8::1"),
            ("10.0.0.1", &["::ffff:10.0.0.2"], "10.0.0.2"),
        ] {
            assert_eq!(resolved(peer, forwarded), expected, "{peer} {forwarded:?}");
        }
    }
}
