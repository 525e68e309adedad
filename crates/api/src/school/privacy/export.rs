//! Exports all data about one child as one document (GDPR, articles 15 and 20), as of one point in time.
//!
//! The document is held in memory until it is sent, so few are made at a time, and its bytes and accesses are limited: [`tenancy::limits::ExportLimits`]
//! holds both. For the school it includes removed rows, which are kept until the child is erased; for a guardian it holds what the guardian may see, without
//! the contact data and accounts of other guardians. Must not reach further than the user's other permissions: it names the parts that it leaves out, because
//! a document that looks complete and is not would be a false answer.

mod document;
mod reader;

use axum::body::HttpBody as _;
use axum::http::header::{CONTENT_DISPOSITION, HeaderValue};
use axum::response::{IntoResponse as _, Response};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub use self::document::{ChildExport, ExportedAccess, ExportedEnrolment, ExportedGuardian, ExportedRecord};
use self::reader::ExportReader;
use crate::access::Access;
use crate::access::permission::ChildrenExport;
use crate::answer::Data;
use crate::app::App;
use crate::document::ReadsWhole;
use crate::error::{Code, Error, Result};
use crate::resource::filter::Id;

/// The route.
#[must_use]
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(export_child))
}

/// Export all data about a child
///
/// Returns one document as an attachment, with all data as of one point in time. For the school it includes removed records, and the child may be removed
/// itself; for a guardian it contains what the guardian may see. A part is present if the permission to read it (`guardians:read`, `children:read` for
/// enrolments, `activities:read`, `health:read`, `incidents:read`) has at least the scope of `children:export`; `withheld` names the other parts. If the
/// records exceed 64 MiB, the answer is `CONFLICT` with the field code `too_large`: read them from their lists page by page, with `child_id`. Requires the
/// permission `children:export`.
#[utoipa::path(
    get, path = "/children/{id}/export", tag = "privacy", operation_id = "exportChild",
    params(("id" = Uuid, Path, description = "Id of the child (UUID).")),
    responses(
        (status = 200, description = "The exported data.", body = Data<ChildExport>,
         headers(("Content-Disposition" = String, description = "Name of the file, which does not contain the name of the child."))),
        ReadsWhole
    )
)]
async fn export_child(access: Access<ChildrenExport>, Id(id): Id) -> Result<Response> {
    access.begin_export()?;
    let grants = Box::pin(access.grants()).await?;
    let mut conn = access.begin_read().await?;
    let export = ExportReader::new(&mut conn, id, access.own(), &grants).document().await?;
    conn.end().await;
    let mut response = Data::new(export).into_response();
    access.export_made(response.body().size_hint().exact().and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or(usize::MAX));
    let name = HeaderValue::from_str(&format!("attachment; filename=\"child-{id}.json\""))
        .map_err(|error| Error::new(Code::Internal).because(error))?;
    response.headers_mut().insert(CONTENT_DISPOSITION, name);
    Ok(response)
}
