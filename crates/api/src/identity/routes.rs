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

use super::attempts::{PasswordAttempt, SessionRequest};
use super::keys::PublicKeys;
use super::login::{self, Session};
use super::record::ME;
use super::{Identity, Origin, Role, within};
use crate::answer::Data;
use crate::body::Body;
use crate::edge::RequestContext;
use crate::error::{Code, Error, Problem, Result};

/// The routes of login and of the public keys.
pub fn routes() -> OpenApiRouter<Arc<Identity>> {
    let routes = OpenApiRouter::new().routes(routes!(log_in)).routes(routes!(refresh)).routes(routes!(log_out));
    routes.routes(routes!(change_password)).routes(routes!(me)).routes(routes!(jwks))
}

/// Request body of a login.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Credentials {
    /// E-mail address of the account. Upper and lower case are the same.
    #[schema(min_length = 3, max_length = 200, examples("ana@norte.example"))]
    email: String,
    /// Password of the account.
    #[schema(min_length = 1, max_length = 256, format = Password)]
    password: String,
}

/// Request body that renews or ends a session.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Renewable {
    /// Refresh token from the last login or renewal.
    #[schema(min_length = 1, max_length = 256, format = Password)]
    refresh_token: String,
}

/// Request body that changes the password.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewPassword {
    /// Present password, or the temporary one.
    #[schema(min_length = 1, max_length = 256, format = Password)]
    current_password: String,
    /// New password, of at least 12 characters.
    #[schema(min_length = 12, max_length = 256, format = Password)]
    new_password: String,
}

/// User that the token was issued for.
#[derive(Serialize, ToSchema)]
struct Me {
    /// Id of the user (UUID), which roles are given to. For a user of an external issuer it is derived from `iss` and `sub`, unless the platform maps
    /// `sub` to accounts.
    id: Uuid,
    /// Full name of the user; null for a user of an external issuer who has no account in the school.
    #[schema(required)]
    name: Option<String>,
    /// E-mail address of the user; null for a user of an external issuer who has no account in the school.
    #[schema(required)]
    email: Option<String>,
    /// Main role of the account; null for a user of an external issuer, whose roles the school gives.
    #[schema(required)]
    role: Option<Role>,
    /// Id of the school (UUID); null for platform staff who act in no school.
    #[schema(required)]
    tenant_id: Option<Uuid>,
    /// Reason that platform staff gave for acting in a school; null for all others.
    #[schema(required)]
    impersonation_reason: Option<String>,
}

/// Log in
///
/// Checks the e-mail address and password and returns an access token and a refresh token. Requires no token.
#[utoipa::path(
    post, path = "/api/v1/auth/login", tag = "auth", operation_id = "login", security(()), request_body = Credentials,
    responses(
        (status = 200, description = "The tokens of the new session.", body = Data<Session>),
        (status = 400, description = "The request cannot be read, or the school no longer exists.", body = Problem),
        (status = 401, description = "The e-mail address or the password is wrong, or the account is locked for a while.", body = Problem),
        (status = 403, description = "The password is right, but the school is suspended.", body = Problem),
        (status = 422, description = "Fields of the request are invalid.", body = Problem),
        (status = 429, description = "Too many attempts. `Retry-After` tells when to try again.", body = Problem),
        (status = 503, description = "The registry does not answer, or the school is temporarily unavailable.", body = Problem),
    )
)]
async fn log_in(State(identity): State<Arc<Identity>>, _: PasswordAttempt, origin: Origin, body: Body<Credentials>) -> Result<Response> {
    let Credentials { email, password } = body.parse()?;
    let session = within(login::login(&identity, typed(&email), &SecretString::from(password), &origin)).await?;
    Ok(private(session))
}

/// Renew a session
///
/// Exchanges a refresh token, which can be used once, for a new access token and a new refresh token. Requires no access token.
#[utoipa::path(
    post, path = "/api/v1/auth/refresh", tag = "auth", operation_id = "refreshSession", security(()), request_body = Renewable,
    responses(
        (status = 200, description = "The new tokens of the session.", body = Data<Session>),
        (status = 400, description = "The request cannot be read, or the school no longer exists.", body = Problem),
        (status = 401, description = "The session has ended. Using a refresh token twice ends it.", body = Problem),
        (status = 403, description = "The school is suspended.", body = Problem),
        (status = 422, description = "Fields of the request are invalid.", body = Problem),
        (status = 429, description = "Too many attempts. `Retry-After` tells when to try again.", body = Problem),
        (status = 503, description = "The registry does not answer, or the school is temporarily unavailable.", body = Problem),
    )
)]
async fn refresh(State(identity): State<Arc<Identity>>, _: SessionRequest, origin: Origin, body: Body<Renewable>) -> Result<Response> {
    let Renewable { refresh_token } = body.parse()?;
    Ok(private(within(login::renew(&identity, &refresh_token, &origin)).await?))
}

/// Log out
///
/// Ends the session of the refresh token. The access token stays valid until it expires, at most some minutes later. Requires no access token.
#[utoipa::path(
    post, path = "/api/v1/auth/logout", tag = "auth", operation_id = "logout", security(()), request_body = Renewable,
    responses(
        (status = 204, description = "The session has ended, now or earlier."),
        (status = 400, description = "The request cannot be read.", body = Problem),
        (status = 422, description = "Fields of the request are invalid.", body = Problem),
        (status = 429, description = "Too many attempts. `Retry-After` tells when to try again.", body = Problem),
        (status = 503, description = "The registry does not answer.", body = Problem),
    )
)]
async fn log_out(State(identity): State<Arc<Identity>>, _: SessionRequest, origin: Origin, body: Body<Renewable>) -> Result<StatusCode> {
    let Renewable { refresh_token } = body.parse()?;
    within(login::logout(&identity, &refresh_token, &origin)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Change the own password
///
/// Replaces the password and ends every other session of the user. It is the only operation that a temporary password allows. Requires a valid token.
#[utoipa::path(
    post, path = "/api/v1/auth/password", tag = "auth", operation_id = "changePassword", request_body = NewPassword,
    security(("bearer" = [])),
    responses(
        (status = 200, description = "The password was changed. The session continues with these tokens.", body = Data<Session>),
        (status = 400, description = "The request cannot be read.", body = Problem),
        (status = 401, description = "The token is not valid, or the present password is wrong.", body = Problem),
        (status = 403, description = "The password belongs to an external issuer, or the token is for acting in a school.", body = Problem),
        (status = 422, description = "Fields of the request are invalid.", body = Problem),
        (status = 429, description = "Too many attempts. `Retry-After` tells when to try again.", body = Problem),
        (status = 503, description = "The registry or the issuer does not answer.", body = Problem),
    )
)]
async fn change_password(
    State(identity): State<Arc<Identity>>,
    _: PasswordAttempt,
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

/// Get the user of the token
///
/// Returns the user that the token was issued for, also without any role in the school. Requires a valid token.
#[utoipa::path(
    get, path = "/api/v1/auth/me", tag = "auth", operation_id = "getCurrentUser", security(("bearer" = [])),
    responses(
        (status = 200, description = "The user of the token.", body = Data<Me>),
        (status = 401, description = "The token is not valid.", body = Problem),
        (status = 403, description = "The temporary password must be changed first.", body = Problem),
        (status = 429, description = "Too many requests. `Retry-After` tells when to try again.", body = Problem),
        (status = 503, description = "The registry or the issuer does not answer.", body = Problem),
    )
)]
async fn me(State(identity): State<Arc<Identity>>, context: RequestContext, headers: HeaderMap) -> Result<Response> {
    let principal = identity.authenticate(&headers, context.audit(), ME).await?;
    identity.profiles.take(&principal.user).map_err(|wait| Error::new(Code::TooManyRequests).after(wait))?;
    if principal.must_change_password {
        return Err(Code::PasswordChangeRequired.into());
    }
    let (name, email) = within(login::profile(&identity, &principal)).await?.map(|profile| (profile.name, profile.email)).unzip();
    let tenant_id = principal.tenant.map(|tenant| tenant.0);
    let impersonation_reason = principal.impersonation.map(|impersonation| impersonation.reason);
    Ok(private(Me { id: principal.user.0, name, email, role: principal.role, tenant_id, impersonation_reason }))
}

/// Get the public keys of the API
///
/// Returns the keys that verify access tokens, as a JSON Web Key Set (RFC 7517). Requires no token.
#[utoipa::path(
    get, path = "/.well-known/jwks.json", tag = "auth", operation_id = "getSigningKeys", security(()),
    responses(
        (status = 200, description = "The public keys. Clients may cache them for five minutes.", body = PublicKeys),
        (status = 429, description = "Too many requests. `Retry-After` tells when to try again.", body = Problem),
    )
)]
async fn jwks(State(identity): State<Arc<Identity>>) -> Response {
    ([(header::CACHE_CONTROL, "public, max-age=300")], Json(identity.keys.keys().public())).into_response()
}

/// An address as a person typed it, without what a telephone's keyboard or a copied text adds around it.
fn typed(email: &str) -> &str {
    email.trim_matches(|c: char| c.is_whitespace() || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}'))
}

/// Caches on the way must not store tokens or personal data.
fn private<T: Serialize>(data: T) -> Response {
    ([(header::CACHE_CONTROL, "no-store")], Data::new(data)).into_response()
}
