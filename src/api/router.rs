//! Every route, in one place, with the document that is made from them.

use axum::http::{StatusCode, header};
use axum::middleware::from_fn_with_state;
use axum::response::IntoResponse as _;
use axum::routing::get;
use axum::{Extension, Router};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{ComponentsBuilder, InfoBuilder, OpenApi, OpenApiBuilder};
use utoipa_axum::router::OpenApiRouter;

use super::access::trail;
use super::app::App;
use super::document::schemas_of;
use super::edge::{self, Problem};
use super::{platform, school};

/// Where the routes of schools and platform are.
pub const PREFIX: &str = "/api/v1";

/// The scheme's name in the document.
const BEARER: &str = "bearer";

/// The API, with everything that surrounds it, and its document.
pub fn router(app: &App, settings: &edge::Settings) -> (Router, OpenApi) {
    let (routes, document) = routes(app);
    let text = document.to_json().unwrap_or_default();
    let openapi = get(async move || ([(header::CONTENT_TYPE, "application/json")], text));
    let routes =
        routes.with_state(app.clone()).layer(from_fn_with_state(app.clone(), trail::follow)).route("/openapi.json", openapi).merge(page());
    (edge::layered(routes, settings), document)
}

fn routes(app: &App) -> (Router<App>, OpenApi) {
    let below = OpenApiRouter::new().merge(school::routes()).merge(platform::routes());
    let identity = std::sync::Arc::clone(&app.identity).router().with_state(());
    OpenApiRouter::with_openapi(description()).merge(identity).nest(PREFIX, below).split_for_parts()
}

/// The document before any route.
fn description() -> OpenApi {
    let info = InfoBuilder::new()
        .title("DailyCare API")
        .version("1")
        .description(Some(
            "Each request works in its own school's database: the token says which. Errors are `{\"success\": false, \"error\": …}`, in Portuguese or, \
             by `Accept-Language`, in English.",
        ))
        .license(Some(utoipa::openapi::LicenseBuilder::new().name("Apache-2.0").identifier(Some("Apache-2.0")).build()));
    let bearer = SecurityScheme::Http(HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("JWT").build());
    let mut schemas = Vec::new();
    schemas_of::<Problem>(&mut schemas);
    let components = ComponentsBuilder::new().security_scheme(BEARER, bearer).schemas_from_iter(schemas);
    OpenApiBuilder::new()
        .info(info)
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
        Ok(Some(file)) => ([(header::CONTENT_TYPE, file.content_type)], file.bytes.into_owned()).into_response(),
        Ok(None) => super::error::Error::from(super::error::Code::NotFound).into_response(),
        Err(error) => super::error::Error::new(super::error::Code::Internal).because(Page(error.to_string())).into_response(),
    }
}

/// The page's files are part of the program: one that cannot be made is a fault of ours.
#[derive(Debug, thiserror::Error)]
#[error("making a file of the documentation page failed: {0}")]
struct Page(String);
