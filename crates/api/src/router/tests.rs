//! The document is OpenAPI 3.1, whole, and the one that is kept in `docs/openapi.json`.
//!
//! Must not describe a route: the routes do.

mod wording;

use std::collections::BTreeSet;
use std::path::Path;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::http::{Request, StatusCode};
use serde_json::{Map, Value};
use tower::ServiceExt as _;

use crate::router::{document, page, served, text};

/// The specification's own schema of documents (OpenAPI Initiative, 2022-10-07).
const OPENAPI: &str = include_str!("../../tests/golden/openapi-3.1.schema.json");

const PUBLIC: [&str; 4] =
    ["GET /.well-known/jwks.json", "POST /api/v1/auth/login", "POST /api/v1/auth/logout", "POST /api/v1/auth/refresh"];

/// Every operation: method and path, itself, and the parameters of its path.
fn operations(document: &Value) -> Vec<(String, &Map<String, Value>, Vec<&Value>)> {
    let mut found = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        let shared = item["parameters"].as_array().into_iter().flatten();
        for (method, operation) in item.as_object().unwrap().iter().filter(|(_, operation)| operation.is_object()) {
            let own = operation["parameters"].as_array().into_iter().flatten();
            let parameters = shared.clone().chain(own).map(|parameter| resolved(document, parameter)).collect();
            found.push((format!("{} {path}", method.to_uppercase()), operation.as_object().unwrap(), parameters));
        }
    }
    found
}

fn resolved<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    value["$ref"].as_str().map_or(value, |reference| document.pointer(&reference[1..]).unwrap())
}

fn references<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
    match value {
        Value::Object(fields) => {
            found.extend(fields.get("$ref").and_then(Value::as_str));
            fields.values().for_each(|field| references(field, found));
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        _ => {}
    }
}

#[test]
fn the_document_is_openapi_3_1() {
    let document = document();
    let specification = jsonschema::draft202012::new(&serde_json::from_str(OPENAPI).unwrap()).unwrap();
    let errors: Vec<_> = specification.iter_errors(&document).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert_eq!(errors, [""; 0]);
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1."));
    for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
        assert!(jsonschema::draft202012::meta::is_valid(schema), "{name} is no schema");
    }
}

#[test]
fn every_reference_leads_somewhere_and_everything_that_is_named_is_referred_to() {
    let document = document();
    let mut found = Vec::new();
    references(&document, &mut found);
    for reference in &found {
        assert!(document.pointer(&reference[1..]).is_some(), "{reference}");
    }
    // 405 belongs to no operation: it is what says that there is none.
    let found: BTreeSet<&str> = found.into_iter().chain(["#/components/responses/MethodNotAllowed"]).collect();
    for kind in ["schemas", "responses", "parameters", "headers"] {
        for name in document["components"][kind].as_object().unwrap().keys() {
            assert!(found.contains(format!("#/components/{kind}/{name}").as_str()), "nothing refers to {kind}/{name}");
        }
    }
}

#[test]
fn every_operation_says_what_it_is_who_may_use_it_and_all_that_it_may_answer() {
    let document = document();
    let mut ids = BTreeSet::new();
    for (name, operation, parameters) in operations(&document) {
        assert!(ids.insert(operation["operationId"].as_str().unwrap()), "{name}: its id is another's too");
        assert_eq!(operation["tags"].as_array().map(Vec::len), Some(1), "{name}");
        assert!(operation["summary"].as_str().is_some_and(|summary| summary.len() > 3), "{name} has no summary");
        let in_path = name.split('/').filter(|part| part.starts_with('{')).map(|part| part.trim_matches(['{', '}'])).collect::<Vec<_>>();
        let mut declared = BTreeSet::new();
        for parameter in parameters {
            let (name_of, place) = (parameter["name"].as_str().unwrap(), parameter["in"].as_str().unwrap());
            assert!(declared.insert((place, name_of)), "{name}: {name_of} is declared twice");
            assert!(jsonschema::draft202012::meta::is_valid(&parameter["schema"]), "{name}: {parameter}");
            assert!(parameter["schema"]["type"].is_string() || parameter["schema"]["$ref"].is_string(), "{name}: {parameter}");
        }
        let of_path: Vec<_> = declared.iter().filter(|(place, _)| *place == "path").map(|(_, name)| *name).collect();
        assert_eq!(of_path.iter().collect::<BTreeSet<_>>(), in_path.iter().collect::<BTreeSet<_>>(), "{name}");

        let statuses: BTreeSet<&str> = operation["responses"].as_object().unwrap().keys().map(String::as_str).collect();
        assert!(statuses.iter().any(|status| status.starts_with('2')), "{name} never succeeds");
        for (status, response) in operation["responses"].as_object().unwrap() {
            let shared = response["$ref"].as_str().is_some_and(|reference| reference.starts_with("#/components/responses/"));
            assert_eq!(shared, status.starts_with(['4', '5']), "{name} {status}: every refusal is the envelope of its status");
        }
        let public = PUBLIC.contains(&name.as_str());
        assert_eq!(operation.get("security").is_some_and(|security| security == &serde_json::json!([])), public, "{name}: security");
        let mut expected = vec!["400", "408", "413", "414", "415", "431", "500", "504"];
        expected.extend(if public { &[][..] } else { &["401", "403", "429", "503"] });
        expected.extend(operation.get("requestBody").map(|_| "422"));
        for status in expected {
            assert!(statuses.contains(status), "{name} does not say {status}");
        }
    }
}

#[test]
fn nullable_fields_of_answers_are_required_and_those_of_requests_stay_optional() {
    let document = document();
    let required = |schema: &str, field: &str| {
        let schema = &document["components"]["schemas"][schema];
        let parts = schema["allOf"].as_array().cloned().unwrap_or_else(|| vec![schema.clone()]);
        parts.iter().flat_map(|part| part["required"].as_array().cloned().unwrap_or_default()).any(|name| name == field)
    };
    assert!(required("Child", "notes") && required("Stamp", "created_by") && required("TenantRecord", "server"));
    assert!(!required("NewChild", "notes") && !required("ChildChange", "full_name") && !required("ProblemError", "fields"));
}

#[test]
fn no_two_parts_of_the_document_give_one_name_to_two_schemas() {
    let school = super::of_schools().into_openapi();
    let (platform, identity) = (crate::platform::routes().into_openapi(), crate::identity::routes().into_openapi());
    let mut known = std::collections::BTreeMap::new();
    for (name, schema) in [school, platform, identity].into_iter().filter_map(|part| part.components).flat_map(|parts| parts.schemas) {
        let schema = serde_json::to_value(schema).unwrap();
        let first = known.entry(name.clone()).or_insert_with(|| schema.clone());
        assert_eq!(*first, schema, "{name} is two schemas");
    }
}

#[test]
fn the_file_in_docs_is_what_the_code_says() {
    let (path, expected) = (Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/openapi.json"), text());
    if std::env::var_os("UPDATE_OPENAPI").is_some_and(|flag| flag == "1") {
        std::fs::write(&path, expected).unwrap();
    } else {
        let found = std::fs::read_to_string(&path).unwrap_or_default();
        let line = found.lines().zip(expected.lines()).position(|(found, expected)| found != expected).map(|line| line + 1);
        assert!(found == expected, "docs/openapi.json is out of date, first at line {line:?}: run `make openapi`");
    }
}

#[tokio::test]
async fn the_document_and_the_files_of_its_page_are_in_memory_once_however_often_they_are_asked_for() {
    let text = Bytes::from(text());
    let router = Router::new().route("/openapi.json", served(text.clone())).merge(page());
    let get = async |path: &str| {
        let request = Request::builder().uri(path).body(Body::empty()).unwrap();
        let response = router.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        to_bytes(response.into_body(), usize::MAX).await.unwrap()
    };
    assert_eq!(get("/openapi.json").await.as_ptr(), text.as_ptr());
    let (first, second) = (get("/docs/swagger-ui-bundle.js").await, get("/docs/swagger-ui-bundle.js").await);
    assert_eq!(first.as_ptr(), second.as_ptr());
}
