//! The permissions of a role, read and replaced as a whole, so that two changes at the same time cannot mix.
//!
//! Must not take the permissions to change this from administrators.

use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use sqlx::postgres::PgConnection;
use sqlx::types::Json;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Grant;
use crate::access::permission::{Permission as _, RolesRead, RolesUpdate};
use crate::access::{Access, Invalidation};
use crate::answer::{Data, ETag, tagged};
use crate::app::App;
use crate::body::Body;
use crate::document::{ChangesItem, IfMatchHeader, IfNoneMatchHeader, ReadsItem};
use crate::error::{Code, Error, Field, Result, Text};
use crate::grants::Scope;
use crate::resource::filter::PathParams;
use crate::resource::precondition;

/// The role that can always change permissions.
const ADMIN: &str = "SchoolAdmin";

/// The routes.
#[must_use]
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(read, put))
}

/// Get the permissions of a role
///
/// Returns all permissions of the role with their scope, ordered by code. Requires the permission `roles:read`.
#[utoipa::path(
    get, path = "/roles/{code}/permissions", tag = "roles", operation_id = "getRolePermissions",
    params(
        ("code" = String, Path, description = "Code of the role, such as `Teacher`."),
        IfNoneMatchHeader,
    ),
    responses(
        (status = 200, description = "The complete list.", body = Data<Vec<Grant>>, headers(("ETag" = String, description = "Version of the list, for `If-Match` and `If-None-Match`."))),
        (status = 304, description = "The version in `If-None-Match` is still current.", headers(("ETag" = String, description = "Version of the list, for `If-Match` and `If-None-Match`."))),
        ReadsItem
    )
)]
async fn read(access: Access<RolesRead>, PathParams(role): PathParams<String>, headers: HeaderMap) -> Result<Response> {
    access.require_school_scope()?;
    let mut conn = access.connection().await?;
    let grants = of(&mut conn, &role).await?;
    conn.finish();
    let grants = grants.ok_or(Code::NotFound)?;
    let tag = tag(&grants)?;
    if precondition::caller_has(&headers, tag) {
        return Ok((StatusCode::NOT_MODIFIED, [(header::ETAG, tag.value())]).into_response());
    }
    Ok(tagged(StatusCode::OK, tag, grants))
}

/// Replace the permissions of a role
///
/// The role `SchoolAdmin` must keep `roles:read` and `roles:update` for the whole school, so that no school locks itself out. Requires the permission
/// `roles:update`.
#[utoipa::path(
    put, path = "/roles/{code}/permissions", tag = "roles", operation_id = "putRolePermissions",
    params(
        ("code" = String, Path, description = "Code of the role, such as `Teacher`."),
        IfMatchHeader,
    ),
    request_body = Vec<Grant>,
    responses(
        (status = 200, description = "The permissions as they are now.", body = Data<Vec<Grant>>, headers(("ETag" = String, description = "Version of the list, for `If-Match` and `If-None-Match`."))),
        ChangesItem
    )
)]
async fn put(
    access: Access<RolesUpdate>,
    PathParams(role): PathParams<String>,
    headers: HeaderMap,
    body: Body<Vec<Grant>>,
) -> Result<Response> {
    access.require_school_scope()?;
    let if_match = precondition::if_match(&headers)?;
    let new = body.parse()?;
    let mut tx = access.begin_write().await?;
    // Writers wait for each other, readers do not. The row of a role cannot be locked instead: only migrations may.
    sqlx::raw_sql("LOCK TABLE app.role_permissions IN SHARE ROW EXCLUSIVE MODE").execute(&mut *tx).await?;
    let old = of(&mut tx, &role).await?.ok_or(Code::NotFound)?;
    if_match.check(tag(&old)?.0)?;
    check(&mut tx, &role, &new).await?;
    replace(&mut tx, &role, &new).await?;
    let grants = of(&mut tx, &role).await?.ok_or(Code::NotFound)?;
    tx.invalidates(Invalidation::Grants);
    tx.commit().await?;
    Ok(tagged(StatusCode::OK, tag(&grants)?, grants))
}

/// The permissions of a role; none if there is no such role.
async fn of(conn: &mut PgConnection, role: &str) -> Result<Option<Vec<Grant>>> {
    let select = "
        SELECT coalesce(jsonb_agg(jsonb_build_object('permission', p.permission_code, 'scope', p.scope)
                                  ORDER BY p.permission_code COLLATE \"C\") FILTER (WHERE p.permission_code IS NOT NULL), '[]')
        FROM app.roles r LEFT JOIN app.role_permissions p ON p.role_code = r.code WHERE r.code = $1 GROUP BY r.code";
    let grants: Option<Json<Vec<Grant>>> = sqlx::query_scalar(select).bind(role).fetch_optional(conn).await?;
    Ok(grants.map(|Json(grants)| grants))
}

/// The version of the list, a digest of its content: no single row carries a version of the whole list.
fn tag(grants: &[Grant]) -> Result<ETag> {
    let text = serde_json::to_vec(grants).map_err(|error| Error::new(Code::Internal).because(error))?;
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &text);
    Ok(ETag(digest.as_ref()[..8].iter().fold(0, |tag, byte| (tag << 8 | i64::from(*byte)) & i64::MAX)))
}

/// Refuses unknown and repeated permissions, and a list that takes their permissions over roles from administrators.
async fn check(conn: &mut PgConnection, role: &str, new: &[Grant]) -> Result<()> {
    let known: Vec<String> = sqlx::query_scalar("SELECT code FROM app.permissions").fetch_all(conn).await?;
    let field = |i: usize, code, pt, en| Field { field: format!("{i}.permission"), code, message: Text::new(pt, en) };
    let wrong: Vec<Field> = new
        .iter()
        .enumerate()
        .filter_map(|(i, grant)| {
            if !known.contains(&grant.permission) {
                Some(field(i, "not_found", "não existe", "does not exist"))
            } else if new[..i].iter().any(|before| before.permission == grant.permission) {
                Some(field(i, "repeated", "está repetida", "is repeated"))
            } else {
                None
            }
        })
        .collect();
    if !wrong.is_empty() {
        return Err(Error::invalid(wrong));
    }
    let keeps = |code: &str| new.iter().any(|grant| grant.permission == code && grant.scope == Scope::School);
    if role == ADMIN && !(keeps(RolesRead::CODE) && keeps(RolesUpdate::CODE)) {
        let message =
            Text::new("a direção tem de manter roles:read e roles:update", "administrators must keep roles:read and roles:update");
        return Err(Error::conflict("", "required", message));
    }
    Ok(())
}

/// Writes the difference alone, so that unchanged rows keep who wrote them and when.
async fn replace(conn: &mut PgConnection, role: &str, new: &[Grant]) -> Result<()> {
    let new = Json(new);
    let take = "DELETE FROM app.role_permissions WHERE role_code = $1
                AND permission_code NOT IN (SELECT n.permission FROM jsonb_to_recordset($2) AS n (permission text))";
    sqlx::query(take).bind(role).bind(new).execute(&mut *conn).await?;
    let give = "INSERT INTO app.role_permissions AS p (role_code, permission_code, scope)
                SELECT $1, n.permission, n.scope FROM jsonb_to_recordset($2) AS n (permission text, scope text)
                ON CONFLICT (role_code, permission_code) DO UPDATE SET scope = excluded.scope WHERE p.scope <> excluded.scope";
    sqlx::query(give).bind(role).bind(new).execute(conn).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grant(permission: &str, scope: Scope) -> Grant {
        Grant { permission: permission.to_owned(), scope }
    }

    #[test]
    fn a_lists_version_is_what_it_holds() {
        let list = [grant("children:read", Scope::Own), grant("settings:read", Scope::School)];
        let other = [grant("children:read", Scope::School), grant("settings:read", Scope::School)];
        assert_eq!(tag(&list).unwrap(), tag(&list.clone()).unwrap());
        assert_ne!(tag(&list).unwrap(), tag(&other).unwrap());
        assert_ne!(tag(&list).unwrap(), tag(&list[..1]).unwrap());
        assert!(tag(&list).unwrap().0 >= 0 && tag(&[]).unwrap().0 >= 0);
    }

    #[test]
    fn a_list_of_grants_is_validated_item_by_item() {
        let read = |json: &str| Body::<Vec<Grant>>::read(json.as_bytes()).map(|body| body.value);
        assert!(read(r#"[{"permission": "children:read", "scope": "own"}]"#).is_ok() && read("[]").is_ok());
        for (json, field) in [
            (r#"[{"permission": "children:read", "scope": "all"}]"#, "0.scope"),
            (r#"[{"permission": "children:read"}]"#, "0.scope"),
            (r#"[{"permission": "Children", "scope": "own"}]"#, "0.permission"),
            (r#"[{"permission": "children:read", "scope": "own", "x": 1}]"#, "0.x"),
        ] {
            assert_eq!(read(json).unwrap_err().fields[0].field, field, "{json}");
        }
        assert_eq!(read("{}").unwrap_err().code, Code::Validation);
    }
}
