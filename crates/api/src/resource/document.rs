//! A resource's part of the OpenAPI document, made from what the resource says of itself.

use utoipa::openapi::path::{Operation, OperationBuilder, ParameterIn, Paths, PathsBuilder};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::schema::ArrayBuilder;
use utoipa::openapi::{Content, HttpMethod, PathItem, Ref, RefOr, Required, ResponseBuilder, Responses, Schema};
use utoipa::{IntoParams as _, ToSchema as _};

use super::Resource;
use crate::access::Permission as _;
use crate::document::{
    ANY, BODY, ITEM, JSON, QUERY, VERSIONED, body, enveloped, etag_header, header_parameter, id_parameter, location_header,
    paging_parameters, refused, schemas_of,
};
use crate::idempotency_key;

/// The schemas and the paths.
#[must_use]
pub fn of<R: Resource>() -> (Vec<(String, RefOr<Schema>)>, Paths) {
    let mut schemas = Vec::new();
    schemas_of::<R::Record>(&mut schemas);
    schemas_of::<R::New>(&mut schemas);
    schemas_of::<R::Change>(&mut schemas);
    let item_path = format!("{}/{{id}}", R::PATH);
    let mut collection = PathItem::new(HttpMethod::Get, list::<R>());
    collection.merge_operations(PathItem::new(HttpMethod::Post, create::<R>()));
    let mut item = PathItem::new(HttpMethod::Get, read::<R>());
    item.merge_operations(PathItem::new(HttpMethod::Patch, change::<R>()));
    item.merge_operations(PathItem::new(HttpMethod::Delete, remove::<R>()));
    (schemas, PathsBuilder::new().path(R::PATH, collection).path(item_path, item).build())
}

fn operation<R: Resource>(verb: &str, summary: &str, permission: &str, responses: Responses) -> OperationBuilder {
    OperationBuilder::new()
        .tag(R::TABLE)
        .operation_id(Some(format!("{verb}_{}", R::TABLE)))
        .summary(Some(summary.replace("{}", &R::SINGULAR.replace('_', " "))))
        .description(Some(format!("Needs the permission `{permission}`.")))
        .responses(responses)
}

fn list<R: Resource>() -> Operation {
    let record = ArrayBuilder::new().items(Ref::from_schema_name(R::Record::name()));
    let page = ResponseBuilder::new().description("A page.").content(JSON, Content::new(Some(enveloped(record, true))));
    let responses = with(refused(&[ANY, QUERY]), "200", page);
    let parameters = R::Filter::into_params(|| Some(ParameterIn::Query));
    operation::<R>("list", "Every {}, page by page", R::Read::CODE, responses)
        .parameters(Some(paging_parameters()))
        .parameters(Some(parameters))
        .build()
}

fn create<R: Resource>() -> Operation {
    let request = RequestBodyBuilder::new().content(JSON, body(&R::New::name())).required(Some(Required::True)).build();
    let created = answer::<R>("Created.").header("Location", location_header());
    operation::<R>("create", "A new {}", R::Create::CODE, with(refused(&[ANY, ITEM, BODY]), "201", created))
        .parameter(header_parameter(
            idempotency_key::HEADER,
            false,
            "Sent again, the request is answered as it was the first time; `NOT_FOUND` to who may only see their own, when the record is theirs no more.",
        ))
        .request_body(Some(request))
        .build()
}

fn read<R: Resource>() -> Operation {
    let unchanged = ResponseBuilder::new().description("Not changed since `If-None-Match`.").header("ETag", etag_header());
    let responses = with(with(refused(&[ANY, ITEM]), "200", answer::<R>("As it is now.")), "304", unchanged);
    let parameters = [id_parameter(), header_parameter("If-None-Match", false, "The version that the caller has.")];
    operation::<R>("read", "One {}", R::Read::CODE, responses).parameters(Some(parameters)).build()
}

fn change<R: Resource>() -> Operation {
    let request = RequestBodyBuilder::new().content(JSON, body(&R::Change::name())).required(Some(Required::True)).build();
    let responses = with(refused(&[ANY, ITEM, BODY, VERSIONED]), "200", answer::<R>("As it is now."));
    operation::<R>("change", "Changes the fields of a {} that the body names", R::Update::CODE, responses)
        .parameters(Some([id_parameter(), header_parameter("If-Match", true, "The `ETag` that was read, or `*`.")]))
        .request_body(Some(request))
        .build()
}

fn remove<R: Resource>() -> Operation {
    let gone = ResponseBuilder::new().description("Removed.");
    let responses = with(refused(&[ANY, ITEM, VERSIONED]), "204", gone);
    operation::<R>("remove", "Removes a {}", R::Delete::CODE, responses)
        .parameters(Some([id_parameter(), header_parameter("If-Match", true, "The `ETag` that was read, or `*`.")]))
        .build()
}

fn answer<R: Resource>(description: &str) -> ResponseBuilder {
    let data = enveloped(Ref::from_schema_name(R::Record::name()), false);
    ResponseBuilder::new().description(description).content(JSON, Content::new(Some(data))).header("ETag", etag_header())
}

fn with(mut responses: Responses, status: &str, response: ResponseBuilder) -> Responses {
    responses.responses.insert(status.to_owned(), response.build().into());
    responses
}
