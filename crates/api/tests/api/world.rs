//! A running API before a platform of its own: the ground of every test that speaks HTTP.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::ops::Deref;
use std::path::Path;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use api::run::{self, Started};
use api::settings::Settings;
use metrics_exporter_prometheus::PrometheusHandle;
use postgres::url::Target;
use registry::password;
use reqwest::Method;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;
use tenancy::cache;
use testing::{self, Platform, PostgresOptions, Version};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::conformance;

/// The usual issuer of our own tokens.
const ISSUER: &str = "https://dailycare.local";

const PLENTY: NonZeroU32 = NonZeroU32::new(1_000_000).unwrap();

/// Every account's password; hashed once, because that is what costs.
pub(crate) const PASSWORD: &str = "canary-correct-horse-battery";

/// The recorder of this process.
pub(crate) static METRICS: LazyLock<PrometheusHandle> = LazyLock::new(|| api::metrics::install().unwrap());

/// A platform and one API on it. Clones share it.
#[derive(Clone)]
pub(crate) struct World(Arc<Ground>);

pub(crate) struct Ground {
    pub(crate) platform: Platform,
    pub(crate) api: Running,
    /// Holds `opening-keys` and `signing-keys`.
    pub(crate) files: tempfile::TempDir,
    hash: String,
}

/// An API in this process.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) http_address: SocketAddr,
    started: Mutex<Option<Started>>,
    stop: CancellationToken,
}

/// A world on the newest server, whose API has its usual settings.
pub(crate) async fn world() -> World {
    World::start(Version::V18, usual).await
}

impl World {
    /// On a server of this version, its API with these settings changed.
    pub(crate) async fn start(version: Version, change: impl FnOnce(&mut Settings)) -> Self {
        Self::over(version, PostgresOptions::default().with("max_connections", "300"), change).await
    }

    /// On a server with these settings.
    pub(crate) async fn over(version: Version, options: PostgresOptions, change: impl FnOnce(&mut Settings)) -> Self {
        let platform = Platform::start(version, options).await.unwrap();
        let files = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &SecretString| std::fs::write(files.path().join(name), text.expose_secret()).unwrap();
        write("opening-keys", &platform.opening_keys);
        write("signing-keys", &api::identity::SigningKeys::generate_file("s1").unwrap());
        let hash = password::hash_argon2id(&PASSWORD.to_owned().into()).await.unwrap();
        let api = Running::start(&platform, files.path(), change).await;
        Self(Arc::new(Ground { platform, api, files, hash }))
    }

    /// One more API on the same platform, as a second replica.
    pub(crate) async fn replica(&self, change: impl FnOnce(&mut Settings)) -> Running {
        Running::start(&self.platform, self.files.path(), change).await
    }

    /// The file of the keys that tokens are signed with.
    pub(crate) fn signing_keys(&self) -> String {
        std::fs::read_to_string(self.files.path().join("signing-keys")).unwrap()
    }

    /// The platform, and the API to be stopped before it.
    pub(crate) fn into_parts(self) -> (Platform, Running) {
        let Ground { platform, api, .. } = Arc::into_inner(self.0).unwrap();
        (platform, api)
    }

    /// A provisioned school that this API serves.
    pub(crate) async fn school(&self, code: &str) -> School {
        let school = self.platform.school(code).await.unwrap();
        School { world: self.clone(), school }
    }

    /// An account of the platform's staff.
    pub(crate) async fn staff(&self) -> Client {
        let (email, id) = (format!("{}@platform.example", Uuid::new_v4()), Uuid::new_v4());
        let insert = "INSERT INTO registry.users (id, name, email, password_hash, role, email_confirmed) VALUES ($1, 'Equipa', $2, $3, 'PlatformAdmin', true)";
        sqlx::query(insert).bind(id).bind(&email).bind(&self.hash).execute(&self.platform.operator).await.unwrap();
        Client::log_in(self.api.address, &email, id).await
    }
}

impl Deref for World {
    type Target = Ground;

    fn deref(&self) -> &Ground {
        &self.0
    }
}

/// The usual settings of a test's API.
pub(crate) fn usual(_: &mut Settings) {}

/// So many connections for one school, and four times as many requests.
pub(crate) fn connections(settings: &mut Settings, most: u32) {
    settings.pools.tenant_cap = most;
    settings.quota.in_flight = most * 4;
}

/// Values are kept in this Redis.
pub(crate) fn cached_in(url: &str) -> impl Fn(&mut Settings) + use<> {
    let url = SecretString::from(url);
    move |settings| settings.cache = Some(cache::Settings::new(url.clone()))
}

/// Settings of an API on this platform. How much a machine does in a second is its own affair: a test of such a limit gives it itself.
fn settings(platform: &Platform, files: &Path, change: impl FnOnce(&mut Settings)) -> Settings {
    let master = Target::parse(&platform.api_url().into()).unwrap();
    let mut settings = Settings::new(master, &files.join("opening-keys"), ISSUER, &files.join("signing-keys"));
    settings.quota.rate = PLENTY;
    settings.quota.burst = PLENTY;
    settings.pools.wait = Duration::from_secs(30);
    settings.grace = Duration::ZERO;
    change(&mut settings);
    settings
}

impl Running {
    async fn start(platform: &Platform, files: &Path, change: impl FnOnce(&mut Settings)) -> Self {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let stop = CancellationToken::new();
        let started = run::start(settings(platform, files, change), METRICS.clone(), stop.clone()).await.unwrap();
        let running = Self { address: started.address, http_address: started.http_address, started: Mutex::new(Some(started)), stop };
        running.until_ready().await;
        running
    }

    /// Waits until it takes requests.
    pub(crate) async fn until_ready(&self) {
        let url = format!("http://{}/readyz", self.http_address);
        let ready = async {
            while reqwest::get(&url).await.map_or(true, |answer| !answer.status().is_success()) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_mins(1), ready).await.unwrap();
    }

    /// Stops it as SIGTERM does, and waits for its end.
    pub(crate) async fn stop(&self) {
        self.stop.cancel();
        let started = self.started.lock().unwrap().take();
        started.unwrap().ended().await;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// A school of a world.
pub(crate) struct School {
    world: World,
    pub(crate) school: testing::School,
}

impl School {
    pub(crate) fn id(&self) -> Uuid {
        self.school.tenant.id.0
    }

    /// A new account with this role, signed in.
    pub(crate) async fn user(&self, role: &str) -> Client {
        let (email, id) = self.account(role).await;
        Client::log_in(self.world.api.address, &email, id).await
    }

    /// A new account with this role: its e-mail address and id.
    pub(crate) async fn account(&self, role: &str) -> (String, Uuid) {
        let (email, id) = (format!("{}@{}.example", Uuid::new_v4(), self.school.code), Uuid::new_v4());
        let insert = "INSERT INTO registry.users (id, tenant_id, name, email, password_hash, role, email_confirmed) VALUES ($1, $2, 'Pessoa', $3, $4, $5, true)";
        let query = sqlx::query(insert).bind(id).bind(self.id()).bind(&email).bind(&self.world.hash).bind(role);
        query.execute(&self.world.platform.operator).await.unwrap();
        (email, id)
    }

    /// Runs SQL in the school's database as a superuser.
    pub(crate) async fn sql(&self, sql: &str) {
        let mut conn = self.world.platform.superuser(&self.school).await.unwrap();
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut conn).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    }

    /// One value from the school's database.
    pub(crate) async fn ask<T>(&self, sql: &str) -> T
    where
        T: Send + Unpin + for<'r> sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres>,
    {
        let mut conn = self.world.platform.superuser(&self.school).await.unwrap();
        sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&mut conn).await.unwrap_or_else(|error| panic!("{sql}: {error}"))
    }
}

/// Somebody with a token.
#[derive(Clone)]
pub(crate) struct Client {
    pub(crate) user: Uuid,
    pub(crate) token: String,
    address: SocketAddr,
    http: reqwest::Client,
    headers: HeaderMap,
}

impl Client {
    pub(crate) async fn log_in(address: SocketAddr, email: &str, user: Uuid) -> Self {
        let mut client = Self::with_token(address, "none", user);
        let answer = client.anonymous().post("/auth/login", json!({ "email": email, "password": PASSWORD })).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.data()["access_token"].as_str().unwrap().clone_into(&mut client.token);
        client
    }

    pub(crate) fn with_token(address: SocketAddr, token: &str, user: Uuid) -> Self {
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { user, token: token.to_owned(), address, http, headers: HeaderMap::new() }
    }

    /// The same without a token.
    pub(crate) fn anonymous(&self) -> Self {
        Self { token: String::new(), ..self.clone() }
    }

    /// The same with one header more.
    pub(crate) fn header(&self, name: &'static str, value: &str) -> Self {
        let mut client = self.clone();
        client.headers.append(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
        client
    }

    /// The same against another replica.
    pub(crate) fn at(&self, api: &Running) -> Self {
        Self { address: api.address, ..self.clone() }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, None).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        self.send(Method::POST, path, Some(body)).await
    }

    pub(crate) async fn post_keyed(&self, path: &str, key: &str, body: Value) -> Answer {
        self.header("idempotency-key", key).post(path, body).await
    }

    pub(crate) async fn patch(&self, path: &str, etag: &str, body: Value) -> Answer {
        self.header("if-match", etag).send(Method::PATCH, path, Some(body)).await
    }

    pub(crate) async fn put(&self, path: &str, etag: Option<&str>, body: Value) -> Answer {
        let client = etag.map_or_else(|| self.clone(), |etag| self.header("if-match", etag));
        client.send(Method::PUT, path, Some(body)).await
    }

    pub(crate) async fn delete(&self, path: &str, etag: &str) -> Answer {
        self.header("if-match", etag).send(Method::DELETE, path, None).await
    }

    /// Any request, below `/api/v1`; its answer is one that the document allows.
    pub(crate) async fn send(&self, method: Method, path: &str, body: Option<Value>) -> Answer {
        let path = format!("/api/v1{path}");
        let mut request = self.http.request(method.clone(), format!("http://{}{path}", self.address)).headers(self.headers.clone());
        if !self.token.is_empty() {
            request = request.bearer_auth(&self.token);
        }
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await.unwrap();
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let text = answer.text().await.unwrap();
        conformance::check(&method, &path, status, &headers, &text);
        Answer {
            status,
            headers,
            body: if text.is_empty() { Value::Null } else { serde_json::from_str(&text).unwrap_or(Value::String(text)) },
        }
    }
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

impl Answer {
    pub(crate) fn data(&self) -> &Value {
        assert_eq!(self.body["success"], true, "{} {}", self.status, self.body);
        &self.body["data"]
    }

    pub(crate) fn id(&self) -> String {
        self.data()["id"].as_str().unwrap_or_else(|| panic!("{}", self.body)).to_owned()
    }

    pub(crate) fn etag(&self) -> String {
        self.headers.get("etag").unwrap_or_else(|| panic!("{} {}", self.status, self.body)).to_str().unwrap().to_owned()
    }

    pub(crate) fn code(&self) -> &str {
        self.body["error"]["code"].as_str().unwrap_or_else(|| panic!("{} {}", self.status, self.body))
    }

    pub(crate) fn fields(&self) -> Vec<(String, String)> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let fields = self.body["error"]["fields"].as_array().cloned().unwrap_or_default();
        fields.iter().map(|field| (text(&field["field"]), text(&field["code"]))).collect()
    }
}
