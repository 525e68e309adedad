//! Tokens as the API itself would sign them, without a login for each of thousands of users: a login hashes a password, which is not what is measured.
//!
//! Must not use another key than the measured API's.

use api::identity::SigningKeys;
use aws_lc_rs::signature::Ed25519KeyPair;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use chrono::Utc;
use domain::names::TenantId;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;
use uuid::Uuid;

use crate::Outcome;

const KEY: &str = "bench";

/// A signing key file and what signs by it.
pub(crate) struct Signer {
    pub(crate) file: SecretString,
    pair: Ed25519KeyPair,
}

impl Signer {
    pub(crate) fn new() -> Outcome<Self> {
        let file = SigningKeys::generate_file(KEY)?;
        let seed = file.expose_secret().trim().split_once(':').ok_or("a key file of another form")?.1;
        let pair = Ed25519KeyPair::from_seed_unchecked(&STANDARD.decode(seed)?)?;
        Ok(Self { file, pair })
    }

    /// An access token of a new user of this school, for an hour.
    pub(crate) fn token(&self, tenant: TenantId) -> String {
        let now = Utc::now().timestamp();
        let claims = json!({
            "iss": "https://dailycare.local", "aud": "dailycare-api", "sub": Uuid::new_v4(), "iat": now, "nbf": now, "exp": now + 3600,
            "jti": Uuid::new_v4(), "tenant_id": tenant.0, "role": "SchoolAdmin",
        });
        let header = json!({ "alg": "EdDSA", "typ": "at+jwt", "kid": KEY });
        let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header.to_string()), URL_SAFE_NO_PAD.encode(claims.to_string()));
        let signature = URL_SAFE_NO_PAD.encode(self.pair.sign(message.as_bytes()));
        format!("{message}.{signature}")
    }
}
