//! How an error looks in an answer's body, for the document and for the layer that renders it.

use serde::Serialize;
use utoipa::ToSchema;

use super::Field;

/// The body of every answer that is an error.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Error)]
pub struct Envelope {
    /// Always false.
    #[schema(examples(false))]
    pub success: bool,
    /// What went wrong.
    pub error: Problem,
}

/// What went wrong with a request.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Problem {
    /// For programs; what one means stays.
    #[schema(examples("UNAUTHENTICATED"))]
    pub code: String,
    /// For people, in the request's language.
    #[schema(examples("Autenticação necessária"))]
    pub message: String,
    /// Which fields are wrong, when that is why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<Field>,
    /// The request's id, as in the log.
    pub request_id: String,
}
