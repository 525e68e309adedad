//! Who is asking: forged tokens, other issuers, logins, sessions and their end, on real PostgreSQL.

mod accounts;
mod forged;
mod issuer;
mod login;
mod private_authority;
mod sessions;

use std::sync::Arc;
use std::time::Duration;

use api::client::ClientAddress;
use api::edge::{RequestContext, RequestId};
use api::error::{Code, Error};
use api::identity::{Identity, Settings, SigningKeys, routes};
use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use postgres::schema::Migrations;
use postgres::session::{self, Credentials, Endpoint, Purpose, Tls};
use postgres::url::Target;
use registry::password::hash_argon2id;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use sqlx::postgres::{PgPool, PgPoolOptions};
use tempfile::TempDir;
use testing::{Postgres, PostgresOptions, Version, until};
use tokio_util::sync::{CancellationToken, DropGuard};
use tower::ServiceExt as _;
use tracing::Span;
use uuid::Uuid;

const ISSUER: &str = "https://dailycare.example";
const AUDIENCE: &str = "dailycare";
const PASSWORD: &str = "canary-password-1";
const NORTE: Uuid = Uuid::from_u128(0xa0);
const SUL: Uuid = Uuid::from_u128(0xb0);
const ANA: Uuid = Uuid::from_u128(0xa1);
const ROOT: Uuid = Uuid::from_u128(0xf1);

/// A master database with two schools, Ana who runs one of them, Root who runs the platform, and an identity that watches it all.
struct Site {
    server: Postgres,
    /// As the operator.
    operator: PgPool,
    /// As the API.
    api: PgPool,
    identity: Arc<Identity>,
    router: Router,
    keys: TempDir,
    _stop: DropGuard,
}

impl Site {
    async fn start(version: Version) -> Self {
        Self::with(version, |_| {}).await
    }

    async fn with(version: Version, set: impl FnOnce(&mut Settings)) -> Self {
        let server = Postgres::start(version, PostgresOptions::default().with("log_statement", "all")).await.unwrap();
        let url = format!(
            "postgres://postgres:{}@{}:{}/dailycare_master?sslmode=disable",
            server.superuser_password(),
            server.host(),
            server.port()
        );
        let operator = provisioning::master::bootstrap(&Target::parse(&url.into()).unwrap(), &Migrations::master().unwrap()).await.unwrap();
        prepare(&operator).await;
        let superuser = PgPool::connect(&server.superuser_url("postgres")).await.unwrap();
        sqlx::raw_sql("CREATE ROLE api LOGIN PASSWORD 'x' IN ROLE dailycare_api").execute(&superuser).await.unwrap();
        superuser.close().await;
        let endpoint = Endpoint { host: server.host().into(), port: server.port(), tls: Tls::Disable };
        let credentials = Credentials { username: "api".into(), password: "x".into() };
        let options = session::options(&endpoint, &credentials, "dailycare_master", Purpose::Registry);
        let api = PgPoolOptions::new().max_connections(8).acquire_timeout(Duration::from_secs(5)).connect_with(options).await.unwrap();
        let keys = tempfile::tempdir().unwrap();
        write_keys(&keys, SigningKeys::generate_file("k1").unwrap().expose_secret());
        let mut settings = Settings::new(ISSUER, AUDIENCE, keys.path().join("keys"));
        set(&mut settings);
        let identity = Identity::start(settings, api.clone()).await.unwrap();
        let stop = CancellationToken::new();
        tokio::spawn(Arc::clone(&identity).run(stop.clone()));
        let router = routes().with_state(Arc::clone(&identity)).split_for_parts().0;
        Self { server, operator, api, identity, router, keys, _stop: stop.drop_guard() }
    }

    /// One request; the status and the body, or the code of the error.
    async fn send(&self, method: &str, path: &str, token: Option<&str>, body: Option<Value>) -> Answer {
        self.send_from("192.0.2.7", method, path, token, body).await
    }

    async fn send_from(&self, address: &str, method: &str, path: &str, token: Option<&str>, body: Option<Value>) -> Answer {
        let client = ClientAddress(address.parse().unwrap());
        let context = RequestContext::new(RequestId::default(), client, path.parse().unwrap(), Span::none());
        let mut request = Request::builder().method(method).uri(path).extension(context);
        if let Some(token) = token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        if body.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
        let response = self.router.clone().oneshot(request.body(body).unwrap()).await.unwrap();
        let (status, error) = (response.status(), response.extensions().get::<Error>().cloned());
        let bytes = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
        Answer { status, error, body: serde_json::from_slice(&bytes).unwrap_or_default() }
    }

    async fn login(&self, email: &str, password: &str) -> Answer {
        self.send("POST", "/api/v1/auth/login", None, Some(json!({ "email": email, "password": password }))).await
    }

    async fn refresh(&self, token: &str) -> Answer {
        self.send("POST", "/api/v1/auth/refresh", None, Some(json!({ "refresh_token": token }))).await
    }

    async fn me(&self, token: &str) -> Answer {
        self.send("GET", "/api/v1/auth/me", Some(token), None).await
    }

    async fn execute(&self, sql: &'static str) {
        sqlx::raw_sql(sql).execute(&self.operator).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    }

    async fn text(&self, sql: &'static str) -> Option<String> {
        sqlx::query_scalar(sql).fetch_one(&self.operator).await.unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    /// What the audit holds, oldest first: action, user, success.
    async fn audit(&self) -> Vec<(String, Option<Uuid>, bool)> {
        let query = sqlx::query_as("SELECT action, user_id, success FROM registry.access_audit ORDER BY occurred_at, id");
        query.fetch_all(&self.operator).await.unwrap()
    }
}

struct Answer {
    status: StatusCode,
    error: Option<Error>,
    body: Value,
}

impl Answer {
    fn code(&self) -> Option<Code> {
        self.error.as_ref().map(|error| error.code)
    }

    fn field(&self, name: &str) -> &str {
        self.body["data"][name].as_str().unwrap_or_else(|| panic!("{} {:?} has no {name}", self.status, self.error))
    }

    fn access(&self) -> &str {
        self.field("access_token")
    }

    fn refresh(&self) -> &str {
        self.field("refresh_token")
    }
}

fn write_keys(keys: &TempDir, text: &str) {
    // As a mounted Secret changes: whole, by a rename.
    std::fs::write(keys.path().join("new"), text).unwrap();
    std::fs::rename(keys.path().join("new"), keys.path().join("keys")).unwrap();
}

async fn prepare(operator: &PgPool) {
    let tenant = "
        INSERT INTO registry.tenants (id, name, code, email, state, is_active, activated_at, server, host, port, database_name, login, credentials, key_id)
        VALUES ($1, $2, $2, 'x@x', 'active', true, now(), 'pg', 'pg.example', 5432, $3, $3, 'x', 'k')";
    for (id, code, database) in [(NORTE, "norte", "d_norte"), (SUL, "sul", "d_sul")] {
        sqlx::query(tenant).bind(id).bind(code).bind(database).execute(operator).await.unwrap();
    }
    let hash = hash_argon2id(&PASSWORD.into()).await.unwrap();
    let user = "INSERT INTO registry.users (id, tenant_id, name, email, password_hash, role) VALUES ($1, $2, $3, $4, $5, $6)";
    for (id, tenant, name, email, role) in
        [(ANA, Some(NORTE), "Ana", "Ana@norte.example", "SchoolAdmin"), (ROOT, None, "Root", "root@dailycare.example", "PlatformAdmin")]
    {
        sqlx::query(user).bind(id).bind(tenant).bind(name).bind(email).bind(&hash).bind(role).execute(operator).await.unwrap();
    }
}
