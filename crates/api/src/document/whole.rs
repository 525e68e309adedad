//! Completes the document with what all operations have in common, in one place, so that no route can forget it.
//!
//! Works on the finished JSON. Must not know any route.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};
use utoipa::openapi::OpenApi;

use super::{EDGE, answers};
use crate::idempotency_key;

/// The name of the header that names a school, among the document's parameters.
pub(crate) const TENANT: &str = "#/components/parameters/XTenantId";

const SCHEMAS: &str = "#/components/schemas/";

/// Completes the document that the routes made.
#[must_use]
pub fn completed(document: &OpenApi) -> Value {
    // A tree of strings, numbers and lists is JSON.
    let mut document = serde_json::to_value(document).unwrap_or_default();
    document["components"]["responses"] = answers::all().into();
    document["components"]["headers"] = json!({ "RequestId": answers::request_id() });
    document["components"]["parameters"] = json!({ "XTenantId": answers::tenant_parameter() });
    operations(&mut document).for_each(complete);
    name_what_is_enveloped(&mut document);
    require_what_is_always_there(&mut document);
    document
}

/// The derive copies a schema into its envelope. A reference by name lets generated clients use one type for it.
fn name_what_is_enveloped(document: &mut Value) {
    let Some(schemas) = document["components"]["schemas"].as_object_mut() else { return };
    let named = schemas.clone();
    for envelope in schemas.iter_mut().filter_map(|(name, schema)| name.contains('_').then_some(schema)) {
        let Some(data) = envelope.pointer_mut("/properties/data") else { continue };
        let result = if data["type"] == "array" { &mut data["items"] } else { &mut *data };
        if let Some((name, _)) = named.iter().find(|(_, schema)| *schema == result) {
            *result = json!({ "$ref": format!("{SCHEMAS}{name}") });
        }
        describe_data(data);
    }
}

/// A reference says nothing of itself.
fn describe_data(data: &mut Value) {
    if data.get("description").is_none() {
        data["description"] = json!("Result of the request.");
    }
}

/// Every operation of the document.
fn operations(document: &mut Value) -> impl Iterator<Item = &mut Map<String, Value>> {
    let items = document["paths"].as_object_mut().into_iter().flat_map(Map::values_mut);
    items.filter_map(Value::as_object_mut).flat_map(Map::values_mut).filter_map(Value::as_object_mut)
}

fn complete(operation: &mut Map<String, Value>) {
    // The derive turns `security(())` into a requirement that demands nothing; the specification wants an empty list.
    if operation.get("security").and_then(Value::as_array).is_some_and(|all| all.iter().all(|one| *one == json!({}))) {
        operation.insert("security".to_owned(), json!([]));
    }
    // Query strings and headers have no null: what is not given is absent.
    for parameter in operation.get_mut("parameters").and_then(Value::as_array_mut).into_iter().flatten() {
        match parameter["name"].as_str() {
            Some(name) if name.eq_ignore_ascii_case(idempotency_key::HEADER) => parameter["schema"] = idempotency_key(),
            _ => without_null(&mut parameter["schema"]),
        }
    }
    let Some(responses) = operation.get_mut("responses").and_then(Value::as_object_mut) else { return };
    for code in EDGE {
        let refusal = serde_json::to_value(answers::refusal(&[*code])).unwrap_or_default();
        responses.entry(code.status().as_str()).or_insert(refusal);
    }
    for (status, response) in responses {
        answer(status, response);
    }
}

/// An error refers to the shared answer of its status, with the description that the route gives; every other answer has the header with the request's id.
fn answer(status: &str, response: &mut Value) {
    if response.get("$ref").is_some() {
        return;
    }
    match status.parse::<axum::http::StatusCode>() {
        Ok(status) if status.is_client_error() || status.is_server_error() => {
            let reference = format!("#/components/responses/{}", answers::name(status));
            *response = json!({ "$ref": reference, "description": response["description"] });
        }
        Ok(status) => {
            response.pointer_mut("/content/application~1json/schema/properties/data").into_iter().for_each(describe_data);
            response["headers"]["X-Request-Id"] = json!({ "$ref": "#/components/headers/RequestId" });
            if response.get("description").is_none() {
                response["description"] = json!(status.canonical_reason());
            }
        }
        Err(_) => {}
    }
}

/// Text that a header can carry unchanged and the database can store.
fn idempotency_key() -> Value {
    json!({ "type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]([ -~]*[!-~])?$" })
}

fn without_null(schema: &mut Value) {
    if let Some(types) = schema.get_mut("type").and_then(Value::as_array_mut) {
        types.retain(|one| one != "null");
        if let [one] = &mut types[..] {
            schema["type"] = one.take();
        }
    }
    for keyword in ["oneOf", "anyOf"] {
        let Some(choices) = schema.get_mut(keyword).and_then(Value::as_array_mut) else { continue };
        choices.retain(|choice| choice["type"] != "null");
        if let [one] = &mut choices[..] {
            *schema = one.take();
        }
    }
}

/// Requires nullable fields in answers: the derive makes every `Option` optional, but an answer contains the field even if it is null. A field that an answer
/// may leave out is marked with `#[schema(nullable = false)]`. Schemas that nothing refers to are removed.
fn require_what_is_always_there(document: &mut Value) {
    let (mut answered, mut sent) = (BTreeSet::new(), BTreeSet::new());
    collect_references(&document["components"]["responses"], document, &mut answered);
    for operation in operations(&mut document.clone()) {
        operation.get("requestBody").into_iter().for_each(|body| collect_references(body, document, &mut sent));
        operation.get("responses").into_iter().for_each(|responses| collect_references(responses, document, &mut answered));
    }
    for operation in operations(document) {
        operation.get_mut("responses").into_iter().for_each(require_nullable);
    }
    let Some(schemas) = document["components"]["schemas"].as_object_mut() else { return };
    schemas.retain(|name, _| answered.contains(name) || sent.contains(name));
    schemas.iter_mut().filter(|(name, _)| !sent.contains(*name)).for_each(|(_, schema)| require_nullable(schema));
}

/// The names of the schemas that this part of the document leads to.
fn collect_references(part: &Value, document: &Value, found: &mut BTreeSet<String>) {
    match part {
        Value::Object(fields) => {
            let name = fields.get("$ref").and_then(Value::as_str).and_then(|reference| reference.strip_prefix(SCHEMAS));
            if let Some(name) = name.filter(|name| found.insert((*name).to_owned())) {
                collect_references(&document["components"]["schemas"][name], document, found);
            }
            fields.values().for_each(|field| collect_references(field, document, found));
        }
        Value::Array(items) => items.iter().for_each(|item| collect_references(item, document, found)),
        _ => {}
    }
}

fn require_nullable(part: &mut Value) {
    match part {
        Value::Object(fields) => {
            let properties = fields.get("properties").and_then(Value::as_object);
            let always: Vec<String> =
                properties.into_iter().flatten().filter(|(_, schema)| nullable(schema)).map(|(name, _)| name.clone()).collect();
            if !always.is_empty() {
                let required = fields.entry("required").or_insert_with(|| json!([]));
                let mut names: BTreeSet<String> = required.as_array().into_iter().flatten().filter_map(text).collect();
                names.extend(always);
                *required = json!(names);
            }
            fields.values_mut().for_each(require_nullable);
        }
        Value::Array(items) => items.iter_mut().for_each(require_nullable),
        _ => {}
    }
}

fn nullable(schema: &Value) -> bool {
    let types = schema["type"].as_array().is_some_and(|types| types.iter().any(|one| one == "null"));
    let choices = ["oneOf", "anyOf"].iter().filter_map(|keyword| schema.get(keyword)?.as_array()).flatten();
    types || choices.into_iter().any(|choice| choice["type"] == "null")
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}
