//! The tokens that must be refused, by the part of them that is wrong.

use aws_lc_rs::hmac;
use aws_lc_rs::signature::KeyPair as _;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE, URL_SAFE_NO_PAD as B64};
use serde_json::{Value, json};
use uuid::Uuid;

use super::forge::{Forge, compact, external_claims, merged, now, own_claims, own_header};
use super::{EXTERNAL, EXTERNAL_AUDIENCE};
use crate::identity::issuer::Jwks;
use crate::identity::{ANA, AUDIENCE, ISSUER, NORTE, ROOT, SUL};

pub(super) type Cases = Vec<(&'static str, String)>;

pub(super) fn algorithm_cases(forge: &Forge) -> Cases {
    let unsigned = |alg: &str| compact(&merged(own_header(), &json!({ "alg": alg })), &own_claims().to_string(), |_| Vec::new());
    let public = forge.own.public_key().as_ref().to_vec();
    let hs256 = |kid: &str, issuer: Value, secret: &[u8]| {
        compact(&json!({ "alg": "HS256", "kid": kid }).to_string(), &issuer.to_string(), |message| {
            hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), message).as_ref().to_vec()
        })
    };
    let as_external = |alg: &str, kid: &str, sign: &dyn Fn(&[u8]) -> Vec<u8>| {
        compact(&json!({ "alg": alg, "kid": kid }).to_string(), &external_claims().to_string(), sign)
    };
    vec![
        ("alg none", unsigned("none")),
        ("alg None", unsigned("None")),
        ("alg nOnE", unsigned("nOnE")),
        ("alg none with the right signature", forge.own_header(&json!({ "alg": "none" }))),
        ("alg empty", forge.own_header(&json!({ "alg": "" }))),
        ("alg missing", forge.own_header(&json!({ "alg": null }))),
        ("alg unknown", forge.own_header(&json!({ "alg": "EdDSA2" }))),
        ("alg in another case", forge.own_header(&json!({ "alg": "eddsa" }))),
        ("alg a list", forge.own_header(&json!({ "alg": ["EdDSA"] }))),
        ("alg of another key", forge.own_header(&json!({ "alg": "RS256" }))),
        ("HS256 with the public key as secret", hs256("k1", own_claims(), &public)),
        ("HS256 with the public key's text as secret", hs256("k1", own_claims(), B64.encode(&public).as_bytes())),
        (
            "HS256 with the issuer's RSA modulus as secret",
            hs256("rsa", external_claims(), forge.jwks()["keys"][2]["n"].as_str().unwrap().as_bytes()),
        ),
        ("HS256 with a secret of the key set", hs256("oct", external_claims(), &[5; 32])),
        ("HS256 with an empty secret", hs256("k1", own_claims(), b"")),
        ("RS256 named, ECDSA key", as_external("RS256", "ec", &|message| forge.sign_rsa(message))),
        ("ES256 named, RSA key", as_external("ES256", "rsa", &|message| forge.sign_ec(message))),
        ("PS256 for an RS256 key", as_external("PS256", "rsa", &|message| forge.sign_pss(message))),
        ("RS256 named, signed as PS256", as_external("RS256", "rsa", &|message| forge.sign_pss(message))),
        ("ES256 of all zeros", as_external("ES256", "ec", &|_| vec![0; 64])),
    ]
}

pub(super) fn header_cases(forge: &Forge, jwks: &Jwks) -> Cases {
    let stray = jwks.stray();
    let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "x": B64.encode(forge.stranger.public_key()) });
    let strangers = |header: Value| {
        compact(&merged(own_header(), &header), &own_claims().to_string(), |message| forge.stranger.sign(message).as_ref().to_vec())
    };
    vec![
        ("kid missing", forge.own_header(&json!({ "kid": null }))),
        ("kid empty", forge.own_header(&json!({ "kid": "" }))),
        ("kid unknown", forge.own_header(&json!({ "kid": "k9" }))),
        ("kid of another key of the file", forge.own_header(&json!({ "kid": "k2" }))),
        ("kid like a path", forge.own_header(&json!({ "kid": "../../../../dev/null" }))),
        ("kid like SQL", forge.own_header(&json!({ "kid": "k1' UNION SELECT 'x'--" }))),
        ("kid a number", forge.own_header(&json!({ "kid": 1 }))),
        ("kid of a megabyte", forge.own_header(&json!({ "kid": "k".repeat(1 << 20) }))),
        ("kid of a kilobyte", forge.own_header(&json!({ "kid": "k".repeat(1 << 10) }))),
        ("kid with spaces around", forge.own_header(&json!({ "kid": " k1 " }))),
        ("kid of the other issuer", forge.own_header(&json!({ "kid": "ed" }))),
        ("jku", strangers(json!({ "jku": stray }))),
        ("jku beside the right signature", forge.own_header(&json!({ "jku": stray }))),
        ("x5u", forge.own_header(&json!({ "x5u": stray }))),
        ("x5c", forge.own_header(&json!({ "x5c": ["AA=="] }))),
        ("jwk", strangers(json!({ "jwk": jwk }))),
        ("crit", forge.own_header(&json!({ "crit": ["exp"] }))),
        ("crit empty", forge.own_header(&json!({ "crit": [] }))),
        ("zip", forge.own_header(&json!({ "zip": "DEF" }))),
        ("b64 off", forge.own_header(&json!({ "b64": false }))),
        ("typ of another token", forge.own_header(&json!({ "typ": "logout+jwt" }))),
        ("typ a list", forge.own_header(&json!({ "typ": ["JWT"] }))),
        ("a stranger's signature", strangers(json!({}))),
    ]
}

pub(super) fn time_cases(forge: &Forge) -> Cases {
    let now = now();
    let with = |claim: &str, value: Value| forge.own_claims(&json!({ claim: value }));
    vec![
        ("expired", forge.own_claims(&json!({ "exp": now - 60, "iat": now - 600, "nbf": now - 600 }))),
        ("exp missing", with("exp", Value::Null)),
        ("exp a text", with("exp", json!((now + 600).to_string()))),
        (
            "exp a float",
            forge.raw(
                &own_header().to_string(),
                &own_claims().to_string().replace(&format!("\"exp\":{}", now + 600), &format!("\"exp\":{}.5", now + 600)),
            ),
        ),
        (
            "exp with an exponent",
            forge.raw(&own_header().to_string(), &own_claims().to_string().replace(&format!("\"exp\":{}", now + 600), "\"exp\":1e10")),
        ),
        ("exp negative", with("exp", json!(-1))),
        ("exp zero", with("exp", json!(0))),
        ("exp 2^63", with("exp", json!(1_u64 << 63))),
        ("exp 2^64 - 1", with("exp", json!(u64::MAX))),
        (
            "exp beyond every integer",
            forge.raw(
                &own_header().to_string(),
                &own_claims().to_string().replace(&format!("\"exp\":{}", now + 600), "\"exp\":123456789012345678901234567890"),
            ),
        ),
        ("exp true", with("exp", json!(true))),
        ("exp a list", with("exp", json!([now + 600]))),
        ("exp in a day", with("exp", json!(now + 86_400))),
        ("exp in milliseconds", with("exp", json!((now + 600) * 1000))),
        ("nbf in the future", with("nbf", json!(now + 300))),
        ("nbf missing", with("nbf", Value::Null)),
        ("nbf a text", with("nbf", json!(now.to_string()))),
        ("iat far in the future", forge.own_claims(&json!({ "iat": now + 3600, "exp": now + 4200 }))),
        ("iat missing", with("iat", Value::Null)),
        ("iat after exp", forge.own_claims(&json!({ "iat": now + 50, "exp": now + 40 }))),
        ("iat long ago", with("iat", json!(now - 86_400))),
    ]
}

pub(super) fn claim_cases(forge: &Forge) -> Cases {
    let with = |claim: &str, value: Value| forge.own_claims(&json!({ claim: value }));
    let staff = |change: Value| {
        let mut claims = json!({ "aud": format!("{AUDIENCE}/impersonation"), "sub": ROOT, "role": "PlatformAdmin", "act": { "sub": ROOT }, "reason": "helping out" });
        for (name, value) in change.as_object().unwrap() {
            claims[name] = value.clone();
        }
        forge.own_claims(&claims)
    };
    let twice = |claim: &str| forge.raw(&own_header().to_string(), &own_claims().to_string().replacen('{', &format!("{{{claim},"), 1));
    vec![
        ("iss wrong", with("iss", json!("https://evil.example"))),
        ("iss missing", with("iss", Value::Null)),
        ("iss a list with the right one", with("iss", json!([ISSUER]))),
        ("iss with a slash more", with("iss", json!(format!("{ISSUER}/")))),
        ("iss of another environment", with("iss", json!("https://staging.dailycare.example"))),
        ("iss of the other issuer", with("iss", json!(EXTERNAL))),
        ("aud wrong", with("aud", json!("other"))),
        ("aud missing", with("aud", Value::Null)),
        ("aud empty", with("aud", json!(""))),
        ("aud a list with the right one", with("aud", json!([AUDIENCE]))),
        ("aud a list of both audiences", with("aud", json!([AUDIENCE, format!("{AUDIENCE}/impersonation")]))),
        ("aud an object", with("aud", json!({ AUDIENCE: true }))),
        ("aud with the right one as prefix", with("aud", json!(format!("{AUDIENCE}2")))),
        ("aud of the other issuer", with("aud", json!(EXTERNAL_AUDIENCE))),
        ("tenant_id missing", with("tenant_id", Value::Null)),
        ("tenant_id no UUID", with("tenant_id", json!("norte"))),
        ("tenant_id a list", with("tenant_id", json!([NORTE]))),
        ("tenant_id nil", with("tenant_id", json!(Uuid::nil()))),
        ("tenant_id in braces", with("tenant_id", json!(format!("{{{NORTE}}}")))),
        ("tenant_id of platform staff who act for none", forge.own_claims(&json!({ "sub": ROOT, "role": "PlatformAdmin" }))),
        ("tenant_id empty of platform staff", forge.own_claims(&json!({ "sub": ROOT, "role": "PlatformAdmin", "tenant_id": "" }))),
        ("sub missing", with("sub", Value::Null)),
        ("sub empty", with("sub", json!(""))),
        ("sub no UUID", with("sub", json!("ana"))),
        ("sub a number", with("sub", json!(1))),
        ("jti missing", with("jti", Value::Null)),
        ("role missing", with("role", Value::Null)),
        ("role unknown", with("role", json!("Owner"))),
        ("role a list", with("role", json!(["SchoolAdmin"]))),
        ("must_change_password a text", with("must_change_password", json!("false"))),
        ("impersonation's audience without who acts", with("aud", json!(format!("{AUDIENCE}/impersonation")))),
        ("impersonation without a reason", staff(json!({ "reason": "" }))),
        ("impersonation without a school", staff(json!({ "tenant_id": null }))),
        ("impersonation by a school's own user", staff(json!({ "role": "SchoolAdmin" }))),
        ("impersonation by somebody else than sub", staff(json!({ "act": { "sub": ANA } }))),
        ("impersonation with the access audience", staff(json!({ "aud": AUDIENCE }))),
        ("tenant_id twice", twice(&format!("\"tenant_id\":\"{SUL}\""))),
        ("exp twice", twice("\"exp\":9999999999")),
        ("an unknown claim twice", twice("\"x\":1,\"x\":2")),
    ]
}

pub(super) fn form_cases(forge: &Forge) -> Cases {
    let right = forge.own(&json!({}), &json!({}));
    let parts: Vec<&str> = right.split('.').collect();
    let [header, claims, signature] = [parts[0], parts[1], parts[2]];
    let other = forge.own_claims(&json!({ "tenant_id": SUL }));
    let others: Vec<&str> = other.split('.').collect();
    let bytes = B64.decode(signature).unwrap();
    let last = |c: char| format!("{header}.{claims}.{}{c}", &signature[..signature.len() - 1]);
    // 64 bytes leave four bits of the last character unused: another character may say the same bytes.
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let twin = alphabet.chars().nth(alphabet.find(signature.chars().last().unwrap()).unwrap() | 1).unwrap();
    let mut flipped = bytes.clone();
    flipped[10] ^= 1;
    vec![
        ("empty", String::new()),
        ("dots alone", "..".into()),
        ("one part", header.into()),
        ("two parts", format!("{header}.{claims}")),
        ("four parts", format!("{right}.{signature}")),
        ("five parts, as an encrypted token has", format!("{right}.a.b")),
        ("truncated by one character", right[..right.len() - 1].into()),
        ("signature stripped", format!("{header}.{claims}.")),
        ("signature of another token", format!("{header}.{claims}.{}", others[2])),
        ("claims of another token", format!("{header}.{}.{signature}", others[1])),
        ("signature with a bit flipped", format!("{header}.{claims}.{}", B64.encode(flipped))),
        ("signature with a byte more", format!("{header}.{claims}.{}", B64.encode([bytes.as_slice(), &[0]].concat()))),
        ("signature in another base64 form", last(twin)),
        ("signature padded", format!("{right}==")),
        ("header padded", format!("{}.{claims}.{signature}", URL_SAFE.encode(format!("{} ", own_header())))),
        ("standard alphabet", format!("{header}.{claims}.{}", STANDARD.encode(&bytes))),
        ("not base64", format!("{header}.{claims}.!!!!")),
        ("a space before", format!(" {right}")),
        ("a newline after", format!("{right}\n")),
        ("a newline within", format!("{header}.\n{claims}.{signature}")),
        ("a zero byte after", format!("{right}\0")),
        ("claims no JSON", forge.raw(&own_header().to_string(), "canary")),
        ("claims a list", forge.raw(&own_header().to_string(), "[]")),
        ("claims null", forge.raw(&own_header().to_string(), "null")),
        ("claims nested without end", forge.raw(&own_header().to_string(), &"[".repeat(3000))),
        ("claims with text after", forge.raw(&own_header().to_string(), &format!("{} {{}}", own_claims()))),
        ("header no object", forge.raw("\"EdDSA\"", &own_claims().to_string())),
        ("header's alg twice", forge.raw(r#"{"alg":"none","alg":"EdDSA","kid":"k1"}"#, &own_claims().to_string())),
        ("more than 8 KiB", forge.own_claims(&json!({ "x": "x".repeat(8 * 1024) }))),
        ("JSON instead of the compact form", json!({ "protected": header, "payload": claims, "signature": signature }).to_string()),
    ]
}

pub(super) fn external_cases(forge: &Forge) -> Cases {
    let with = |claim: &str, value: Value| forge.external(&json!({}), &json!({ claim: value }));
    let own_key = compact(&json!({ "alg": "EdDSA", "kid": "k1" }).to_string(), &external_claims().to_string(), |message| {
        forge.own.sign(message).as_ref().to_vec()
    });
    vec![
        ("external: signed by this API's own key", own_key),
        ("external: kid unknown", forge.external(&json!({ "kid": "new" }), &json!({}))),
        ("external: this API's own audience", with("aud", json!(AUDIENCE))),
        ("external: aud a list without it", with("aud", json!(["a", "b"]))),
        ("external: aud a list with a number", with("aud", json!([1, EXTERNAL_AUDIENCE]))),
        ("external: tenant_id missing", with("tenant_id", Value::Null)),
        ("external: tenant_id a list", with("tenant_id", json!([NORTE, SUL]))),
        ("external: sub missing", with("sub", Value::Null)),
        ("external: nbf a text", with("nbf", json!(now().to_string()))),
        ("external: nbf in five minutes", with("nbf", json!(now() + 300))),
        ("external: exp a text", with("exp", json!((now() + 600).to_string()))),
        ("external: iat missing", with("iat", Value::Null)),
        ("external: expired, with a fraction", with("exp", json!(0.5))),
        ("external: typ of another token", forge.external(&json!({ "typ": "application/logout+jwt" }), &json!({}))),
        ("external: lasts a month", with("exp", json!(now() + 30 * 86_400))),
        ("external: claims this API's own name", forge.external(&json!({}), &json!({ "iss": ISSUER, "aud": AUDIENCE }))),
    ]
}
