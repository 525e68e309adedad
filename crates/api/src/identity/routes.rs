//! The routes of login. Must not decide anything: it reads requests and shapes answers.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::keys::PublicKeys;
use super::login::{self, Session};
use super::{Identity, Origin, Role, within};
use crate::answer::Data;
use crate::body::Body;
use crate::error::{Code, Problem, Result};

/// The routes of login and of the public keys.
pub fn routes() -> OpenApiRouter<Arc<Identity>> {
    let routes = OpenApiRouter::new().routes(routes!(log_in)).routes(routes!(refresh)).routes(routes!(log_out));
    routes.routes(routes!(change_password)).routes(routes!(me)).routes(routes!(jwks))
}

/// Who wants to log in. Never shown: it has no `Debug`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Credentials {
    /// The e-mail address of the account, in any case.
    #[schema(min_length = 3, max_length = 200, examples("ana@norte.example"))]
    email: String,
    /// The password.
    #[schema(min_length = 1, max_length = 256, format = Password)]
    password: String,
}

/// A session to renew or to end.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Renewable {
    /// The refresh token of the last answer.
    #[schema(min_length = 1, max_length = 256, format = Password)]
    refresh_token: String,
}

/// A new password for the present one.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewPassword {
    /// The present password; the temporary one at first.
    #[schema(min_length = 1, max_length = 256, format = Password)]
    current_password: String,
    /// The new one.
    #[schema(min_length = 12, max_length = 256, format = Password)]
    new_password: String,
}

/// Who the token speaks for.
#[derive(Serialize, ToSchema)]
struct Me {
    /// The id that roles are given to. Of another issuer's user it follows from issuer and `sub`, unless the platform says that they are accounts here.
    id: Uuid,
    /// Null for a user of another issuer without an account in the school.
    #[schema(required)]
    name: Option<String>,
    /// Null for a user of another issuer without an account in the school.
    #[schema(required)]
    email: Option<String>,
    /// Null for a user of another issuer: the school's own tables decide.
    #[schema(required)]
    role: Option<Role>,
    /// The school; null for platform staff who act in none.
    #[schema(required)]
    tenant_id: Option<Uuid>,
    /// Why platform staff act in a school; null for everybody else.
    #[schema(required)]
    impersonation_reason: Option<String>,
}

/// Logs in with e-mail address and password.
#[utoipa::path(
    post, path = "/api/v1/auth/login", tag = "auth", operation_id = "login", security(()), request_body = Credentials,
    responses(
        (status = 200, description = "Logged in", body = Data<Session>),
        (status = 400, description = "The request cannot be read, or the school no longer exists", body = Problem),
        (status = 401, description = "Wrong e-mail address or password, or the account is locked for a while", body = Problem),
        (status = 403, description = "The school is suspended; told only after the right password", body = Problem),
        (status = 422, description = "Fields are wrong", body = Problem),
        (status = 429, description = "Too many attempts; Retry-After says when to come back", body = Problem),
        (status = 503, description = "The registry does not answer, or the school is unavailable for the moment", body = Problem),
    )
)]
async fn log_in(State(identity): State<Arc<Identity>>, origin: Origin, body: Body<Credentials>) -> Result<Response> {
    let Credentials { email, password } = body.parse()?;
    let session = within(login::login(&identity, &email, &SecretString::from(password), &origin)).await?;
    Ok(private(session))
}

/// Renews a session; the refresh token counts once.
#[utoipa::path(
    post, path = "/api/v1/auth/refresh", tag = "auth", operation_id = "refresh", security(()), request_body = Renewable,
    responses(
        (status = 200, description = "Renewed", body = Data<Session>),
        (status = 400, description = "The request cannot be read, or the school no longer exists", body = Problem),
        (status = 401, description = "The session has ended; a refresh token used twice ends it", body = Problem),
        (status = 403, description = "The school is suspended", body = Problem),
        (status = 422, description = "Fields are wrong", body = Problem),
        (status = 429, description = "Too many attempts; Retry-After says when to come back", body = Problem),
        (status = 503, description = "The registry does not answer, or the school is unavailable for the moment", body = Problem),
    )
)]
async fn refresh(State(identity): State<Arc<Identity>>, origin: Origin, body: Body<Renewable>) -> Result<Response> {
    let Renewable { refresh_token } = body.parse()?;
    Ok(private(within(login::renew(&identity, &refresh_token, &origin)).await?))
}

/// Ends a session. Its access token counts until it expires, minutes later.
#[utoipa::path(
    post, path = "/api/v1/auth/logout", tag = "auth", operation_id = "logout", security(()), request_body = Renewable,
    responses(
        (status = 204, description = "The session has ended, now or before"),
        (status = 400, description = "The request cannot be read", body = Problem),
        (status = 422, description = "Fields are wrong", body = Problem),
        (status = 429, description = "Too many attempts; Retry-After says when to come back", body = Problem),
        (status = 503, description = "The registry does not answer", body = Problem),
    )
)]
async fn log_out(State(identity): State<Arc<Identity>>, origin: Origin, body: Body<Renewable>) -> Result<StatusCode> {
    let Renewable { refresh_token } = body.parse()?;
    within(login::logout(&identity, &refresh_token, &origin)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Changes the password; every other session of the user ends.
#[utoipa::path(
    post, path = "/api/v1/auth/password", tag = "auth", operation_id = "changePassword", request_body = NewPassword,
    security(("bearer" = [])),
    responses(
        (status = 200, description = "Changed; the session goes on with these tokens", body = Data<Session>),
        (status = 400, description = "The request cannot be read", body = Problem),
        (status = 401, description = "No valid token, or the present password is wrong", body = Problem),
        (status = 403, description = "Another issuer keeps this user's password, or the token acts for a school", body = Problem),
        (status = 422, description = "Fields are wrong", body = Problem),
        (status = 429, description = "Too many attempts; Retry-After says when to come back", body = Problem),
        (status = 503, description = "The registry or the issuer does not answer", body = Problem),
    )
)]
async fn change_password(
    State(identity): State<Arc<Identity>>,
    origin: Origin,
    headers: HeaderMap,
    body: Body<NewPassword>,
) -> Result<Response> {
    let principal = identity.verify(Identity::bearer(&headers)?).await?;
    let NewPassword { current_password, new_password } = body.parse()?;
    let (current, new) = (SecretString::from(current_password), SecretString::from(new_password));
    let session = within(login::change_password(&identity, &principal, &current, &new, &origin)).await?;
    Ok(private(session))
}

/// Who the token speaks for.
#[utoipa::path(
    get, path = "/api/v1/auth/me", tag = "auth", operation_id = "me", security(("bearer" = [])),
    responses(
        (status = 200, description = "The user", body = Data<Me>),
        (status = 401, description = "No valid token", body = Problem),
        (status = 403, description = "The temporary password must be replaced first", body = Problem),
        (status = 429, description = "Too many requests", body = Problem),
        (status = 503, description = "The registry or the issuer does not answer", body = Problem),
    )
)]
async fn me(State(identity): State<Arc<Identity>>, headers: HeaderMap) -> Result<Response> {
    let principal = identity.verify(Identity::bearer(&headers)?).await?;
    if principal.must_change_password {
        return Err(Code::PasswordChangeRequired.into());
    }
    let (name, email) = within(login::profile(&identity, &principal)).await?.map(|profile| (profile.name, profile.email)).unzip();
    let tenant_id = principal.tenant.map(|tenant| tenant.0);
    let impersonation_reason = principal.impersonation.map(|impersonation| impersonation.reason);
    Ok(private(Me { id: principal.user.0, name, email, role: principal.role, tenant_id, impersonation_reason }))
}

/// The public keys that verify this API's tokens.
#[utoipa::path(
    get, path = "/.well-known/jwks.json", tag = "auth", operation_id = "jwks", security(()),
    responses(
        (status = 200, description = "The keys (RFC 7517); may be kept for five minutes", body = PublicKeys),
        (status = 429, description = "Too many requests", body = Problem),
    )
)]
async fn jwks(State(identity): State<Arc<Identity>>) -> Response {
    ([(header::CACHE_CONTROL, "public, max-age=300")], Json(identity.keys.keys().public())).into_response()
}

/// Tokens and people's data are nobody's to keep on the way.
fn private<T: Serialize>(data: T) -> Response {
    ([(header::CACHE_CONTROL, "no-store")], Data::new(data)).into_response()
}
