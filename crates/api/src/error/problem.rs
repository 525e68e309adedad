//! The envelope of an error, as the document describes it and clients read it.
//!
//! Must not be rendered here: `edge::envelope` knows the request's language and id.

use serde::Serialize;
use utoipa::ToSchema;

/// A request that failed, as it is answered.
#[derive(Debug, Serialize, ToSchema)]
pub struct Problem {
    /// Always false.
    #[schema(examples(false))]
    pub success: bool,
    /// What went wrong.
    pub error: ProblemError,
}

/// What went wrong.
#[derive(Debug, Serialize, ToSchema)]
pub struct ProblemError {
    /// What programs decide by; new ones may be added.
    #[schema(value_type = String, examples("INVALID_TENANT"))]
    pub code: &'static str,
    /// The same for people, in Portuguese, or in English by `Accept-Language`.
    #[schema(value_type = String, examples("Tenant inválido ou não encontrado"))]
    pub message: &'static str,
    /// The fields that are wrong, when that is why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub fields: Vec<ProblemField>,
    /// The request's id, to be quoted when asking for help.
    pub request_id: String,
}

/// One field that is wrong.
#[derive(Debug, Serialize, ToSchema)]
pub struct ProblemField {
    /// Where in the request: a JSON path such as `guardians.0.relation`, or a parameter's name.
    pub field: String,
    /// What kind of wrong, one word for programs.
    #[schema(value_type = String, examples("required"))]
    pub code: &'static str,
    /// What is wrong, for people.
    pub message: String,
}
