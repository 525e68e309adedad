//! The OpenAPI document: what the descriptions of all routes have in common.
//!
//! Must not know any route: [`tags`] names the groups that routes belong to, and `router` puts the document together.

mod answers;
pub mod tags;
pub mod whole;

use std::collections::BTreeMap;

use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{ObjectBuilder, SchemaFormat, Type};
use utoipa::openapi::{Content, Header, KnownFormat, Ref, RefOr, Required, Response, Responses, ResponsesBuilder, Schema};
use utoipa::{IntoParams, IntoResponses, ToSchema};

use super::error::Code;
use super::idempotency_key;

/// Describes the header `Idempotency-Key`.
pub const IDEMPOTENCY_KEY: &str = "A key that the client chooses, for example a UUID. If a request with the same key is sent again within 24 hours, the work is \
    done once and the first answer is returned again. If the caller may no longer read the record, the answer is `NOT_FOUND`.";

/// Describes the header `If-Match`.
pub const IF_MATCH: &str = "The `ETag` of the version that the change is based on, or `*` for any version.";

/// Describes the header `If-None-Match` of a read.
pub const IF_NONE_MATCH: &str = "The `ETag` of the version that the client has. If it is still current, the answer is 304 without a body.";

/// Describes the answer 304.
pub const UNCHANGED: &str = "The version in `If-None-Match` is still current.";

/// Describes the header `ETag`.
pub const VERSION: &str = "Version of the record, for `If-Match` and `If-None-Match`.";

/// The media type of every body.
pub const JSON: &str = "application/json";

/// What the layers around every route may answer before it is asked: `whole` adds it to each operation.
pub const EDGE: &[Code] = &[
    Code::Malformed,
    Code::RequestTimeout,
    Code::TooLarge,
    Code::UriTooLong,
    Code::UnsupportedEncoding,
    Code::HeadersTooLarge,
    Code::Internal,
    Code::Timeout,
];

/// What any route of a school or the platform may answer instead of its success.
pub const ANY: &[Code] = &[
    Code::InvalidTenant,
    Code::Malformed,
    Code::Unauthenticated,
    Code::TenantMismatch,
    Code::TenantSuspended,
    Code::Forbidden,
    Code::PasswordChangeRequired,
    Code::TooManyRequests,
    Code::TenantUnavailable,
    Code::SchemaOutdated,
    Code::PoolExhausted,
    Code::DatabaseUnavailable,
    Code::RegistryUnavailable,
    Code::IssuerUnavailable,
    Code::Stopping,
];

/// And one that names a row.
pub const ITEM: &[Code] = &[Code::NotFound];

/// And one with a query string.
pub const QUERY: &[Code] = &[Code::Validation];

/// And one with a body.
pub const BODY: &[Code] = &[Code::TooLarge, Code::UnsupportedMediaType, Code::Validation, Code::IdempotencyKeyReused, Code::Conflict];

/// And one whose answer may be too large.
pub const WHOLE: &[Code] = &[Code::Conflict];

/// And one that changes a row.
pub const VERSIONED: &[Code] = &[Code::PreconditionFailed, Code::PreconditionRequired, Code::Conflict];

/// Refusals of a route that reads one thing or many without a query string; for `#[utoipa::path]`.
pub struct Reads;
/// Of one with a query string.
pub struct Queries;
/// Of one that names a row.
pub struct ReadsItem;
/// Of one that answers everything about a row, which may be too much.
pub struct ReadsWhole;
/// Of one with a query string that names a row.
pub struct QueriesItem;
/// Of one with a body.
pub struct Writes;
/// Of one with a body that names a row.
pub struct WritesItem;
/// Of one that changes a row by its version.
pub struct ChangesItem;
/// Of one that removes a row by its version.
pub struct RemovesItem;

macro_rules! refusals {
    ($($kind:ident: $($codes:ident),*;)+) => {$(
        impl IntoResponses for $kind {
            fn responses() -> BTreeMap<String, RefOr<Response>> {
                refused(&[ANY, $($codes),*]).responses
            }
        }
    )+};
}

refusals! {
    Reads: ;
    Queries: QUERY;
    ReadsItem: ITEM;
    ReadsWhole: ITEM, WHOLE;
    QueriesItem: QUERY, ITEM;
    Writes: BODY;
    WritesItem: BODY, ITEM;
    ChangesItem: BODY, ITEM, VERSIONED;
    RemovesItem: ITEM, VERSIONED;
}

/// The refusals with these codes, by status: each a reference to the answer of that status, with the codes that it may have here.
#[must_use]
pub fn refused(codes: &[&[Code]]) -> Responses {
    let mut by_status: BTreeMap<u16, Vec<Code>> = BTreeMap::new();
    for code in codes.iter().copied().flatten() {
        let known = by_status.entry(code.status().as_u16()).or_default();
        if !known.contains(code) {
            known.push(*code);
        }
    }
    let mut responses = ResponsesBuilder::new().build();
    for (status, codes) in by_status {
        responses.responses.insert(status.to_string(), RefOr::Ref(answers::refusal(&codes)));
    }
    responses
}

/// A body whose schema has this name.
#[must_use]
pub fn body(schema: &str) -> Content {
    Content::new(Some(Ref::from_schema_name(schema)))
}

/// `{"success": true, "data": …}` around a schema.
#[must_use]
pub fn enveloped(data: impl Into<RefOr<Schema>>, paged: bool) -> Schema {
    let truth = ObjectBuilder::new()
        .schema_type(Type::Boolean)
        .enum_values(Some([true]))
        .description(Some("Always true for a successful request."));
    let envelope = ObjectBuilder::new()
        .schema_type(Type::Object)
        .property("success", truth)
        .required("success")
        .property("data", data)
        .required("data");
    if !paged {
        return envelope.into();
    }
    let next = ObjectBuilder::new()
        .schema_type(Type::String)
        .description(Some("Cursor of the next page, for the parameter `after`; absent on the last page."));
    envelope.property("next", next).into()
}

/// The id in a path, of a record that is called `singular`.
#[must_use]
pub fn id_parameter(singular: &str) -> Parameter {
    let schema = ObjectBuilder::new().schema_type(Type::String).format(Some(SchemaFormat::KnownFormat(KnownFormat::Uuid)));
    ParameterBuilder::new()
        .name("id")
        .parameter_in(ParameterIn::Path)
        .required(Required::True)
        .description(Some(format!("Id of the {singular} (UUID).")))
        .schema(Some(schema))
        .build()
}

/// A header that may or must be sent.
#[must_use]
pub fn header_parameter(name: &str, required: bool, description: &str) -> Parameter {
    let required = if required { Required::True } else { Required::False };
    let schema = ObjectBuilder::new().schema_type(Type::String);
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Header)
        .required(required)
        .description(Some(description))
        .schema(Some(schema))
        .build()
}

/// A query parameter of a list: `limit` or `after`.
#[must_use]
pub fn paging_parameters() -> [Parameter; 2] {
    let limit = ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(1)).maximum(Some(200)).default(Some(50.into()));
    let parameter = |name, description, schema: Schema| {
        ParameterBuilder::new()
            .name(name)
            .parameter_in(ParameterIn::Query)
            .required(Required::False)
            .description(Some(description))
            .schema(Some(schema))
            .build()
    };
    [
        parameter("limit", "Maximum number of records on the page, from 1 to 200. Defaults to 50.", limit.into()),
        parameter(
            "after",
            "Cursor from the field `next` of the previous page. Absent for the first page.",
            ObjectBuilder::new().schema_type(Type::String).into(),
        ),
    ]
}

/// The query parameters of every list; for `#[utoipa::path]`.
pub struct Paging;

impl IntoParams for Paging {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        paging_parameters().into()
    }
}

macro_rules! headers {
    ($($(#[$doc:meta])* $kind:ident: $name:expr, $required:literal, $description:ident;)+) => {$(
        $(#[$doc])*
        pub struct $kind;

        impl IntoParams for $kind {
            fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
                vec![header_parameter($name, $required, $description)]
            }
        }
    )+};
}

headers! {
    /// The header of a change that must name its version; for `#[utoipa::path]`.
    IfMatchHeader: "If-Match", true, IF_MATCH;
    /// The header of a read that may be answered 304.
    IfNoneMatchHeader: "If-None-Match", false, IF_NONE_MATCH;
    /// The header of work that is done once.
    IdempotencyKeyHeader: idempotency_key::HEADER, false, IDEMPOTENCY_KEY;
}

/// The `ETag` header of an answer.
#[must_use]
pub fn etag_header() -> Header {
    text_header(VERSION)
}

/// The `Location` header of an answer.
#[must_use]
pub fn location_header() -> Header {
    text_header("Path of the record that was created.")
}

fn text_header(description: &str) -> Header {
    let text = ObjectBuilder::new().schema_type(Type::String);
    HeaderBuilder::new().schema(Some(text)).description(Some(description)).build()
}

/// A type's schema and those it refers to, under their names.
pub fn schemas_of<T: ToSchema>(into: &mut Vec<(String, RefOr<Schema>)>) {
    into.push((T::name().into_owned(), T::schema()));
    T::schemas(into);
}
