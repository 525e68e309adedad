//! Settings: what a school decides for itself. Migrations make the keys; a school changes the values, each within its kind and what it means.

mod content;

use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::FromRow;
use sqlx::postgres::PgConnection;
use tenancy::cache::Key;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::access::permission::{SettingsRead, SettingsUpdate};
use crate::access::{Access, Invalidation};
use crate::answer::{Data, ETag, tagged};
use crate::app::App;
use crate::body::Body;
use crate::document::{ChangesItem, Reads, ReadsItem};
use crate::error::{Code, Error, Result};
use crate::resource::filter::PathParams;
use crate::resource::{Stamp, precondition};

/// What the cache keeps all of them under.
const CACHED: &str = "settings";

/// A setting.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema, FromRow)]
pub struct Setting {
    /// Its key.
    pub key: String,
    /// What the school has decided.
    pub value: Value,
    /// The JSON type that the value keeps.
    #[schema(value_type = SettingKind)]
    pub kind: String,
    /// What it is, in Portuguese.
    pub description_pt: String,
    /// What it is, in English.
    pub description_en: String,
    /// Who wrote it, and when.
    #[serde(flatten)]
    #[sqlx(flatten)]
    pub stamp: Stamp,
}

/// The JSON type of a setting.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SettingKind {
    /// Text.
    String,
    /// A number.
    Number,
    /// Yes or no.
    Boolean,
    /// A list.
    Array,
    /// Names and values.
    Object,
}

/// What a setting is to be.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SettingValue {
    /// Of the setting's kind, and with what the setting means.
    pub value: Value,
}

const SELECT: &str = "
    SELECT t.key, t.value, t.kind, t.description_pt, t.description_en, t.row_version, t.created_at, t.created_by, t.updated_at, t.updated_by
    FROM app.settings t WHERE $1::text IS NULL OR t.key = $1 ORDER BY t.key COLLATE \"C\"";

/// The routes.
#[must_use]
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(read, put))
}

/// Every setting
///
/// Needs the permission `settings:read`.
#[utoipa::path(
    get, path = "/settings", tag = "settings", operation_id = "list_settings",
    responses((status = 200, description = "All of them, by key.", body = Data<Vec<Setting>>), Reads)
)]
async fn list(access: Access<SettingsRead>) -> Result<Data<Vec<Setting>>> {
    access.require_school_scope()?;
    let load = async {
        let mut conn = access.connection().await?;
        let settings: Vec<Setting> = sqlx::query_as(SELECT).bind(None::<String>).fetch_all(&mut *conn).await?;
        conn.finish();
        Ok::<_, Error>(settings)
    };
    let settings = access.app().cache.get_or_load(access.tenant().entry.tenant, Key::new(CACHED), Box::pin(load)).await?;
    Ok(Data::new(settings))
}

/// One setting
///
/// Needs the permission `settings:read`.
#[utoipa::path(
    get, path = "/settings/{key}", tag = "settings", operation_id = "read_setting",
    params(
        ("key" = String, Path, description = "The setting's key."),
        ("If-None-Match" = Option<String>, Header, description = "The version that the caller has."),
    ),
    responses(
        (status = 200, description = "As it is now.", body = Data<Setting>, headers(("ETag" = String, description = "The setting's version, for `If-Match`."))),
        (status = 304, description = "Not changed since `If-None-Match`.", headers(("ETag" = String, description = "The setting's version, for `If-Match`."))),
        ReadsItem
    )
)]
async fn read(access: Access<SettingsRead>, PathParams(key): PathParams<String>, headers: HeaderMap) -> Result<Response> {
    access.require_school_scope()?;
    let mut conn = access.connection().await?;
    let setting = one(&mut conn, &key).await?;
    conn.finish();
    let setting = setting.ok_or(Code::NotFound)?;
    let tag = ETag(setting.stamp.row_version);
    if precondition::caller_has(&headers, tag) {
        return Ok((StatusCode::NOT_MODIFIED, [(header::ETAG, tag.value())]).into_response());
    }
    Ok(tagged(StatusCode::OK, tag, setting))
}

/// Decides a setting
///
/// Needs the permission `settings:update`.
#[utoipa::path(
    put, path = "/settings/{key}", tag = "settings", operation_id = "put_setting",
    params(
        ("key" = String, Path, description = "The setting's key."),
        ("If-Match" = String, Header, description = "The `ETag` that was read, or `*`."),
    ),
    request_body = SettingValue,
    responses(
        (status = 200, description = "As it is now.", body = Data<Setting>, headers(("ETag" = String, description = "The setting's version, for `If-Match`."))),
        ChangesItem
    )
)]
async fn put(
    access: Access<SettingsUpdate>,
    PathParams(key): PathParams<String>,
    headers: HeaderMap,
    body: Body<SettingValue>,
) -> Result<Response> {
    access.require_school_scope()?;
    let if_match = precondition::if_match(&headers)?;
    let SettingValue { value } = body.parse()?;
    let mut tx = access.begin_write().await?;
    let hold = "SELECT kind, row_version FROM app.settings WHERE key = $1 FOR NO KEY UPDATE";
    let standing: Option<(String, i64)> = sqlx::query_as(hold).bind(&key).fetch_optional(&mut *tx).await?;
    let (kind, version) = standing.ok_or(Code::NotFound)?;
    if_match.check(version)?;
    content::check(&mut tx, &key, &kind, &value).await?;
    sqlx::query("UPDATE app.settings SET value = $2 WHERE key = $1").bind(&key).bind(&value).execute(&mut *tx).await?;
    let setting = one(&mut tx, &key).await?.ok_or(Code::NotFound)?;
    tx.invalidates(Invalidation::Value(Key::new(CACHED)));
    tx.commit().await?;
    Ok(tagged(StatusCode::OK, ETag(setting.stamp.row_version), setting))
}

async fn one(conn: &mut PgConnection, key: &str) -> Result<Option<Setting>> {
    Ok(sqlx::query_as(SELECT).bind(key).fetch_optional(conn).await?)
}
