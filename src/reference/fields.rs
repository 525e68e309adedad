//! The custom resources' fields, from their schemas: `docs/using/crd-reference.md`.
//!
//! Must not describe a field itself: the types' docstrings do.

use std::fmt::Write as _;

use operator::crd::print;
use serde_json::Value;

use super::{code, head, hold, table};

const INTRODUCTION: &str = "Fields marked * are required. The API server fills in no default: a field that is not given has the meaning named here. \
The definitions themselves are in [`crds/`](../../crds), examples in [`config/samples/`](../../config/samples). \
[Concepts](concepts.md) explains the conditions and their reasons, the Secrets, the annotations and what a deletion does.\n";

#[test]
fn the_page_of_fields_is_what_the_types_say() {
    let mut page = head("CRD reference", "the types in `crates/operator/src/crd`") + INTRODUCTION;
    for crd in print::all() {
        page += &kind(&crd);
    }
    hold("docs/using/crd-reference.md", &page);
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn texts<'a>(value: &'a Value, pointer: &str, each: &str) -> Vec<&'a str> {
    value.pointer(pointer).and_then(Value::as_array).into_iter().flatten().map(|item| text(item, each)).collect()
}

fn kind(crd: &Value) -> String {
    let (version, schema) = (&crd["spec"]["versions"][0], &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]);
    let mut page = format!("\n## {}\n\n{}\n\n", text(crd, "/spec/names/kind"), text(schema, "/description"));
    let (names, scope) = (code(texts(crd, "/spec/names/shortNames", "")), text(crd, "/spec/scope").to_lowercase());
    let categories = code(texts(crd, "/spec/names/categories", ""));
    let version_name = format!("{}/{}", text(crd, "/spec/group"), text(version, "/name"));
    let _ = writeln!(page, "`apiVersion: {version_name}`, {scope}-scoped, short name {names}, category {categories}.");
    page = page.replace("namespaced-scoped", "namespaced").replace("cluster-scoped", "scoped to the cluster");
    for part in ["spec", "status"] {
        let mut rows = Vec::new();
        fields(&schema["properties"][part], part, &mut rows);
        let _ = write!(page, "\n### Its {part}\n\n{}", table(["field", "type", "meaning"], rows));
    }
    let mut rows = Vec::new();
    rules(schema, "", &mut rows);
    let _ = write!(page, "\n### What the API server refuses\n\n{}", table(["field", "message"], rows));
    let _ = write!(page, "\n### What `kubectl get` shows\n\n{}", columns(version));
    let selectable = texts(version, "/selectableFields", "/jsonPath");
    if !selectable.is_empty() {
        let selectable = code(selectable.iter().map(|path| path.trim_start_matches('.')));
        let _ = write!(page, "\n`--field-selector` takes {selectable}. A field that is not given matches the empty string.\n");
    }
    page
}

/// A row for each field below `schema`, in the schema's order.
fn fields(schema: &Value, path: &str, rows: &mut Vec<[String; 3]>) {
    let required = texts(schema, "/required", "");
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{path}.{name}");
        let star = if required.contains(&name.as_str()) { "*" } else { "" };
        rows.push([format!("`{path}`{star}"), type_of(field), text(field, "/description").to_owned()]);
        // Conditions are Kubernetes' own type.
        if name != "conditions" {
            fields(field, &path, rows);
        }
    }
}

fn type_of(field: &Value) -> String {
    if field["enum"].is_array() {
        return format!("one of {}", code(texts(field, "/enum", "")));
    }
    let number = |bound: &str| field.get(bound).and_then(Value::as_i64);
    match (text(field, "/type"), number("minLength"), number("maxLength")) {
        ("string", ..) if text(field, "/format") == "date-time" => "time".to_owned(),
        ("string", Some(least), Some(most)) => format!("string, {least} to {most} characters"),
        ("string", None, Some(most)) => format!("string, at most {most} characters"),
        ("integer", ..) => match (number("minimum"), number("maximum")) {
            (Some(least), Some(most)) => format!("integer, {least} to {most}"),
            _ => "integer".to_owned(),
        },
        ("array", ..) if field["items"]["properties"].is_object() => "list of conditions".to_owned(),
        ("array", ..) => format!("list of {}", type_of(&field["items"]).trim_start_matches("one ")),
        ("object", ..) if field["additionalProperties"].is_object() => {
            format!("map of strings, at most {}", number("maxProperties").unwrap_or_default())
        }
        (plain, ..) => plain.to_owned(),
    }
}

/// A row for each rule in CEL, with the field that the API server names in its answer.
fn rules(schema: &Value, path: &str, rows: &mut Vec<[String; 2]>) {
    for rule in schema["x-kubernetes-validations"].as_array().into_iter().flatten() {
        let field = format!("{path}{}", text(rule, "/fieldPath"));
        let field = field.trim_start_matches('.');
        rows.push([format!("`{}`", if field.is_empty() { "metadata.name" } else { field }), text(rule, "/message").to_owned()]);
    }
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        rules(field, &format!("{path}.{name}"), rows);
    }
}

fn columns(version: &Value) -> String {
    let rows = version["additionalPrinterColumns"].as_array().into_iter().flatten().map(|column| {
        let wide = if column["priority"].as_i64().unwrap_or_default() > 0 { "`-o wide`" } else { "always" };
        let path = text(column, "/jsonPath").trim_start_matches('.').to_owned();
        [text(column, "/name").to_owned(), wide.to_owned(), format!("`{path}`")]
    });
    table(["column", "shown", "from"], rows)
}
