//! Keys of every kind, and tokens made with them: right ones, and ones with any part changed.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RSA_PSS_SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD as B64};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{EXTERNAL, EXTERNAL_AUDIENCE};
use crate::identity::{ANA, AUDIENCE, ISSUER, NORTE};

/// Every kind of key that a token may be signed with, the right ones and a stranger's.
pub(in crate::identity) struct Forge {
    pub(in crate::identity) own: Ed25519KeyPair,
    pub(in crate::identity) stranger: Ed25519KeyPair,
    pub(in crate::identity) ed: Ed25519KeyPair,
    pub(in crate::identity) ec: EcdsaKeyPair,
    pub(in crate::identity) rsa: rsa::KeyPair,
}

impl Forge {
    pub(in crate::identity) fn new() -> Self {
        let ed = |seed| Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap();
        Self {
            own: ed(1),
            stranger: ed(2),
            ed: ed(3),
            ec: EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap(),
            rsa: rsa::KeyPair::generate(rsa::KeySize::Rsa2048).unwrap(),
        }
    }

    /// The file that holds the own key, and one that belongs to nobody who signs here.
    pub(in crate::identity) fn file(&self) -> String {
        assert_eq!(self.own.public_key().as_ref(), Ed25519KeyPair::from_seed_unchecked(&[1; 32]).unwrap().public_key().as_ref());
        format!("k1:{}\nk2:{}\n", STANDARD.encode([1; 32]), STANDARD.encode([9; 32]))
    }

    pub(in crate::identity) fn jwks(&self) -> Value {
        let (n, e): (Vec<u8>, Vec<u8>) = (
            self.rsa.public_key().modulus().big_endian_without_leading_zero().into(),
            self.rsa.public_key().exponent().big_endian_without_leading_zero().into(),
        );
        let point = self.ec.public_key().as_ref();
        json!({ "keys": [
            { "kty": "OKP", "crv": "Ed25519", "x": B64.encode(self.ed.public_key()), "kid": "ed", "use": "sig" },
            { "kty": "EC", "crv": "P-256", "x": B64.encode(&point[1..33]), "y": B64.encode(&point[33..]), "kid": "ec", "alg": "ES256" },
            { "kty": "RSA", "n": B64.encode(n), "e": B64.encode(e), "kid": "rsa", "alg": "RS256" },
            { "kty": "oct", "k": B64.encode([5; 32]), "kid": "oct", "alg": "HS256" },
        ]})
    }

    pub(in crate::identity) fn sign_ec(&self, message: &[u8]) -> Vec<u8> {
        self.ec.sign(&SystemRandom::new(), message).unwrap().as_ref().to_vec()
    }

    pub(in crate::identity) fn sign_rsa(&self, message: &[u8]) -> Vec<u8> {
        let mut signature = vec![0; self.rsa.public_modulus_len()];
        self.rsa.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature).unwrap();
        signature
    }

    pub(in crate::identity) fn sign_pss(&self, message: &[u8]) -> Vec<u8> {
        let mut signature = vec![0; self.rsa.public_modulus_len()];
        self.rsa.sign(&RSA_PSS_SHA256, &SystemRandom::new(), message, &mut signature).unwrap();
        signature
    }

    /// A token of the own key with these raw texts.
    pub(in crate::identity) fn raw(&self, header: &str, claims: &str) -> String {
        compact(header, claims, |message| self.own.sign(message).as_ref().to_vec())
    }

    /// A token of the own key, with members changed; null removes one.
    pub(in crate::identity) fn own(&self, header: &Value, claims: &Value) -> String {
        self.raw(&merged(own_header(), header), &merged(own_claims(), claims))
    }

    /// A token of the other issuer's Ed25519 key.
    pub(in crate::identity) fn external(&self, header: &Value, claims: &Value) -> String {
        let header = merged(json!({ "alg": "EdDSA", "kid": "ed" }), header);
        compact(&header, &merged(external_claims(), claims), |message| self.ed.sign(message).as_ref().to_vec())
    }

    pub(in crate::identity) fn own_header(&self, change: &Value) -> String {
        self.own(change, &json!({}))
    }

    pub(in crate::identity) fn own_claims(&self, change: &Value) -> String {
        self.own(&json!({}), change)
    }
}

pub(in crate::identity) fn compact(header: &str, claims: &str, sign: impl FnOnce(&[u8]) -> Vec<u8>) -> String {
    let message = format!("{}.{}", B64.encode(header), B64.encode(claims));
    let signature = B64.encode(sign(message.as_bytes()));
    format!("{message}.{signature}")
}

pub(in crate::identity) fn merged(mut base: Value, change: &Value) -> String {
    for (name, value) in change.as_object().unwrap() {
        if value.is_null() {
            base.as_object_mut().unwrap().remove(name);
        } else {
            base[name] = value.clone();
        }
    }
    base.to_string()
}

pub(in crate::identity) fn now() -> i64 {
    chrono::Utc::now().timestamp()
}

pub(in crate::identity) fn own_header() -> Value {
    json!({ "alg": "EdDSA", "typ": "at+jwt", "kid": "k1" })
}

pub(in crate::identity) fn own_claims() -> Value {
    let now = now();
    json!({ "iss": ISSUER, "aud": AUDIENCE, "sub": ANA, "exp": now + 600, "nbf": now, "iat": now, "jti": Uuid::new_v4(), "tenant_id": NORTE, "role": "SchoolAdmin" })
}

pub(in crate::identity) fn external_claims() -> Value {
    let now = now();
    json!({ "iss": EXTERNAL, "aud": EXTERNAL_AUDIENCE, "sub": "ana", "exp": now + 600, "nbf": now, "iat": now, "tenant_id": NORTE, "role": "PlatformAdmin" })
}
