//! The envelope of an error, as the document describes it and clients read it.
//!
//! Must not be rendered here: `edge::envelope` knows the request's language and id.

use serde::Serialize;
use utoipa::ToSchema;

/// Answer to a request that failed.
#[derive(Debug, Serialize, ToSchema)]
pub struct Problem {
    /// Always false for a failed request.
    #[schema(examples(false))]
    pub success: bool,
    /// Details of the failure.
    pub error: ProblemError,
}

/// Details of a failure.
#[derive(Debug, Serialize, ToSchema)]
pub struct ProblemError {
    /// Code of the error, for programs. New codes may be added.
    #[schema(value_type = String, examples("INVALID_TENANT"))]
    pub code: &'static str,
    /// Message for people, in Portuguese or, depending on `Accept-Language`, in English.
    #[schema(value_type = String, examples("Tenant inválido ou não encontrado"))]
    pub message: &'static str,
    /// Fields of the request that are invalid, at most 50; absent if no field is the cause.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub fields: Vec<ProblemField>,
    /// Id of the request. Quote it when asking for support.
    pub request_id: String,
}

/// A field of the request that is invalid.
#[derive(Debug, Serialize, ToSchema)]
pub struct ProblemField {
    /// Location of the field: a path within the body such as `guardians.0.relation`, or the name of a parameter. Only its first 200 characters.
    pub field: String,
    /// Code of the violation, for programs, such as `required` or `too_long`.
    #[schema(value_type = String, examples("required"))]
    pub code: &'static str,
    /// Message for people, in the language of the answer.
    pub message: String,
}
