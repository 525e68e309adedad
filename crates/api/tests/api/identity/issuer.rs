//! Keys: the file's and another issuer's, as they change, go away and come back.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use api::identity::{External, Subject};
use aws_lc_rs::signature::KeyPair as _;
use axum::extract::State;
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::routing::get;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64;
use tokio::sync::Notify;

use super::forged::forge::Forge;
use super::forged::{EXTERNAL, EXTERNAL_AUDIENCE};
use super::*;

/// What the issuer's address answers.
enum Says {
    Keys(Value),
    Status(StatusCode),
    Redirect,
    Endless,
    /// Nothing before it says something else.
    Nothing,
}

struct Inner {
    says: Mutex<Says>,
    said: Notify,
    fetches: AtomicUsize,
    strays: AtomicUsize,
}

/// Another issuer's key server on loopback.
pub(super) struct Jwks {
    inner: Arc<Inner>,
    address: String,
    _stop: DropGuard,
}

async fn keys(State(inner): State<Arc<Inner>>) -> Response {
    inner.fetches.fetch_add(1, Ordering::SeqCst);
    loop {
        let said = inner.said.notified();
        if !matches!(*inner.says.lock().unwrap(), Says::Nothing) {
            break;
        }
        said.await;
    }
    match &*inner.says.lock().unwrap() {
        Says::Keys(keys) => axum::Json(keys.clone()).into_response(),
        Says::Status(status) => status.into_response(),
        Says::Redirect => Redirect::temporary("/elsewhere").into_response(),
        Says::Endless => " ".repeat(1 << 20).into_response(),
        Says::Nothing => unreachable!("waited for"),
    }
}

async fn elsewhere(State(inner): State<Arc<Inner>>) -> StatusCode {
    inner.strays.fetch_add(1, Ordering::SeqCst);
    StatusCode::NO_CONTENT
}

impl Jwks {
    pub(super) async fn start() -> Self {
        let inner = Arc::new(Inner {
            says: Mutex::new(Says::Status(StatusCode::SERVICE_UNAVAILABLE)),
            said: Notify::new(),
            fetches: AtomicUsize::new(0),
            strays: AtomicUsize::new(0),
        });
        let router = Router::new().route("/keys", get(keys)).fallback(elsewhere).with_state(Arc::clone(&inner));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let stop = CancellationToken::new();
        let stopped = stop.clone().cancelled_owned();
        tokio::spawn(async move { axum::serve(listener, router).with_graceful_shutdown(stopped).await.unwrap() });
        Self { inner, address, _stop: stop.drop_guard() }
    }

    pub(super) fn external(&self, issuer: &str, audience: &str) -> External {
        External::new(issuer, format!("{}/keys", self.address), audience)
    }

    pub(super) fn stray(&self) -> String {
        format!("{}/elsewhere", self.address)
    }

    pub(super) fn serve(&self, keys: Value) {
        self.say(Says::Keys(keys));
    }

    fn say(&self, says: Says) {
        *self.inner.says.lock().unwrap() = says;
        self.inner.said.notify_waiters();
    }

    pub(super) fn fetches(&self) -> usize {
        self.inner.fetches.load(Ordering::SeqCst)
    }

    pub(super) fn strays(&self) -> usize {
        self.inner.strays.load(Ordering::SeqCst)
    }

    pub(super) async fn until_fetched(&self) {
        until("the keys are fetched", async || self.fetches() > 0).await;
    }
}

pub(super) fn ed(forge: &Forge, kid: &str) -> Value {
    json!({ "keys": [{ "kty": "OKP", "crv": "Ed25519", "x": B64.encode(forge.ed.public_key()), "kid": kid }] })
}

async fn site(jwks: &Jwks, set: impl FnOnce(&mut External)) -> Site {
    let mut external = jwks.external(EXTERNAL, EXTERNAL_AUDIENCE);
    set(&mut external);
    let site = Site::with(Version::V18, |settings| settings.external = Some(external)).await;
    jwks.until_fetched().await;
    site
}

pub(super) async fn code(site: &Site, token: &str) -> Option<Code> {
    site.identity.verify(token).await.err().map(|error| error.code)
}

#[tokio::test]
async fn an_unknown_key_is_fetched_once_for_all_who_ask_and_not_again_within_the_pause() {
    let (forge, jwks) = (Forge::new(), Jwks::start().await);
    jwks.serve(ed(&forge, "ed"));
    let site = site(&jwks, |_| {}).await;
    let unknown = forge.external(&json!({ "kid": "new" }), &json!({}));
    let codes = futures::future::join_all((0..50).map(|_| code(&site, &unknown))).await;
    assert!(codes.iter().all(|code| *code == Some(Code::Unauthenticated)));
    assert_eq!(jwks.fetches(), 1, "within a minute of the first fetch there was another");
    assert_eq!(code(&site, &forge.external(&json!({}), &json!({}))).await, None);
}

#[tokio::test]
async fn a_caller_that_goes_away_in_the_middle_of_a_fetch_does_not_cost_the_next_one_the_key() {
    let (forge, jwks) = (Forge::new(), Jwks::start().await);
    let site = Site::start(Version::V18).await;
    let mut settings = Settings::new(ISSUER, AUDIENCE, site.keys.path().join("keys"));
    settings.external = Some(jwks.external(EXTERNAL, EXTERNAL_AUDIENCE));
    // Nothing but callers has it fetch.
    let identity = Identity::start(settings, site.api.clone()).await.unwrap();
    let token = forge.external(&json!({}), &json!({}));
    jwks.say(Says::Nothing);
    let verifying = tokio::spawn({
        let (identity, token) = (Arc::clone(&identity), token.clone());
        async move { identity.verify(&token).await.map(drop) }
    });
    jwks.until_fetched().await;
    verifying.abort();
    assert!(verifying.await.unwrap_err().is_cancelled());
    jwks.serve(ed(&forge, "ed"));
    assert_eq!(identity.verify(&token).await.err().map(|error| error.code), None);
    assert_eq!(jwks.fetches(), 1, "within a minute of the first fetch there was another");
}

#[tokio::test]
async fn a_key_that_the_issuer_rotated_in_is_found_when_its_first_token_comes() {
    let (forge, jwks) = (Forge::new(), Jwks::start().await);
    jwks.serve(ed(&forge, "ed"));
    let site = site(&jwks, |external| external.pause = Duration::ZERO).await;
    let (old, new) = (forge.external(&json!({}), &json!({})), forge.external(&json!({ "kid": "ed2" }), &json!({})));
    until("the first key is known", async || code(&site, &old).await.is_none()).await;
    jwks.serve(ed(&forge, "ed2"));
    assert_eq!(code(&site, &new).await, None);
    assert_eq!(code(&site, &old).await, Some(Code::Unauthenticated), "a key that is gone still counts");
}

#[tokio::test]
async fn an_issuers_keys_outlive_its_outage_until_they_are_too_old_then_nobody_enters() {
    let (forge, jwks) = (Forge::new(), Jwks::start().await);
    jwks.serve(ed(&forge, "ed"));
    let token = forge.external(&json!({}), &json!({}));
    let kept = site(&jwks, |external| external.pause = Duration::ZERO).await;
    until("the key is known", async || code(&kept, &token).await.is_none()).await;
    for says in [Says::Status(StatusCode::INTERNAL_SERVER_ERROR), Says::Redirect, Says::Endless, Says::Keys(json!({ "keys": [] }))] {
        jwks.say(says);
        let before = jwks.fetches();
        assert_eq!(code(&kept, &forge.external(&json!({ "kid": "x" }), &json!({}))).await, Some(Code::Unauthenticated));
        assert!(jwks.fetches() > before, "the issuer got no request");
        assert_eq!(code(&kept, &token).await, None, "a bad answer took the keys away");
    }
    assert_eq!(jwks.strays(), 0, "a redirect was followed");

    // The same keys with an age that they reach: closed, whoever asks, and open again once the issuer is back.
    jwks.serve(ed(&forge, "ed"));
    let aging = site(&jwks, |external| (external.pause, external.max_age) = (Duration::from_millis(1), Duration::from_millis(300))).await;
    jwks.say(Says::Status(StatusCode::BAD_GATEWAY));
    until("the keys are too old", async || code(&aging, &token).await == Some(Code::IssuerUnavailable)).await;
    let error = aging.identity.verify(&token).await.unwrap_err();
    assert!(error.retry_after.is_some());
    jwks.serve(ed(&forge, "ed"));
    until("the issuer is back", async || code(&aging, &token).await.is_none()).await;
}

#[tokio::test]
async fn an_issuer_that_never_answered_lets_nobody_in_and_leaves_own_tokens_alone() {
    let (forge, jwks) = (Forge::new(), Jwks::start().await);
    let site = site(&jwks, |_| {}).await;
    assert_eq!(code(&site, &forge.external(&json!({}), &json!({}))).await, Some(Code::IssuerUnavailable));
    let session = site.login("ana@norte.example", PASSWORD).await;
    assert_eq!(code(&site, session.access()).await, None);
}

#[tokio::test]
async fn another_issuers_user_is_an_account_only_where_configured_and_in_its_school() {
    let (forge, jwks) = (Forge::new(), Jwks::start().await);
    jwks.serve(ed(&forge, "ed"));
    for (subject, is_account) in [(Subject::Derived, false), (Subject::UserId, true)] {
        let site = site(&jwks, |external| external.subject = subject).await;
        let of = |sub: Value, tenant: Uuid| forge.external(&json!({}), &json!({ "sub": sub, "tenant_id": tenant }));
        until("the key is known", async || code(&site, &of(json!(ANA), NORTE)).await.is_none()).await;
        let me = async |token: String| site.me(&token).await.body["data"].clone();
        let ana = me(of(json!(ANA), NORTE)).await;
        assert_eq!((ana["id"] == json!(ANA), ana["email"] == "Ana@norte.example"), (is_account, is_account), "{subject:?} {ana}");
        assert_eq!((&ana["role"], &ana["tenant_id"]), (&Value::Null, &json!(NORTE)));
        // What `/auth/me` says is what the school gives roles to.
        let principal = site.identity.verify(&of(json!(ANA), NORTE)).await.unwrap();
        assert_eq!((json!(principal.user.0), principal.role), (ana["id"].clone(), None));
        // Accounts of another school and of the platform, named with this one.
        for (sub, tenant) in [(ANA, SUL), (ROOT, NORTE)] {
            let other = me(of(json!(sub), tenant)).await;
            assert_eq!(
                (&other["name"], &other["email"], &other["role"]),
                (&Value::Null, &Value::Null, &Value::Null),
                "{subject:?} {other}"
            );
        }
        let refused = is_account.then_some(Code::Unauthenticated);
        assert_eq!(code(&site, &of(json!("ana"), NORTE)).await, refused, "{subject:?}");
    }
}

#[tokio::test]
async fn own_keys_rotate_without_a_restart_and_a_removed_key_verifies_nothing() {
    let site = Site::with(Version::V18, |settings| settings.key_file_period = Duration::from_millis(20)).await;
    let kids = async || {
        let keys = site.send("GET", "/.well-known/jwks.json", None, None).await.body["keys"].clone();
        keys.as_array().unwrap().iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let kid = |token: &str| {
        let header: Value = serde_json::from_slice(&B64.decode(token.split('.').next().unwrap()).unwrap()).unwrap();
        header["kid"].as_str().unwrap().to_owned()
    };
    let old = site.login("ana@norte.example", PASSWORD).await;
    let old_file = std::fs::read_to_string(site.keys.path().join("keys")).unwrap();
    let new_file = SigningKeys::generate_file("k2").unwrap();
    write_keys(&site.keys, &format!("{}{old_file}", new_file.expose_secret()));
    until("both keys are public", async || kids().await == ["k2", "k1"]).await;
    let new = site.login("ana@norte.example", PASSWORD).await;
    assert_eq!((kid(old.access()), kid(new.access())), ("k1".to_owned(), "k2".to_owned()));
    assert_eq!((code(&site, old.access()).await, code(&site, new.access()).await), (None, None));
    write_keys(&site.keys, new_file.expose_secret());
    until("the old key is gone", async || kids().await == ["k2"]).await;
    assert_eq!(code(&site, old.access()).await, Some(Code::Unauthenticated));
    assert_eq!(code(&site, new.access()).await, None);
}

#[tokio::test]
async fn public_keys_are_public_and_may_be_kept_for_minutes() {
    let site = Site::start(Version::V18).await;
    let request = Request::builder().uri("/.well-known/jwks.json").body(Body::empty()).unwrap();
    let response = site.router.clone().oneshot(request).await.unwrap();
    assert_eq!(response.headers()[header::CACHE_CONTROL], "public, max-age=300");
    let keys: Value = serde_json::from_slice(&axum::body::to_bytes(response.into_body(), 1 << 16).await.unwrap()).unwrap();
    let members: Vec<_> = keys["keys"][0].as_object().unwrap().keys().cloned().collect();
    assert_eq!(members, ["alg", "crv", "kid", "kty", "use", "x"], "a private member is public, or a needed one is missing");
}
