//! A resource's part of the OpenAPI document: five operations, with texts composed from the names that the resource declares.
//!
//! Must not name a resource: what differs between resources is a constant of [`Resource`].

use utoipa::openapi::path::{Operation, OperationBuilder, ParameterIn, Paths, PathsBuilder};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::schema::ArrayBuilder;
use utoipa::openapi::{Content, HttpMethod, PathItem, Ref, RefOr, Required, ResponseBuilder, Responses, Schema};
use utoipa::{IntoParams as _, ToSchema as _};

use super::Resource;
use crate::access::Permission as _;
use crate::document::{
    ANY, BODY, IDEMPOTENCY_KEY, IF_MATCH, IF_NONE_MATCH, ITEM, JSON, QUERY, UNCHANGED, VERSIONED, body, enveloped, etag_header,
    header_parameter, id_parameter, location_header, paging_parameters, refused, schemas_of,
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

fn operation<R: Resource>(id: String, summary: String, description: &str, permission: &str, responses: Responses) -> OperationBuilder {
    OperationBuilder::new()
        .tag(R::PATH.trim_start_matches('/'))
        .operation_id(Some(id))
        .summary(Some(summary))
        .description(Some(format!("{description} Requires the permission `{permission}`.")))
        .responses(responses)
}

fn list<R: Resource>() -> Operation {
    let record = ArrayBuilder::new().items(Ref::from_schema_name(R::Record::name()));
    let page = ResponseBuilder::new().description("One page of the list.").content(JSON, Content::new(Some(enveloped(record, true))));
    let responses = with(refused(&[ANY, QUERY]), "200", page);
    let parameters = R::Filter::into_params(|| Some(ParameterIn::Query));
    let many = R::PATH.trim_start_matches('/').replace('-', " ");
    let (id, summary) = (format!("list{}", joined(&many)), format!("List {many}"));
    let description = format!("Returns the {many} of the school that match all filters, one page at a time.");
    operation::<R>(id, summary, &description, R::Read::CODE, responses)
        .parameters(Some(paging_parameters()))
        .parameters(Some(parameters))
        .build()
}

fn create<R: Resource>() -> Operation {
    let request = RequestBodyBuilder::new().content(JSON, body(&R::New::name())).required(Some(Required::True)).build();
    let created = answer::<R>("The record that was created.").header("Location", location_header());
    let responses = with(refused(&[ANY, ITEM, BODY]), "201", created);
    let description = format!("Creates {} and returns the record.", with_article(R::SINGULAR));
    of_one::<R>("create", &description, R::Create::CODE, responses)
        .parameter(header_parameter(idempotency_key::HEADER, false, IDEMPOTENCY_KEY))
        .request_body(Some(request))
        .build()
}

fn read<R: Resource>() -> Operation {
    let unchanged = ResponseBuilder::new().description(UNCHANGED).header("ETag", etag_header());
    let responses = with(with(refused(&[ANY, ITEM]), "200", answer::<R>("The record as it is now.")), "304", unchanged);
    let parameters = [id_parameter(R::SINGULAR), header_parameter("If-None-Match", false, IF_NONE_MATCH)];
    let description = format!("Returns one {}.", R::SINGULAR);
    of_one::<R>("get", &description, R::Read::CODE, responses).parameters(Some(parameters)).build()
}

fn change<R: Resource>() -> Operation {
    let request = RequestBodyBuilder::new().content(JSON, body(&R::Change::name())).required(Some(Required::True)).build();
    let responses = with(refused(&[ANY, ITEM, BODY, VERSIONED]), "200", answer::<R>("The record as it is now."));
    let description = "Changes the fields that the body contains and returns the record.";
    of_one::<R>("update", description, R::Update::CODE, responses)
        .parameters(Some([id_parameter(R::SINGULAR), header_parameter("If-Match", true, IF_MATCH)]))
        .request_body(Some(request))
        .build()
}

fn remove<R: Resource>() -> Operation {
    let gone = ResponseBuilder::new().description("The record was removed.");
    let responses = with(refused(&[ANY, ITEM, VERSIONED]), "204", gone);
    let description = "Removes the record: no other route returns it or accepts its id any more.";
    of_one::<R>("delete", description, R::Delete::CODE, responses)
        .parameters(Some([id_parameter(R::SINGULAR), header_parameter("If-Match", true, IF_MATCH)]))
        .build()
}

/// An operation on one record: `createChild`, "Create a child".
fn of_one<R: Resource>(verb: &str, description: &str, permission: &str, responses: Responses) -> OperationBuilder {
    let id = format!("{verb}{}", joined(R::SINGULAR));
    let summary = format!("{} {}", capitalised(verb), with_article(R::SINGULAR));
    operation::<R>(id, summary, description, permission, responses)
}

fn answer<R: Resource>(description: &str) -> ResponseBuilder {
    let data = enveloped(Ref::from_schema_name(R::Record::name()), false);
    ResponseBuilder::new().description(description).content(JSON, Content::new(Some(data))).header("ETag", etag_header())
}

fn with(mut responses: Responses, status: &str, response: ResponseBuilder) -> Responses {
    responses.responses.insert(status.to_owned(), response.build().into());
    responses
}

/// `staff member` as a part of an operation id: `StaffMember`.
fn joined(phrase: &str) -> String {
    phrase.split(' ').map(capitalised).collect()
}

fn capitalised(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().into_iter().flat_map(char::to_uppercase).chain(letters).collect()
}

/// `a child`, `an activity`.
fn with_article(noun: &str) -> String {
    let article = if noun.starts_with(['a', 'e', 'i', 'o']) { "an" } else { "a" };
    format!("{article} {noun}")
}
