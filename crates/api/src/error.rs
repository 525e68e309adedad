//! What a caller is told when a request fails, and what only the log is told.
//!
//! A closed set of [`Code`]s decides status and text; the cause never leaves the process. Rendered once, by `edge::envelope`, which knows the
//! request's language and id: must not render itself.

mod code;
mod database;
mod problem;

use std::time::Duration;

use axum::response::{IntoResponse, Response};

pub use code::{Code, Language};
pub use problem::{Problem, ProblemError, ProblemField};

/// The fields that an error names at most: an answer must not be much larger than its request.
pub const MOST_FIELDS: usize = 50;

/// The characters of a field's name that an error repeats at most.
const LONGEST_NAME: usize = 200;

/// The result of work for a request.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A request that failed.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{}", code.label())]
pub struct Error {
    /// What the caller is told.
    pub code: Code,
    /// Which fields of the request are wrong, when that is why.
    pub fields: Vec<Field>,
    /// When asking again may help.
    pub retry_after: Option<Duration>,
    /// The route was stale: a request that may be repeated is asked once more on the fresh one.
    pub stale: bool,
    /// Why, for the log alone.
    #[source]
    pub cause: Option<Cause>,
}

/// A cause that may be shared between a response and the log.
pub type Cause = std::sync::Arc<dyn std::error::Error + Send + Sync>;

/// One field that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub struct Field {
    /// Where in the request: a JSON path such as `guardians.0.relation`, or a parameter's name.
    pub field: String,
    /// What kind of wrong, one word for programs: `required`, `format`, `too_long`.
    pub code: &'static str,
    /// What is wrong, for people, in the request's language.
    #[schema(value_type = String)]
    pub message: Text,
}

/// A text in both languages; which one is sent is decided when it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    /// Portuguese, the schools' language.
    pub pt: String,
    /// English.
    pub en: String,
}

impl Field {
    /// The field's name, as far as an answer repeats it: a caller may have made it up.
    #[must_use]
    pub fn name(&self) -> &str {
        shortened(&self.field)
    }
}

/// The first characters of a field's name.
#[must_use]
pub fn shortened(name: &str) -> &str {
    name.char_indices().nth(LONGEST_NAME).map_or(name, |(end, _)| &name[..end])
}

impl Text {
    /// Both texts.
    #[must_use]
    pub fn new(pt: impl Into<String>, en: impl Into<String>) -> Self {
        Self { pt: pt.into(), en: en.into() }
    }

    /// The one in this language.
    #[must_use]
    pub fn of(&self, language: Language) -> &str {
        match language {
            Language::Portuguese => &self.pt,
            Language::English => &self.en,
        }
    }
}

/// Portuguese where no language was asked for; `edge::envelope` asks.
impl serde::Serialize for Text {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.pt)
    }
}

impl Error {
    /// A failure that its code says all about.
    #[must_use]
    pub fn new(code: Code) -> Self {
        Self { code, fields: Vec::new(), retry_after: None, stale: false, cause: None }
    }

    /// With what the log is told.
    #[must_use]
    pub fn because(mut self, cause: impl std::error::Error + Send + Sync + 'static) -> Self {
        self.cause = Some(std::sync::Arc::new(cause));
        self
    }

    /// With when to ask again.
    #[must_use]
    pub fn after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// Fields that are wrong; the first [`MOST_FIELDS`] are named.
    #[must_use]
    pub fn invalid(mut fields: Vec<Field>) -> Self {
        fields.truncate(MOST_FIELDS);
        Self { fields, ..Self::new(Code::Validation) }
    }

    /// One field that conflicts with existing data.
    #[must_use]
    pub fn conflict(field: impl Into<String>, code: &'static str, message: Text) -> Self {
        Self { fields: vec![Field { field: field.into(), code, message }], ..Self::new(Code::Conflict) }
    }

    /// One field that is wrong.
    #[must_use]
    pub fn field(field: impl Into<String>, code: &'static str, message: Text) -> Self {
        Self::invalid(vec![Field { field: field.into(), code, message }])
    }
}

impl From<Code> for Error {
    fn from(code: Code) -> Self {
        Self::new(code)
    }
}

/// The status and the error itself, for the layer that renders it.
impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let mut response = self.code.status().into_response();
        response.extensions_mut().insert(self);
        response
    }
}
