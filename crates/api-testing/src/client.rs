//! Somebody who sends requests. Every answer is held to the OpenAPI document.
//!
//! Must not judge an answer beyond the document: tests do.

use std::net::SocketAddr;

use reqwest::Method;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::conformance;
use crate::running::Running;

/// Every account's password; hashed once, because that is what costs.
pub const PASSWORD: &str = "canary-correct-horse-battery";

/// Somebody with a token.
#[derive(Clone)]
pub struct Client {
    /// Their account.
    pub user: Uuid,
    /// Their access token; empty for none.
    pub token: String,
    address: SocketAddr,
    http: reqwest::Client,
    headers: HeaderMap,
}

impl Client {
    /// Somebody who has logged in with [`PASSWORD`].
    pub async fn log_in(address: SocketAddr, email: &str, user: Uuid) -> Self {
        let mut client = Self::with_token(address, "none", user);
        let answer = client.anonymous().post("/auth/login", json!({ "email": email, "password": PASSWORD })).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.data()["access_token"].as_str().unwrap().clone_into(&mut client.token);
        client
    }

    /// Somebody with this token.
    #[must_use]
    pub fn with_token(address: SocketAddr, token: &str, user: Uuid) -> Self {
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { user, token: token.to_owned(), address, http, headers: HeaderMap::new() }
    }

    /// The same without a token.
    #[must_use]
    pub fn anonymous(&self) -> Self {
        Self { token: String::new(), ..self.clone() }
    }

    /// The same with one header more.
    #[must_use]
    pub fn header(&self, name: &'static str, value: &str) -> Self {
        let mut client = self.clone();
        client.headers.append(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
        client
    }

    /// The same against another replica.
    #[must_use]
    pub fn at(&self, api: &Running) -> Self {
        Self { address: api.address, ..self.clone() }
    }

    /// `GET`.
    pub async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, None).await
    }

    /// `POST`.
    pub async fn post(&self, path: &str, body: Value) -> Answer {
        self.send(Method::POST, path, Some(body)).await
    }

    /// `POST` with an idempotency key.
    pub async fn post_keyed(&self, path: &str, key: &str, body: Value) -> Answer {
        self.header("idempotency-key", key).post(path, body).await
    }

    /// `PATCH` of this version.
    pub async fn patch(&self, path: &str, etag: &str, body: Value) -> Answer {
        self.header("if-match", etag).send(Method::PATCH, path, Some(body)).await
    }

    /// `PUT`, of this version when there is one.
    pub async fn put(&self, path: &str, etag: Option<&str>, body: Value) -> Answer {
        let client = etag.map_or_else(|| self.clone(), |etag| self.header("if-match", etag));
        client.send(Method::PUT, path, Some(body)).await
    }

    /// `DELETE` of this version.
    pub async fn delete(&self, path: &str, etag: &str) -> Answer {
        self.header("if-match", etag).send(Method::DELETE, path, None).await
    }

    /// Any request, below `/api/v1`; its answer is one that the document allows.
    pub async fn send(&self, method: Method, path: &str, body: Option<Value>) -> Answer {
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
pub struct Answer {
    /// HTTP's status.
    pub status: u16,
    /// All headers.
    pub headers: HeaderMap,
    /// The body as JSON; a text when it is none, null when it is empty.
    pub body: Value,
}

impl Answer {
    /// The data of a success.
    #[allow(clippy::must_use_candidate, reason = "it asserts success, which may be all that a test wants")]
    pub fn data(&self) -> &Value {
        assert_eq!(self.body["success"], true, "{} {}", self.status, self.body);
        &self.body["data"]
    }

    /// The id in the data.
    #[must_use]
    pub fn id(&self) -> String {
        self.data()["id"].as_str().unwrap_or_else(|| panic!("{}", self.body)).to_owned()
    }

    /// The version that it tells.
    #[must_use]
    pub fn etag(&self) -> String {
        self.headers.get("etag").unwrap_or_else(|| panic!("{} {}", self.status, self.body)).to_str().unwrap().to_owned()
    }

    /// The code of an error.
    #[must_use]
    pub fn code(&self) -> &str {
        self.body["error"]["code"].as_str().unwrap_or_else(|| panic!("{} {}", self.status, self.body))
    }

    /// The fields that an error names, each with how it is wrong.
    #[must_use]
    pub fn fields(&self) -> Vec<(String, String)> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let fields = self.body["error"]["fields"].as_array().cloned().unwrap_or_default();
        fields.iter().map(|field| (text(&field["field"]), text(&field["code"]))).collect()
    }
}
