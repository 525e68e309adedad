//! The routes of a school's accounts: who may sign in. Its administrators create and delete them.
//!
//! Whoever gives somebody an account also gives a role, so the permissions over roles apply to accounts. Must not hold SQL.

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use domain::names::TenantId;
use secrecy::ExposeSecret as _;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::dto::{NewUser, User, UserChange, UserFilter, UserWithPassword};
use super::idempotency::{AccountKey, create_once};
use super::store::{self, After, Temporary};
use crate::access::permission::{RolesRead, RolesUpdate};
use crate::access::{Access, Permission};
use crate::answer::{Data, Page, tagged};
use crate::app::App;
use crate::body::Body;
use crate::document::{ChangesItem, IfMatchHeader, IfNoneMatchHeader, Paging, Queries, ReadsItem, RemovesItem, Writes};
use crate::error::Result;
use crate::idempotency_key;
use crate::identity::UserId;
use crate::resource::cursor::Cursor;
use crate::resource::filter::{Id, ListQuery};
use crate::resource::precondition;

/// The list's name in its cursors.
const LIST: &str = "users";

/// The routes.
pub fn routes() -> OpenApiRouter<App> {
    let of_all = OpenApiRouter::new().routes(routes!(list_users, create_user));
    of_all.routes(routes!(read_user, change_user, remove_user)).routes(routes!(reset_password))
}

/// Accounts belong to the whole school: a permission over own records reaches none.
fn tenant_of<P: Permission>(access: &Access<P>) -> Result<TenantId> {
    access.require_school_scope()?;
    Ok(access.tenant().entry.tenant)
}

/// List the accounts of the school
///
/// Returns the accounts that match all filters, ordered by name, one page at a time. Requires the permission `roles:read` for the whole school.
#[utoipa::path(get, path = "/users", tag = "users", operation_id = "listUsers", params(Paging, UserFilter), responses((status = 200, description = "One page of the list.", body = Page<User>), Queries))]
async fn list_users(access: Access<RolesRead>, list_query: ListQuery<UserFilter>) -> Result<Response> {
    let tenant = tenant_of(&access)?;
    let after = list_query.cursor(LIST)?.map(|Cursor { place: name, id, .. }| After { name, id });
    let (users, next) = store::list(&access.app().master, tenant, &list_query.filter, after.as_ref(), list_query.limit.into()).await?;
    let next = next.map(|After { name, id }| Cursor::new(LIST, name, id).text());
    Ok(Page::new(users, next).into_response())
}

/// Create an account
///
/// Returns the account and a temporary password, which the first login must replace. If a request with the same `Idempotency-Key` is sent again within 24
/// hours and nobody has signed in with the account yet, the answer has the same account with a new temporary password, and the previous one stops working.
/// After the first login the answer is `CONFLICT` with the field code `spent`. Requires the permission `roles:update` for the whole school.
#[utoipa::path(
    post, path = "/users", tag = "users", operation_id = "createUser",
    params(("idempotency-key" = Option<String>, Header, description = "A key that the client chooses. A request with the same key within 24 hours creates no second account.")),
    request_body = NewUser,
    responses((status = 201, description = "The account and its temporary password.", body = Data<UserWithPassword>), Writes)
)]
async fn create_user(access: Access<RolesUpdate>, headers: HeaderMap, body: Body<NewUser>) -> Result<Response> {
    let (tenant, master, digest, record) = (tenant_of(&access)?, &access.app().master, body.digest, access.audit_record());
    let new = body.parse()?;
    let (made, again) = match idempotency_key::key(&headers)? {
        Some(key) => {
            let key = AccountKey { user: access.principal().user, key, digest: &digest };
            create_once(master, tenant, &new, &key, &record).await?
        }
        None => (store::create(master, tenant, &new, &record).await?, false),
    };
    access.set_done();
    let location = HeaderValue::from_str(&format!("/api/v1/users/{}", made.user.id)).unwrap_or(HeaderValue::from_static("/api/v1/users"));
    let mut response = (StatusCode::CREATED, [(header::LOCATION, location)], Data::new(shown(made))).into_response();
    if again {
        response.headers_mut().insert(idempotency_key::REPLAYED, HeaderValue::from_static("true"));
    }
    Ok(response)
}

/// Get an account
///
/// Returns one account of the school. Requires the permission `roles:read` for the whole school.
#[utoipa::path(
    get, path = "/users/{id}", tag = "users", operation_id = "getUser",
    params(("id" = Uuid, Path, description = "Id of the account (UUID)."), IfNoneMatchHeader),
    responses(
        (status = 200, description = "The account as it is now.", body = Data<User>, headers(("ETag" = String, description = "Version of the record, for `If-Match` and `If-None-Match`."))),
        (status = 304, description = "The version in `If-None-Match` is still current.", headers(("ETag" = String, description = "Version of the record, for `If-Match` and `If-None-Match`."))),
        ReadsItem
    )
)]
async fn read_user(access: Access<RolesRead>, Id(id): Id, headers: HeaderMap) -> Result<Response> {
    let user = store::get(&access.app().master, tenant_of(&access)?, UserId(id)).await?;
    let tag = user.etag();
    if precondition::caller_has(&headers, tag) {
        return Ok((StatusCode::NOT_MODIFIED, [(header::ETAG, tag.value())]).into_response());
    }
    Ok(tagged(StatusCode::OK, tag, user))
}

/// Update an account
///
/// Changes the fields that the body contains and returns the account. Changing the role or deactivating the account ends its sessions. The last administrator
/// of a school can neither be deactivated nor get another role. Requires the permission `roles:update` for the whole school.
#[utoipa::path(
    patch, path = "/users/{id}", tag = "users", operation_id = "updateUser",
    params(("id" = Uuid, Path, description = "Id of the account (UUID)."), IfMatchHeader), request_body = UserChange,
    responses((status = 200, description = "The account as it is now.", body = Data<User>, headers(("ETag" = String, description = "Version of the record, for `If-Match` and `If-None-Match`."))), ChangesItem)
)]
async fn change_user(access: Access<RolesUpdate>, Id(id): Id, headers: HeaderMap, body: Body<UserChange>) -> Result<Response> {
    let (tenant, if_match) = (tenant_of(&access)?, precondition::if_match(&headers)?);
    let user = store::change(&access.app().master, tenant, UserId(id), &if_match, &body.parse()?, &access.audit_record()).await?;
    access.set_done();
    access.app().permissions.invalidate(tenant);
    Ok(tagged(StatusCode::OK, user.etag(), user))
}

/// Delete an account
///
/// Nobody can sign in with the account any more. Its e-mail address, telephone number and password are erased, and the address can be used again. The name of
/// a guardian is erased too; the name of staff is kept for the audit. Requires the permission `roles:update` for the whole school.
#[utoipa::path(
    delete, path = "/users/{id}", tag = "users", operation_id = "deleteUser",
    params(("id" = Uuid, Path, description = "Id of the account (UUID)."), IfMatchHeader),
    responses((status = 204, description = "The account was deleted."), RemovesItem)
)]
async fn remove_user(access: Access<RolesUpdate>, Id(id): Id, headers: HeaderMap) -> Result<StatusCode> {
    let (tenant, if_match) = (tenant_of(&access)?, precondition::if_match(&headers)?);
    store::remove(&access.app().master, tenant, UserId(id), &if_match, &access.audit_record()).await?;
    access.set_done();
    access.app().permissions.invalidate(tenant);
    Ok(StatusCode::NO_CONTENT)
}

/// Reset the password of an account
///
/// Returns a new temporary password and ends all sessions of the account. A repeated request resets the password again, also with an `Idempotency-Key`,
/// because answers with passwords are not stored; only the last password works. Requires the permission `roles:update` for the whole school.
#[utoipa::path(post, path = "/users/{id}/reset-password", tag = "users", operation_id = "resetUserPassword", params(("id" = Uuid, Path, description = "Id of the account (UUID).")), responses((status = 200, description = "The account and its temporary password.", body = Data<UserWithPassword>), ReadsItem))]
async fn reset_password(access: Access<RolesUpdate>, Id(id): Id) -> Result<Data<UserWithPassword>> {
    let reset = store::reset_password(&access.app().master, tenant_of(&access)?, UserId(id), &access.audit_record()).await?;
    access.set_done();
    Ok(Data::new(shown(reset)))
}

/// The only answer with the password in clear.
fn shown(Temporary { user, password }: Temporary) -> UserWithPassword {
    UserWithPassword { user, temporary_password: password.expose_secret().to_owned() }
}
