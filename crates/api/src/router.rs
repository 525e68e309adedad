//! Every route, in one place, with the document that is made from them.
//!
//! Must not hold handlers.

#[cfg(test)]
mod tests;

use std::borrow::Cow;

use axum::body::Bytes;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse as _;
use axum::routing::{MethodRouter, get};
use axum::{Extension, Router};
use serde_json::Value;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{ComponentsBuilder, InfoBuilder, OpenApi, OpenApiBuilder, Ref, RefOr};
use utoipa_axum::router::OpenApiRouter;

use super::app::App;
use super::document::{schemas_of, tags, whole};
use super::error::Problem;
use super::{accounts, edge, identity, platform, school};

/// Where the routes of schools and platform are.
pub const PREFIX: &str = "/api/v1";

/// The scheme's name in the document.
const BEARER: &str = "bearer";

/// The API, with everything that surrounds it.
pub fn router(app: &App, settings: &edge::Settings) -> Router {
    let below = of_schools().merge(platform::routes());
    let identity: OpenApiRouter<App> = identity::routes().with_state(std::sync::Arc::clone(&app.identity));
    let (routes, _) = identity.nest(PREFIX, below).split_for_parts();
    let routes = routes.with_state(app.clone()).route("/openapi.json", served(text().into())).merge(page());
    let settings = edge::Settings { small_bodies: identity::SMALL_BODIES, ..settings.clone() };
    edge::layered(routes, &settings, Some(app.audit.clone()))
}

/// The document to everybody who asks. Its bytes are shared by every answer.
fn served<S: Clone + Send + Sync + 'static>(text: Bytes) -> MethodRouter<S> {
    get(async move || ([(header::CONTENT_TYPE, "application/json")], text))
}

/// Every route of one school.
fn of_schools() -> OpenApiRouter<App> {
    school::routes().merge(accounts::routes())
}

/// The document of every route. It needs no running API.
#[must_use]
pub fn document() -> Value {
    let (mut school, platform) = (of_schools().into_openapi(), platform::routes().into_openapi());
    for item in school.paths.paths.values_mut() {
        item.parameters.get_or_insert_default().push(RefOr::Ref(Ref::new(whole::TENANT)));
    }
    whole::completed(&description().merge_from(identity::routes().into_openapi()).nest(PREFIX, school.merge_from(platform)))
}

/// The document as it is served, printed and kept in `docs/openapi.json`: sorted, indented, ending in a newline.
#[must_use]
pub fn text() -> String {
    format!("{:#}\n", document())
}

/// The document before any route.
fn description() -> OpenApi {
    let info = InfoBuilder::new()
        .title("DailyCare API")
        .version("1")
        .description(Some(
            "Every request works in the database of one school, which the token determines. Successful answers are `{\"success\": true, \"data\": …}`, errors \
             `{\"success\": false, \"error\": …}` with a message in Portuguese or, depending on `Accept-Language`, in English. Every path that supports GET \
             supports HEAD; a method that is not listed is answered 405 with `Allow`. Texts must not contain the character U+0000.",
        ))
        .license(Some(utoipa::openapi::LicenseBuilder::new().name("Apache-2.0").identifier(Some("Apache-2.0")).build()));
    let bearer = SecurityScheme::Http(HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("JWT").build());
    let mut schemas = Vec::new();
    schemas_of::<Problem>(&mut schemas);
    let components = ComponentsBuilder::new().security_scheme(BEARER, bearer).schemas_from_iter(schemas);
    OpenApiBuilder::new()
        .info(info)
        .tags(Some(tags::all()))
        .components(Some(components.build()))
        .security(Some([SecurityRequirement::new(BEARER, [""; 0])]))
        .build()
}

/// `/docs`: the document for people. Every file comes from this program, none from elsewhere.
fn page() -> Router {
    let config = std::sync::Arc::new(utoipa_swagger_ui::Config::from("/openapi.json").try_it_out_enabled(true));
    Router::new()
        .route("/docs", get(async || (StatusCode::PERMANENT_REDIRECT, [(header::LOCATION, "/docs/")])))
        .route("/docs/{*file}", get(file).layer(Extension(config.clone())))
        .route("/docs/", get(file).layer(Extension(config)))
}

async fn file(
    path: Option<axum::extract::Path<String>>,
    Extension(config): Extension<std::sync::Arc<utoipa_swagger_ui::Config<'static>>>,
) -> axum::response::Response {
    let path = path.map_or_else(|| "index.html".to_owned(), |path| path.0);
    match utoipa_swagger_ui::serve(&path, config) {
        Ok(Some(file)) => {
            let bytes = match file.bytes {
                Cow::Borrowed(bytes) => Bytes::from_static(bytes),
                Cow::Owned(bytes) => Bytes::from(bytes),
            };
            ([(header::CONTENT_TYPE, file.content_type)], bytes).into_response()
        }
        Ok(None) => super::error::Error::from(super::error::Code::NotFound).into_response(),
        Err(error) => super::error::Error::new(super::error::Code::Internal).because(Page(error.to_string())).into_response(),
    }
}

/// The page's files are part of the program: one that cannot be made is a fault of ours.
#[derive(Debug, thiserror::Error)]
#[error("making a file of the documentation page failed: {0}")]
struct Page(String);
