//! Validating JSON by the schema of a type, as the OpenAPI document holds it.
//!
//! Must not know any resource.

use std::any::TypeId;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, LazyLock, PoisonError, RwLock};

use jsonschema::error::{ValidationError, ValidationErrorKind as Kind};
use jsonschema::{Draft, PatternOptions, Validator};
use serde_json::{Map, Value, json};
use utoipa::{IntoParams, ToSchema};

use crate::error::{Code, Error, Field, MOST_FIELDS, Result, Text, shortened};

/// One validator for each type, made when it is first needed.
static VALIDATORS: LazyLock<RwLock<HashMap<TypeId, Arc<Validator>>>> = LazyLock::new(RwLock::default);

/// The fields of `value` that `T`'s schema does not allow, each for one reason; the first [`MOST_FIELDS`] of them.
pub(super) fn wrong_fields<T: ToSchema + 'static>(value: &Value) -> Result<Vec<Field>> {
    let (validator, mut reported) = (validator::<T>()?, HashSet::new());
    let wrong = validator.iter_errors(value).flat_map(|error| fields(&error));
    Ok(wrong.filter(|wrong| reported.insert(wrong.field.clone())).take(MOST_FIELDS).collect())
}

/// The parameters of a query string that do not keep to what the document says of their text. Their types are `serde`'s to read.
pub(crate) fn wrong_parameters<F: IntoParams + 'static>(query: &str) -> Result<Vec<Field>> {
    let pairs = form_urlencoded::parse(query.as_bytes());
    let sent: Map<String, Value> = pairs.map(|(name, value)| (name.into_owned(), value.into_owned().into())).collect();
    if sent.is_empty() {
        return Ok(Vec::new());
    }
    let validator = kept::<F>(|| parameters::<F>())?;
    Ok(validator.iter_errors(&sent.into()).flat_map(|error| fields(&error)).take(MOST_FIELDS).collect())
}

fn parameters<F: IntoParams>() -> serde_json::Result<Value> {
    let mut texts = Map::new();
    for parameter in F::into_params(|| None) {
        let schema = serde_json::to_value(&parameter.schema)?;
        let kind = &schema["type"];
        if kind == "string" || kind.as_array().is_some_and(|kinds| kinds.iter().any(|kind| kind == "string")) {
            texts.insert(parameter.name.clone(), schema);
        }
    }
    Ok(json!({ "properties": texts }))
}

fn validator<T: ToSchema + 'static>() -> Result<Arc<Validator>> {
    kept::<T>(|| {
        let mut parts = Vec::new();
        T::schemas(&mut parts);
        let components: serde_json::Result<Map<String, Value>> =
            parts.iter().map(|(name, schema)| Ok((name.clone(), serde_json::to_value(schema)?))).collect();
        Ok(json!({ "allOf": [serde_json::to_value(T::schema())?], "components": { "schemas": components? } }))
    })
}

/// The validator of `T`, made of `document` when it is first needed.
fn kept<T: 'static>(document: impl FnOnce() -> serde_json::Result<Value>) -> Result<Arc<Validator>> {
    let made = VALIDATORS.read().unwrap_or_else(PoisonError::into_inner).get(&TypeId::of::<T>()).cloned();
    if let Some(made) = made {
        return Ok(made);
    }
    let document = document().map_err(|error| Error::new(Code::Internal).because(error))?;
    let options = jsonschema::options().with_draft(Draft::Draft202012).should_validate_formats(true).should_ignore_unknown_formats(true);
    let validator = options
        .with_pattern_options(PatternOptions::regex())
        .build(&document)
        .map_err(|error| Error::new(Code::Internal).because(error))?;
    let validator = Arc::new(validator);
    VALIDATORS.write().unwrap_or_else(PoisonError::into_inner).insert(TypeId::of::<T>(), Arc::clone(&validator));
    Ok(validator)
}

/// The messages for one violation; several for unknown fields.
fn fields(error: &ValidationError<'_>) -> Vec<Field> {
    let path = error.instance_path().as_str().trim_start_matches('/').replace('/', ".").replace("~1", "/").replace("~0", "~");
    let inside = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    let one = |field: String, code, pt: String, en: String| vec![Field { field, code, message: Text { pt, en } }];
    match error.kind() {
        Kind::Required { property } => {
            one(inside(property.as_str().unwrap_or_default()), "required", "campo obrigatório".into(), "is required".into())
        }
        Kind::AdditionalProperties { unexpected } => unexpected
            .iter()
            .take(MOST_FIELDS)
            .flat_map(|name| {
                one(inside(&shortened(name).replace('\0', "")), "unknown", "campo desconhecido".into(), "is not a known field".into())
            })
            .collect(),
        Kind::MinLength { limit: 1 } | Kind::Pattern { .. } if error.instance().as_str().is_some_and(|text| text.trim().is_empty()) => {
            one(path, "blank", "não pode estar vazio".into(), "must not be blank".into())
        }
        Kind::MinLength { limit } => {
            one(path, "too_short", format!("no mínimo {limit} caracteres"), format!("must have at least {limit} characters"))
        }
        Kind::MaxLength { limit } => {
            one(path, "too_long", format!("no máximo {limit} caracteres"), format!("must have at most {limit} characters"))
        }
        Kind::MinItems { limit } => {
            one(path, "too_few", format!("no mínimo {limit} elementos"), format!("must have at least {limit} items"))
        }
        Kind::MaxItems { limit } => {
            one(path, "too_many", format!("no máximo {limit} elementos"), format!("must have at most {limit} items"))
        }
        Kind::UniqueItems => one(path, "repeated", "há elementos repetidos".into(), "has repeated items".into()),
        Kind::Minimum { limit } => one(path, "minimum", format!("no mínimo {limit}"), format!("must be at least {limit}")),
        Kind::Maximum { limit } => one(path, "maximum", format!("no máximo {limit}"), format!("must be at most {limit}")),
        Kind::Enum { options } => {
            let known = listed(options);
            one(path, "enum", format!("um de: {known}"), format!("must be one of: {known}"))
        }
        Kind::Format { format } => one(path, "format", format!("formato inválido ({format})"), format!("is not a valid {format}")),
        Kind::Pattern { .. } => one(path, "format", "formato inválido".into(), "has the wrong format".into()),
        Kind::Type { .. } => one(path, "type", "tipo de valor errado".into(), "has the wrong type".into()),
        // An optional reference is `oneOf: [null, reference]`: what the reference says is what matters.
        Kind::OneOfNotValid { context } | Kind::AnyOf { context } => {
            let mut reasons = context.iter().flatten();
            reasons.find(|reason| !matches!(reason.kind(), Kind::Type { .. })).map_or_else(|| invalid(&path), fields)
        }
        _ => invalid(&path),
    }
}

fn invalid(path: &str) -> Vec<Field> {
    vec![Field { field: path.to_owned(), code: "invalid", message: Text::new("valor inválido", "is not valid") }]
}

fn listed(options: &Value) -> String {
    let values = options.as_array().into_iter().flatten().filter(|value| !value.is_null());
    values.map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned)).collect::<Vec<_>>().join(", ")
}
