//! Bodies of requests: JSON that holds exactly what the API's document says, or an error that names every field that does not.
//!
//! The schema in the OpenAPI document is the validator, so that what is documented and what is accepted cannot differ. Must not know any resource.

mod schema;

pub(super) use schema::wrong_parameters;

use std::marker::PhantomData;

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, StatusCode, header};
use serde::de::DeserializeOwned;
use serde_json::Value;
use utoipa::ToSchema;

use super::error::{Code, Error, Field, MOST_FIELDS, Result, Text};

/// The bytes of a request's body, once Content-Type says JSON. Its size is bounded by the router.
pub struct Json(pub Bytes);

/// A body that fits `T`'s schema.
pub struct Body<T> {
    /// What was sent. Absent and null differ: a PATCH leaves an absent field alone and empties a null one.
    pub value: Value,
    /// SHA-256 of the bytes that were sent: what an idempotency key is held against.
    pub digest: [u8; 32],
    schema: PhantomData<fn() -> T>,
}

impl<T: ToSchema + 'static> Body<T> {
    /// Reads and validates.
    ///
    /// # Errors
    /// [`Code::Malformed`] for what is not JSON, [`Code::Validation`] with every field that is wrong, up to a bound.
    pub fn read(bytes: &[u8]) -> Result<Self> {
        let mut value: Value = serde_json::from_slice(bytes).map_err(|error| Error::new(Code::Malformed).because(error))?;
        whole_numbers(&mut value);
        let mut wrong = schema::wrong_fields::<T>(&value)?;
        zero_bytes(&value, &mut String::new(), &mut wrong);
        if !wrong.is_empty() {
            return Err(Error::invalid(wrong));
        }
        let mut digest = [0; 32];
        digest.copy_from_slice(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes).as_ref());
        Ok(Self { value, digest, schema: PhantomData })
    }
}

impl<T: DeserializeOwned> Body<T> {
    /// The typed form.
    ///
    /// # Errors
    /// [`Code::Validation`] for the field that the schema let pass and the type does not.
    pub fn parse(self) -> Result<T> {
        serde_path_to_error::deserialize(self.value).map_err(|error| {
            let path = error.path().to_string();
            Error::field(path, "type", Text::new("valor inválido", "is not valid"))
        })
    }
}

impl<T: ToSchema + 'static, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Error;

    async fn from_request(request: Request, state: &S) -> Result<Self> {
        Self::read(&Json::from_request(request, state).await?.0)
    }
}

impl<S: Send + Sync> FromRequest<S> for Json {
    type Rejection = Error;

    async fn from_request(request: Request, state: &S) -> Result<Self> {
        if !is_json(request.headers()) {
            return Err(Code::UnsupportedMediaType.into());
        }
        Bytes::from_request(request, state).await.map(Self).map_err(|error: BytesRejection| match error.status() {
            StatusCode::PAYLOAD_TOO_LARGE => Error::new(Code::TooLarge).because(error),
            _ => Error::new(Code::Malformed).because(error),
        })
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let media = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media = media.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    media == "application/json" || (media.starts_with("application/") && media.ends_with("+json"))
}

/// Writes `150.0` and `2e1` as whole numbers, which they are for JSON Schema, and which many languages write so. Types and the database read only `150`.
fn whole_numbers(value: &mut Value) {
    match value {
        Value::Number(number) => {
            if let Some(whole) = number.as_f64().filter(|_| number.is_f64()).and_then(whole) {
                *number = whole.into();
            }
        }
        Value::Array(items) => items.iter_mut().for_each(whole_numbers),
        Value::Object(fields) => fields.values_mut().for_each(whole_numbers),
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}

/// The integer that a float is, if it is one and a float can tell it from its neighbours.
#[expect(clippy::cast_possible_truncation, reason = "it has no fraction, and an integer of that size exists")]
fn whole(number: f64) -> Option<i64> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    (number.fract() == 0.0 && number.abs() < EXACT).then_some(number as i64)
}

/// PostgreSQL's text holds every character but U+0000.
fn zero_bytes(value: &Value, path: &mut String, wrong: &mut Vec<Field>) {
    if wrong.len() >= MOST_FIELDS {
        return;
    }
    let mut inside = |key: &str, value: &Value| {
        let length = path.len();
        if length > 0 {
            path.push('.');
        }
        path.push_str(key);
        if key.contains('\0') {
            wrong.push(zero_byte(&path.replace('\0', "")));
        }
        zero_bytes(value, path, wrong);
        path.truncate(length);
    };
    match value {
        Value::String(text) if text.contains('\0') => wrong.push(zero_byte(path)),
        Value::Array(items) => items.iter().enumerate().for_each(|(i, item)| inside(&i.to_string(), item)),
        Value::Object(fields) => fields.iter().for_each(|(key, value)| inside(key, value)),
        _ => {}
    }
}

fn zero_byte(path: &str) -> Field {
    Field {
        field: path.to_owned(),
        code: "format",
        message: Text::new("não pode conter o carácter U+0000", "must not contain the character U+0000"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(serde::Deserialize, ToSchema, Debug, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Pupil {
        #[schema(min_length = 1, max_length = 5, pattern = r"\S")]
        name: String,
        #[schema(minimum = 0, maximum = 3)]
        level: Option<i16>,
        born: Option<chrono::NaiveDate>,
        kind: Option<Kind>,
        #[serde(default)]
        friends: Vec<uuid::Uuid>,
    }

    #[derive(serde::Deserialize, ToSchema, Debug, PartialEq)]
    #[serde(rename_all = "snake_case")]
    enum Kind {
        Old,
        New,
    }

    fn wrong(json: &str) -> Vec<(String, &'static str)> {
        let error = Body::<Pupil>::read(json.as_bytes()).err().unwrap();
        assert_eq!(error.code, Code::Validation, "{json}");
        error.fields.into_iter().map(|field| (field.field, field.code)).collect()
    }

    #[test]
    fn what_fits_the_schema_is_read() {
        let json = r#"{"name": "Inês", "level": null, "born": "2022-02-28", "kind": "new", "friends": []}"#;
        let pupil = Body::<Pupil>::read(json.as_bytes()).unwrap().parse().unwrap();
        assert_eq!((pupil.name.as_str(), pupil.level, pupil.kind), ("Inês", None, Some(Kind::New)));
    }

    #[test]
    fn a_whole_number_is_read_however_it_is_written() {
        for (written, level) in [("3.0", 3), ("2e0", 2), ("20e-1", 2), ("0.0", 0), ("-0.0", 0), ("3", 3)] {
            let pupil = Body::<Pupil>::read(format!(r#"{{"name": "Inês", "level": {written}}}"#).as_bytes()).unwrap();
            assert_eq!(pupil.value["level"].to_string(), level.to_string(), "{written}");
            assert_eq!(pupil.parse().unwrap().level, Some(level), "{written}");
        }
        for (written, code) in [("1.5", "type"), ("2e1", "maximum"), ("4.0", "maximum"), ("-1.0", "minimum"), ("1e300", "maximum")] {
            assert_eq!(wrong(&format!(r#"{{"name": "Inês", "level": {written}}}"#)), [("level".to_owned(), code)], "{written}");
        }
    }

    #[test]
    fn every_wrong_field_is_named_at_once() {
        let mut fields = wrong(r#"{"level": 9, "born": "2022-02-30", "kind": "x", "friends": ["y"], "nickname": "Z"}"#);
        fields.sort();
        let expected = [
            ("born", "format"),
            ("friends.0", "format"),
            ("kind", "enum"),
            ("level", "maximum"),
            ("name", "required"),
            ("nickname", "unknown"),
        ];
        assert_eq!(fields, expected.map(|(field, code)| (field.to_owned(), code)));
        assert_eq!(wrong(r#"{"name": ""}"#)[0].0, "name");
        assert_eq!(wrong(r#"{"name": "abcdef"}"#), [("name".to_owned(), "too_long")]);
        assert_eq!(wrong("[]"), [(String::new(), "type")]);
    }

    #[test]
    fn a_zero_byte_is_refused_wherever_it_is() {
        assert_eq!(wrong(r#"{"name": "a\u0000b"}"#), [("name".to_owned(), "format")]);
    }

    #[test]
    fn what_is_not_json_or_is_nested_without_end_cannot_be_read() {
        let deep = "[".repeat(10_000);
        for text in ["", "{", "{\"name\": \"a\"} x", deep.as_str(), "\u{feff}{}"] {
            assert_eq!(Body::<Pupil>::read(text.as_bytes()).err().unwrap().code, Code::Malformed);
        }
    }
}
