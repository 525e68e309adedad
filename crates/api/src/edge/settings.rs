//! What the edge holds requests to: plain values.
//!
//! Must not read the environment or a command line.

use std::time::Duration;

use ipnet::IpNet;

/// Bounds and headers of every request and answer.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Origins whose pages may call the API from a browser, exactly as browsers send them (`https://app.example`). Empty: none.
    pub cors_origins: Vec<String>,
    /// Proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Bytes of a body.
    pub body_bytes: usize,
    /// Paths below which bodies may have fewer bytes, and how many: what anybody may send without a login is small.
    pub small_bodies: &'static [(&'static str, usize)],
    /// For a body to arrive, from the end of its head.
    pub body_timeout: Duration,
    /// For a request as a whole, from its head to the head of its answer. A school's command timeout that is shorter ends a statement first.
    pub request_timeout: Duration,
    /// How many headers.
    pub header_count: usize,
    /// Bytes of all headers together.
    pub header_bytes: usize,
    /// Bytes of path and query.
    pub uri_bytes: usize,
    /// Tells browsers to use nothing but TLS for this long. Only where TLS ends in front of the API.
    pub strict_transport: Option<Duration>,
}

impl Settings {
    /// The bytes that the body of a request to this path may have.
    pub(super) fn body_bytes_of(&self, path: &str) -> usize {
        let bounds = self.small_bodies.iter().filter(|(prefix, _)| path.starts_with(prefix)).map(|(_, bytes)| *bytes);
        bounds.chain([self.body_bytes]).min().unwrap_or_default()
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            cors_origins: Vec::new(),
            trusted_proxies: Vec::new(),
            body_bytes: 1024 * 1024,
            small_bodies: &[],
            body_timeout: Duration::from_secs(15),
            request_timeout: Duration::from_secs(70),
            header_count: 64,
            header_bytes: 16 * 1024,
            uri_bytes: 8 * 1024,
            strict_transport: None,
        }
    }
}
