//! Holds every answer that a test gets to the OpenAPI document: route, status, headers and body are documented, or the test fails.
//!
//! Must not excuse an answer.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, LazyLock, Mutex};

use api::router::document;
use jsonschema::Validator;
use reqwest::Method;
use reqwest::header::{CONTENT_TYPE, HeaderMap};
use serde_json::{Value, json};

static DOCUMENT: LazyLock<Value> = LazyLock::new(strict);

/// One for each schema that an answer had; made when it is first needed.
static VALIDATORS: LazyLock<Mutex<HashMap<String, Arc<Validator>>>> = LazyLock::new(Mutex::default);

/// What may be answered before the path is looked at: a request that cannot be read, has no token, is too large, or is one too many.
const UNREAD: [u16; 4] = [400, 401, 413, 429];

/// Panics unless the document allows this answer to this request.
pub(crate) fn check(method: &Method, path: &str, status: u16, headers: &HeaderMap, body: &str) {
    let exchange = format!("{method} {path} → {status}");
    let path = path.split('?').next().unwrap_or_default();
    let response = match (item(path), method) {
        (None, _) => {
            assert!(status == 404 || UNREAD.contains(&status), "{exchange}: there is no such path");
            &DOCUMENT["components"]["responses"]["NotFound"]
        }
        (Some(item), method) => {
            let verb = if *method == Method::HEAD { "get".to_owned() } else { method.as_str().to_lowercase() };
            if let Some(operation) = item.get(&verb) {
                documented(&operation["responses"][status.to_string()], &exchange, body)
            } else {
                assert!(status == 405 || UNREAD.contains(&status), "{exchange}: there is no such method");
                &DOCUMENT["components"]["responses"]["MethodNotAllowed"]
            }
        }
    };
    check_headers(response, headers, &exchange);
    let media = headers.get(CONTENT_TYPE).map(|value| value.to_str().unwrap());
    match response["content"].as_object() {
        None => assert!(body.is_empty() && media.is_none(), "{exchange}: has a body, which is not documented: {body}"),
        Some(content) => {
            let schema = &content.get(media.unwrap_or_default()).unwrap_or_else(|| panic!("{exchange}: is {media:?}"))["schema"];
            if *method != Method::HEAD {
                check_body(schema, &serde_json::from_str(body).unwrap(), &exchange);
            }
        }
    }
}

fn documented<'a>(response: &'a Value, exchange: &str, body: &str) -> &'a Value {
    assert!(!response.is_null(), "{exchange}: is not documented: {body}");
    response["$ref"].as_str().map_or(response, |reference| DOCUMENT.pointer(&reference[1..]).unwrap())
}

fn check_headers(response: &Value, headers: &HeaderMap, exchange: &str) {
    for (name, header) in response["headers"].as_object().into_iter().flatten() {
        let header = documented(header, exchange, "");
        assert!(header["required"] != true || headers.contains_key(name), "{exchange}: lacks {name}");
    }
}

fn check_body(schema: &Value, body: &Value, exchange: &str) {
    let validator = validator(schema);
    let errors: Vec<_> = validator.iter_errors(body).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert!(errors.is_empty(), "{exchange}: {errors:#?}");
}

fn validator(schema: &Value) -> Arc<Validator> {
    let mut made = VALIDATORS.lock().unwrap();
    let build = || {
        let root = json!({ "allOf": [schema], "components": DOCUMENT["components"] });
        let options = jsonschema::options().with_draft(jsonschema::Draft::Draft202012);
        Arc::new(options.should_validate_formats(true).should_ignore_unknown_formats(true).build(&root).unwrap())
    };
    Arc::clone(made.entry(schema.to_string()).or_insert_with(build))
}

/// The item of the document's paths that this path is one of; of several, the one with the most literal parts.
fn item(path: &str) -> Option<&'static Value> {
    let paths = DOCUMENT["paths"].as_object().unwrap();
    let matching = paths.iter().filter_map(|(pattern, item)| literal_parts(pattern, path).map(|parts| (parts, item)));
    matching.max_by_key(|(parts, _)| *parts).map(|(_, item)| item)
}

fn literal_parts(pattern: &str, path: &str) -> Option<usize> {
    let (pattern, path): (Vec<_>, Vec<_>) = (pattern.split('/').collect(), path.split('/').collect());
    let fits = |(pattern, part): (&&str, &&str)| if pattern.starts_with('{') { !part.is_empty() } else { pattern == part };
    let whole = pattern.len() == path.len() && pattern.iter().zip(&path).all(fits);
    whole.then(|| pattern.iter().filter(|part| !part.starts_with('{')).count())
}

/// The document, with every object of an answer closed: callers must put up with fields that are new, tests must not.
fn strict() -> Value {
    let mut document = document();
    let mut parts = BTreeSet::new();
    all_of(&document, &mut parts);
    for (name, schema) in document["components"]["schemas"].as_object_mut().unwrap() {
        if !parts.contains(name) && (schema.get("properties").is_some() || schema.get("allOf").is_some()) {
            schema["unevaluatedProperties"] = json!(false);
        }
    }
    document
}

/// The schemas that others are put together from: those stay open.
fn all_of(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            let parts = ["allOf", "oneOf", "anyOf"].iter().filter_map(|keyword| fields.get(*keyword)?.as_array()).flatten();
            let names = parts.filter_map(|part| part["$ref"].as_str()?.strip_prefix("#/components/schemas/"));
            found.extend(names.map(str::to_owned));
            fields.values().for_each(|field| all_of(field, found));
        }
        Value::Array(items) => items.iter().for_each(|item| all_of(item, found)),
        _ => {}
    }
}
