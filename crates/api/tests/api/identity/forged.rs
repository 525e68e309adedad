//! Tokens that somebody made up, altered, stole or kept too long: every one of them is 401, and none makes this program ask anybody.

mod cases;
pub(super) mod forge;

use self::cases::{algorithm_cases, claim_cases, external_cases, form_cases, header_cases, time_cases};
use self::forge::{Forge, compact, external_claims, now};
use super::issuer::Jwks;
use super::*;

pub(super) const EXTERNAL: &str = "https://login.example";
pub(super) const EXTERNAL_AUDIENCE: &str = "dailycare-api";

async fn site(forge: &Forge, jwks: &Jwks) -> Site {
    let external = jwks.external(EXTERNAL, EXTERNAL_AUDIENCE);
    let site = Site::with(Version::V18, |settings| {
        settings.external = Some(external);
        std::fs::write(&settings.signing_key_file, forge.file()).unwrap();
    });
    let site = site.await;
    jwks.until_fetched().await;
    site
}

#[tokio::test]
async fn tokens_that_are_right_are_accepted_for_what_they_say() {
    let (forge, jwks) = (Forge::new(), Jwks::start().await);
    jwks.serve(forge.jwks());
    let site = site(&forge, &jwks).await;
    let own = site.identity.verify(&forge.own(&json!({}), &json!({}))).await.unwrap();
    assert_eq!(
        (own.user.0, own.tenant.map(|tenant| tenant.0), own.impersonation, own.must_change_password),
        (ANA, Some(NORTE), None, false)
    );
    let types = ["JWT", "jwt", "AT+JWT", "application/at+jwt", "Application/JWT"].map(|typ| json!({ "typ": typ }));
    for header in types.into_iter().chain([json!({ "typ": null }), json!({ "x-unknown": 1 })]) {
        assert!(site.identity.verify(&forge.own_header(&header)).await.is_ok(), "{header}");
    }
    let staff = site.identity.verify(&forge.own_claims(&json!({ "sub": ROOT, "tenant_id": null, "role": "PlatformAdmin" }))).await.unwrap();
    assert_eq!((staff.user.0, staff.tenant), (ROOT, None));

    let claims = external_claims().to_string();
    let header = |alg: &str, kid: &str| json!({ "alg": alg, "kid": kid }).to_string();
    let mut users = std::collections::BTreeSet::new();
    for token in [
        forge.external(&json!({}), &json!({})),
        compact(&header("ES256", "ec"), &claims, |message| forge.sign_ec(message)),
        compact(&header("RS256", "rsa"), &claims, |message| forge.sign_rsa(message)),
        forge.external(&json!({}), &json!({ "aud": ["other", EXTERNAL_AUDIENCE] })),
        forge.external(&json!({}), &json!({ "nbf": null })),
        forge.external(&json!({}), &json!({ "nbf": now() + 30 })),
        forge.external(&json!({ "typ": "application/at+jwt" }), &json!({ "nbf": null })),
        forge.external(&json!({ "typ": "jwt" }), &json!({ "iat": now() + 30 })),
        with_fractions(&forge),
    ] {
        let principal = site.identity.verify(&token).await.unwrap();
        assert_eq!((principal.role, principal.tenant.map(|tenant| tenant.0)), (None, Some(NORTE)), "the other issuer's role counts");
        users.insert(principal.user.0);
    }
    assert_eq!(users.len(), 1, "one sub is several users");
    let user = async |sub: Value| site.identity.verify(&forge.external(&json!({}), &json!({ "sub": sub }))).await.unwrap().user.0;
    let derived = |sub: &str| Uuid::new_v5(&Uuid::new_v5(&Uuid::NAMESPACE_URL, EXTERNAL.as_bytes()), sub.as_bytes());
    assert_eq!(users.first(), Some(&derived("ana")));
    assert_eq!(user(json!(ANA)).await, derived(&ANA.to_string()), "another issuer's sub is taken for an account");
}

/// Times as RFC 7519 allows them.
fn with_fractions(forge: &Forge) -> String {
    let fraction = |seconds: i64| serde_json::from_str::<Value>(&format!("{seconds}.25")).unwrap();
    forge.external(&json!({}), &json!({ "iat": fraction(now()), "nbf": fraction(now()), "exp": fraction(now() + 600) }))
}

#[tokio::test]
async fn more_than_sixty_forged_tokens_are_each_refused() {
    let (forge, jwks) = (Forge::new(), Jwks::start().await);
    jwks.serve(forge.jwks());
    let site = site(&forge, &jwks).await;
    let cases = [
        algorithm_cases(&forge),
        header_cases(&forge, &jwks),
        time_cases(&forge),
        claim_cases(&forge),
        form_cases(&forge),
        external_cases(&forge),
    ]
    .concat();
    let names: std::collections::BTreeSet<_> = cases.iter().map(|(name, _)| *name).collect();
    assert!(names.len() == cases.len() && names.len() >= 60, "{} names of {} cases", names.len(), cases.len());
    for (name, token) in &cases {
        let code = site.identity.verify(token).await.err().map(|error| error.code);
        assert_eq!(code, Some(Code::Unauthenticated), "{name}");
    }
    let issued = site.login("ana@norte.example", PASSWORD).await;
    let refused = site.identity.verify(issued.refresh()).await.err().map(|error| error.code);
    assert_eq!(refused, Some(Code::Unauthenticated), "a refresh token opens what an access token does");
    assert_eq!(jwks.fetches(), 1, "tokens made this program fetch keys");
    assert_eq!(jwks.strays(), 0, "a token's header was followed");
    assert!(site.identity.verify(&forge.own(&json!({}), &json!({}))).await.is_ok(), "the right token is refused too");
}
