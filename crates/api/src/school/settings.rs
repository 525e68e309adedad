//! Settings that a school chooses for itself. Migrations create the keys; a school changes the values.
//!
//! Must not accept a value that a reader of the setting could not use: `content` checks them.

mod content;
mod time_zones;

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
use crate::document::{ChangesItem, IfMatchHeader, IfNoneMatchHeader, Reads, ReadsItem};
use crate::error::{Code, Error, Result};
use crate::resource::filter::PathParams;
use crate::resource::{Stamp, precondition};

/// The name of all settings in the cache.
const CACHED: &str = "settings";

/// A setting of the school.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema, FromRow)]
pub struct Setting {
    /// Key of the setting, such as `school.time_zone`.
    pub key: String,
    /// Value that the school has chosen, of the JSON type in `kind`.
    pub value: Value,
    /// Value that counts instead, because the server of the school's database does not know the chosen one any more: choose another. Only for
    /// `school.time_zone`; absent while the chosen value counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    pub fallback: Option<Value>,
    /// JSON type that the value must have.
    #[schema(value_type = SettingKind)]
    pub kind: String,
    /// Whether the API itself keeps to the value. The other settings are for clients to show and to follow: the API stores and checks them, and nothing more.
    pub enforced: bool,
    /// Description of the setting, in Portuguese.
    pub description_pt: String,
    /// Description of the setting, in English.
    pub description_en: String,
    /// Version of the setting, who wrote it and when.
    #[serde(flatten)]
    #[sqlx(flatten)]
    pub stamp: Stamp,
}

/// JSON type of the value of a setting.
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

/// Request body that sets the value of a setting.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SettingValue {
    /// New value. It must have the setting's JSON type and be valid for its key.
    pub value: Value,
}

const SELECT: &str = "
    SELECT t.key, t.value,
           CASE WHEN t.key = 'school.time_zone' AND to_jsonb(app.time_zone()) <> t.value THEN to_jsonb(app.time_zone()) END AS fallback,
           t.kind, t.key IN ('school.time_zone', 'medication.require_witness', 'reports.visible_to_guardians') AS enforced, t.description_pt, t.description_en, t.row_version, t.created_at, t.created_by, t.updated_at, t.updated_by
    FROM app.settings t WHERE $1::text IS NULL OR t.key = $1 ORDER BY t.key COLLATE \"C\"";

/// The routes.
#[must_use]
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(read, put))
}

/// List the settings
///
/// Returns all settings of the school, ordered by key. The API itself keeps to `school.time_zone`, `medication.require_witness` and
/// `reports.visible_to_guardians`; the others are for clients. Requires the permission `settings:read`.
#[utoipa::path(
    get, path = "/settings", tag = "settings", operation_id = "listSettings",
    responses((status = 200, description = "The complete list.", body = Data<Vec<Setting>>), Reads)
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

/// Get a setting
///
/// Returns one setting of the school. Requires the permission `settings:read`.
#[utoipa::path(
    get, path = "/settings/{key}", tag = "settings", operation_id = "getSetting",
    params(
        ("key" = String, Path, description = "Key of the setting, such as `school.time_zone`."),
        IfNoneMatchHeader,
    ),
    responses(
        (status = 200, description = "The record as it is now.", body = Data<Setting>, headers(("ETag" = String, description = "Version of the record, for `If-Match` and `If-None-Match`."))),
        (status = 304, description = "The version in `If-None-Match` is still current.", headers(("ETag" = String, description = "Version of the record, for `If-Match` and `If-None-Match`."))),
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

/// Set the value of a setting
///
/// Replaces the value and returns the setting. An old name of a time zone, such as `Portugal`, becomes today's. Requires the permission `settings:update`.
#[utoipa::path(
    put, path = "/settings/{key}", tag = "settings", operation_id = "putSetting",
    params(
        ("key" = String, Path, description = "Key of the setting, such as `school.time_zone`."),
        IfMatchHeader,
    ),
    request_body = SettingValue,
    responses(
        (status = 200, description = "The record as it is now.", body = Data<Setting>, headers(("ETag" = String, description = "Version of the record, for `If-Match` and `If-None-Match`."))),
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
    let value = content::stored(&key, body.parse()?.value);
    let mut tx = access.begin_write().await?;
    let lock = "SELECT kind, row_version FROM app.settings WHERE key = $1 FOR NO KEY UPDATE";
    let current: Option<(String, i64)> = sqlx::query_as(lock).bind(&key).fetch_optional(&mut *tx).await?;
    let (kind, version) = current.ok_or(Code::NotFound)?;
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
