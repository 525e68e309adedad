//! Another issuer's keys, fetched from one configured address and kept.
//!
//! At most one fetch at a time, and none within [`External::pause`] of the last: a token with an unknown key cannot have them fetched at will. A fetch does not
//! depend on its callers: one that disconnects does not cancel it. While the issuer is down its keys stay valid until [`External::max_age`]; then every token
//! is refused. Must not fetch from an address that a token names.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde_json::Value;
use telemetry::logs::chain;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::keys::VerifyingKey;

/// Another issuer whose tokens count.
#[derive(Clone, Debug)]
pub struct External {
    /// Its `iss`, exactly.
    pub issuer: String,
    /// Where its keys are: `https`, or `http` on the loopback interface.
    pub jwks_url: String,
    /// They may also be fetched by `http` from elsewhere. Whoever can change what travels there can let in anybody: only for a network that is trusted.
    pub insecure_http: bool,
    /// PEM of the authorities that its certificate is checked against, instead of the usual ones.
    pub authority: Option<Vec<u8>>,
    /// What `aud` must name.
    pub audience: String,
    /// What its `sub` is here.
    pub subject: Subject,
    /// Between two fetches, at least.
    pub pause: Duration,
    /// Between two fetches when nothing is missing.
    pub period: Duration,
    /// How long keys count that cannot be fetched again.
    pub max_age: Duration,
}

/// What another issuer's `sub` is here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Subject {
    /// The issuer's own name for a user: the user's id here is a UUID (version 5) of issuer and `sub`, which is no account's.
    #[default]
    Derived,
    /// The id of one of our accounts. Only for an issuer that lets nobody choose a `sub`: whoever holds a token with an account's id acts as that account.
    UserId,
}

impl External {
    /// An issuer with the usual intervals: one fetch a minute at most, one in five minutes anyway, keys kept for a day.
    #[must_use]
    pub fn new(issuer: impl Into<String>, jwks_url: impl Into<String>, audience: impl Into<String>) -> Self {
        let [pause, period, max_age] = [Duration::from_mins(1), Duration::from_mins(5), Duration::from_hours(24)];
        Self {
            issuer: issuer.into(),
            jwks_url: jwks_url.into(),
            insecure_http: false,
            authority: None,
            audience: audience.into(),
            subject: Subject::default(),
            pause,
            period,
            max_age,
        }
    }
}

/// Why an issuer's keys could not be fetched.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address is not one that keys are fetched from.
    #[error(
        "the address of the issuer's keys is neither https nor http on the loopback interface: for http inside a cluster set --external-jwks-http"
    )]
    Address,
    /// The authorities' file holds no certificate.
    #[error("the authorities of the issuer's certificate cannot be read: the file must hold PEM certificates")]
    Authority,
    /// The client could not be made, or the request failed.
    #[error("fetching the issuer's keys failed")]
    Http(#[source] reqwest::Error),
    /// Another status than 200; a redirect among them.
    #[error("the issuer answered status {0} instead of its keys")]
    Status(u16),
    /// Longer than any key set.
    #[error("the issuer's key set is too large")]
    TooLarge,
    /// Not a key set, or one without any key that can be used.
    #[error("the issuer's key set holds no usable key")]
    NoKey,
}

/// It is unknown whether the issuer has a key: it does not answer, and its last key set is too old.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the issuer's keys are not known")]
pub(super) struct Unknown;

const TIMEOUT: Duration = Duration::from_secs(5);
const BYTES: usize = 256 * 1024;
const KEYS: usize = 64;

pub(super) struct Issuer {
    pub(super) settings: External,
    client: reqwest::Client,
    held: RwLock<Held>,
    /// When the last fetch began; held while one is under way, by its task.
    flight: Arc<Mutex<Option<Instant>>>,
}

#[derive(Clone, Default)]
struct Held {
    keys: Arc<HashMap<String, Arc<VerifyingKey>>>,
    fetched: Option<Instant>,
}

impl Issuer {
    pub(super) fn new(settings: External) -> Result<Self, Error> {
        let url = reqwest::Url::parse(&settings.jwks_url).map_err(|_| Error::Address)?;
        let loopback = matches!(url.host_str(), Some("127.0.0.1" | "[::1]" | "localhost"));
        if url.scheme() != "https" && !(url.scheme() == "http" && (loopback || settings.insecure_http)) {
            return Err(Error::Address);
        }
        let mut client = reqwest::Client::builder().timeout(TIMEOUT).redirect(reqwest::redirect::Policy::none());
        if let Some(pem) = &settings.authority {
            client = client.tls_certs_only(authorities(pem)?);
        }
        let client = client.build().map_err(Error::Http)?;
        Ok(Self { settings, client, held: RwLock::default(), flight: Arc::default() })
    }

    /// The key of this id, fetching the set when it is not there and that is due; none when the issuer has no such key.
    pub(super) async fn key(self: &Arc<Self>, kid: &str) -> Result<Option<Arc<VerifyingKey>>, Unknown> {
        if let Ok(Some(key)) = self.cached_key(kid) {
            return Ok(Some(key));
        }
        self.refresh().await;
        self.cached_key(kid)
    }

    fn cached_key(&self, kid: &str) -> Result<Option<Arc<VerifyingKey>>, Unknown> {
        let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
        let fresh = held.fetched.is_some_and(|fetched| fetched.elapsed() < self.settings.max_age);
        if fresh { Ok(held.keys.get(kid).cloned()) } else { Err(Unknown) }
    }

    /// When to fetch although no key is missing; sooner while fetching fails.
    pub(super) fn due(&self) -> Duration {
        let age = self.held.read().unwrap_or_else(PoisonError::into_inner).fetched.map(|fetched| fetched.elapsed());
        age.and_then(|age| self.settings.period.checked_sub(age)).map_or(self.settings.pause, |left| left.max(self.settings.pause))
    }

    /// Fetches the keys, unless that was tried a moment ago. Callers that come during a fetch wait for it.
    pub(super) async fn refresh(self: &Arc<Self>) {
        let mut last = Arc::clone(&self.flight).lock_owned().await;
        if last.is_some_and(|last| last.elapsed() < self.settings.pause) {
            return;
        }
        *last = Some(Instant::now());
        let issuer = Arc::clone(self);
        let fetching = tokio::spawn(async move {
            issuer.renew().await;
            drop(last);
        });
        // A task that panicked has changed nothing, and is tried again after the pause.
        let _ = fetching.await;
    }

    async fn renew(&self) {
        match self.fetch().await {
            Ok(keys) => {
                let held = Held { keys: Arc::new(keys), fetched: Some(Instant::now()) };
                *self.held.write().unwrap_or_else(PoisonError::into_inner) = held;
            }
            Err(error) => tracing::warn!(error = chain(&error), issuer = self.settings.issuer, "the issuer's keys stay as they are"),
        }
    }

    async fn fetch(&self) -> Result<HashMap<String, Arc<VerifyingKey>>, Error> {
        // Without the address: it may hold a token of its own.
        let http = |error: reqwest::Error| Error::Http(error.without_url());
        let mut response = self.client.get(&self.settings.jwks_url).send().await.map_err(http)?;
        if response.status() != reqwest::StatusCode::OK {
            return Err(Error::Status(response.status().as_u16()));
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(http)? {
            if body.len() + chunk.len() > BYTES {
                return Err(Error::TooLarge);
            }
            body.extend_from_slice(&chunk);
        }
        parse(&body)
    }
}

fn authorities(pem: &[u8]) -> Result<Vec<reqwest::Certificate>, Error> {
    let certificates = reqwest::Certificate::from_pem_bundle(pem).map_err(|_| Error::Authority)?;
    if certificates.is_empty() { Err(Error::Authority) } else { Ok(certificates) }
}

/// The keys that can be used. Keys that share an id are left out: a token cannot say which of them it means.
fn parse(body: &[u8]) -> Result<HashMap<String, Arc<VerifyingKey>>, Error> {
    let document: Value = serde_json::from_slice(body).map_err(|_| Error::NoKey)?;
    let list = document.get("keys").and_then(Value::as_array).ok_or(Error::NoKey)?;
    let (mut keys, mut ambiguous) = (HashMap::new(), HashSet::new());
    for jwk in list.iter().take(KEYS).filter_map(|key| serde_json::from_value::<Jwk>(key.clone()).ok()) {
        let (Some(kid), Some(key)) = (jwk.common.key_id.clone(), verifying(&jwk)) else { continue };
        if keys.insert(kid.clone(), Arc::new(key)).is_some() {
            ambiguous.insert(kid);
        }
    }
    keys.retain(|kid, _| !ambiguous.contains(kid));
    if keys.is_empty() { Err(Error::NoKey) } else { Ok(keys) }
}

/// The one algorithm that a key is for: Ed25519, ECDSA on P-256, or RSA of 2048 bits and more. A secret is never a key here.
fn verifying(jwk: &Jwk) -> Option<VerifyingKey> {
    if !matches!(jwk.common.public_key_use, None | Some(PublicKeyUse::Signature)) {
        return None;
    }
    let length = |text: &str| URL_SAFE_NO_PAD.decode(text).ok().map(|bytes| bytes.len());
    let (algorithm, named, name) = match &jwk.algorithm {
        AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 && length(&key.x)? == 32 => {
            (Algorithm::EdDSA, KeyAlgorithm::EdDSA, "EdDSA")
        }
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 && (length(&key.x)?, length(&key.y)?) == (32, 32) => {
            (Algorithm::ES256, KeyAlgorithm::ES256, "ES256")
        }
        AlgorithmParameters::RSA(key) if modulus_bits(&key.n)? >= 2048 => (Algorithm::RS256, KeyAlgorithm::RS256, "RS256"),
        _ => return None,
    };
    let key = DecodingKey::from_jwk(jwk).ok()?;
    jwk.common.key_algorithm.is_none_or(|said| said == named).then_some(VerifyingKey { algorithm, name, key })
}

fn modulus_bits(n: &str) -> Option<usize> {
    let bytes = URL_SAFE_NO_PAD.decode(n).ok()?;
    let first = bytes.iter().position(|byte| *byte != 0)?;
    Some((bytes.len() - first) * 8 - bytes[first].leading_zeros() as usize)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn ids(keys: &Value) -> Vec<String> {
        let mut ids: Vec<_> = parse(json!({ "keys": keys }).to_string().as_bytes()).map(HashMap::into_keys).unwrap_or_default().collect();
        ids.sort();
        ids
    }

    #[test]
    fn only_keys_of_known_kinds_sizes_and_purposes_are_taken() {
        let bytes = |n| URL_SAFE_NO_PAD.encode(vec![0xff_u8; n]);
        let ed = json!({ "kty": "OKP", "crv": "Ed25519", "x": bytes(32), "kid": "ed" });
        let ec = json!({ "kty": "EC", "crv": "P-256", "x": bytes(32), "y": bytes(32), "kid": "ec", "alg": "ES256" });
        let rsa = json!({ "kty": "RSA", "n": bytes(256), "e": "AQAB", "kid": "rsa", "alg": "RS256", "use": "sig" });
        assert_eq!(ids(&json!([ed, ec, rsa])), ["ec", "ed", "rsa"]);
        let with = |key: &Value, member: &str, value: Value| {
            let mut key = key.clone();
            key[member] = value;
            key
        };
        for bad in [
            json!({ "kty": "oct", "k": bytes(32), "kid": "oct", "alg": "HS256" }),
            with(&rsa, "n", json!(bytes(255))),
            with(&rsa, "n", json!(URL_SAFE_NO_PAD.encode([vec![0_u8; 8], vec![0xff; 255]].concat()))),
            with(&rsa, "alg", json!("HS256")),
            with(&rsa, "alg", json!("PS256")),
            with(&rsa, "use", json!("enc")),
            with(&ec, "crv", json!("P-384")),
            with(&ec, "alg", json!("EdDSA")),
            with(&ed, "x", json!(bytes(31))),
            with(&ed, "kid", Value::Null),
            json!("canary"),
        ] {
            assert_eq!(ids(&json!([bad])), [""; 0], "{bad}");
        }
        assert_eq!(ids(&json!([ed, with(&ec, "kid", json!("ed")), rsa])), ["rsa"], "an id that two keys have was taken");
    }

    #[test]
    fn keys_are_fetched_over_tls_or_from_this_machine() {
        let made = |url: &str| Issuer::new(External::new("i", url, "a")).is_ok();
        assert!(made("https://issuer.example/keys") && made("http://127.0.0.1:1/keys") && made("http://[::1]:1/keys"));
        assert!(
            ["http://issuer.example/keys", "http://127.0.0.1.example/", "file:///etc/passwd", "ftp://127.0.0.1/", "x"]
                .iter()
                .all(|url| !made(url))
        );
        let trusting = |url: &str| Issuer::new(External { insecure_http: true, ..External::new("i", url, "a") }).is_ok();
        assert!(trusting("http://keycloak.default.svc/keys") && trusting("https://issuer.example/keys"));
        assert!(["file:///etc/passwd", "ftp://127.0.0.1/", "x"].iter().all(|url| !trusting(url)));
    }

    #[test]
    fn a_file_of_authorities_without_a_certificate_is_refused() {
        for pem in ["", "canary", "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n"] {
            let external = External { authority: Some(pem.into()), ..External::new("i", "https://issuer.example/keys", "a") };
            assert!(matches!(Issuer::new(external), Err(Error::Authority)), "{pem}");
        }
    }
}
