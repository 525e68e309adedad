//! Tokens as the API signs them, and tokens that it must refuse.
//!
//! Must not use the keys of a running API, except where a test hands them over.

use aws_lc_rs::hmac;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD as B64};
use serde_json::{Value, json};
use uuid::Uuid;

/// Signs with the API's own key.
pub struct Signer {
    id: String,
    own: Ed25519KeyPair,
    stranger: Ed25519KeyPair,
}

/// Ways to forge a token.
const FORGERIES: u64 = 8;

impl Signer {
    /// With the first key of a key file.
    #[must_use]
    pub fn new(file: &str) -> Self {
        let (id, seed) = file.lines().next().unwrap().split_once(':').unwrap();
        let pair = |seed: &[u8]| Ed25519KeyPair::from_seed_unchecked(seed).unwrap();
        Self { id: id.to_owned(), own: pair(&STANDARD.decode(seed.trim()).unwrap()), stranger: pair(&[7; 32]) }
    }

    /// A good one.
    #[must_use]
    pub fn token(&self, user: Uuid, tenant: Option<Uuid>, role: &str) -> String {
        Self::signed(&json!({ "alg": "EdDSA", "typ": "at+jwt", "kid": self.id }), &claims(user, tenant, role), &self.own)
    }

    /// One of the bad ones, for this school.
    #[must_use]
    pub fn forged(&self, way: u64, user: Uuid, tenant: Uuid) -> String {
        let header = json!({ "alg": "EdDSA", "typ": "at+jwt", "kid": self.id });
        let good = claims(user, Some(tenant), "SchoolAdmin");
        let with = |name: &str, value: Value| {
            let mut claims = good.clone();
            claims[name] = value;
            Self::signed(&header, &claims, &self.own)
        };
        match way % FORGERIES {
            0 => Self::signed(&header, &good, &self.stranger),
            1 => format!("{}.{}.", B64.encode(json!({ "alg": "none" }).to_string()), B64.encode(good.to_string())),
            2 => with("exp", json!(good["iat"].as_i64().unwrap() - 60)),
            3 => with("aud", json!("another")),
            4 => with("iss", json!("https://another.example")),
            5 => self.hashed(&good),
            6 => with("exp", json!("tomorrow")),
            _ => {
                // Somebody else's claims under a signature that was right for others.
                let token = self.token(user, Some(Uuid::new_v4()), "SchoolAdmin");
                let (head, signature) = (token.split('.').next().unwrap(), token.rsplit('.').next().unwrap());
                format!("{head}.{}.{signature}", B64.encode(good.to_string()))
            }
        }
    }

    fn signed(header: &Value, claims: &Value, key: &Ed25519KeyPair) -> String {
        let message = format!("{}.{}", B64.encode(header.to_string()), B64.encode(claims.to_string()));
        let signature = B64.encode(key.sign(message.as_bytes()));
        format!("{message}.{signature}")
    }

    /// HS256 with the public key as its secret.
    fn hashed(&self, claims: &Value) -> String {
        let header = json!({ "alg": "HS256", "kid": self.id });
        let message = format!("{}.{}", B64.encode(header.to_string()), B64.encode(claims.to_string()));
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.own.public_key().as_ref());
        format!("{message}.{}", B64.encode(hmac::sign(&key, message.as_bytes())))
    }
}

fn claims(user: Uuid, tenant: Option<Uuid>, role: &str) -> Value {
    let now = chrono::Utc::now().timestamp();
    let mut claims = json!({
        "iss": "https://dailycare.local", "aud": "dailycare-api", "sub": user, "exp": now + 600, "nbf": now, "iat": now, "jti": Uuid::new_v4(), "role": role,
    });
    if let Some(tenant) = tenant {
        claims["tenant_id"] = json!(tenant);
    }
    claims
}
