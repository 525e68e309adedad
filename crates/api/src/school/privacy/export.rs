//! Everything about one child as one document (RGPD, articles 15 and 20), of one moment.
//!
//! Held in memory until it is sent, few at a time ([`AT_A_TIME`]), and bounded in bytes and accesses. For the school removed rows belong to it, which are
//! kept until the child is erased; for a guardian it holds what the guardian may see, and of other guardians no address, number or account. Must not reach
//! further than the user's other permissions do: it says which parts it leaves out, because a document that looks whole and is not would be a false answer.

mod reader;

use axum::http::header::{CONTENT_DISPOSITION, HeaderValue};
use axum::response::{IntoResponse as _, Response};
use chrono::{DateTime, NaiveDate, Utc};
use serde::Serialize;
use sqlx::postgres::PgRow;
use sqlx::{FromRow, Row as _};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use self::reader::Reader;
use crate::access::Access;
use crate::access::permission::ChildrenExport;
use crate::answer::Data;
use crate::app::App;
use crate::document::ReadsWhole;
use crate::error::{Code, Error, Result};
use crate::resource::filter::Id;
use crate::school::activities::Activity;
use crate::school::allergies::Allergy;
use crate::school::children::Child;
use crate::school::incidents::Incident;
use crate::school::medication_administrations::MedicationAdministration;
use crate::school::medications::Medication;
use crate::school::vaccinations::Vaccination;

/// Exports that this process makes and sends at a time: each may hold its records and their JSON, twice 64 MiB.
pub const AT_A_TIME: usize = 4;

/// All data that the school keeps about one child.
#[derive(Debug, Serialize, ToSchema)]
pub struct ChildExport {
    /// Time of the export, in RFC 3339 format. All parts show the data as of this time.
    pub exported_at: DateTime<Utc>,
    /// Record of the child.
    pub child: Kept<Child>,
    /// Guardians of the child and their relation to it; absent if it is listed in `withheld`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub guardians: Option<Vec<ExportedGuardian>>,
    /// Enrolments of the child in classes; absent if it is listed in `withheld`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub enrolments: Option<Vec<ExportedEnrolment>>,
    /// Activities of the child; absent if it is listed in `withheld`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub activities: Option<Vec<Kept<Activity>>>,
    /// Allergies of the child; absent if it is listed in `withheld`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub allergies: Option<Vec<Kept<Allergy>>>,
    /// Medications of the child; absent if it is listed in `withheld`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub medications: Option<Vec<Kept<Medication>>>,
    /// Doses of medication that were given, refused or missed; absent if it is listed in `withheld`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub medication_administrations: Option<Vec<Kept<MedicationAdministration>>>,
    /// Vaccinations of the child; absent if it is listed in `withheld`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub vaccinations: Option<Vec<Kept<Vaccination>>>,
    /// Incidents of the child; absent if it is listed in `withheld`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub incidents: Option<Vec<Kept<Incident>>>,
    /// Requests for the child's record, for paths below it, and for single records in this document (the newest 10,000 of each kind); newest first,
    /// at most 10,000. Lists and creations are not included, because their paths name no record: `created_by` and `updated_by` of each record tell
    /// who wrote it.
    pub accesses: Vec<ExportedAccess>,
    /// Names of the parts that are absent because the caller may not read them. An empty list means that the document is complete.
    pub withheld: Vec<&'static str>,
}

/// An exported record, which may have been removed.
#[derive(Debug, Serialize, ToSchema)]
pub struct Kept<T> {
    /// Id of the record, the last part of its path.
    #[serde(skip)]
    pub id: Uuid,
    /// The exported record.
    #[serde(flatten)]
    pub record: T,
    /// Time at which the record was removed, in RFC 3339 format; null while it is in use.
    pub deleted_at: Option<DateTime<Utc>>,
}

impl<'r, T: FromRow<'r, PgRow>> FromRow<'r, PgRow> for Kept<T> {
    fn from_row(row: &'r PgRow) -> sqlx::Result<Self> {
        let (id, deleted_at) = (row.try_get("id")?, row.try_get("deleted_at")?);
        Ok(Self { id, record: T::from_row(row)?, deleted_at })
    }
}

/// A guardian of the exported child. If a guardian exports, the contact data of other guardians are null.
#[derive(Debug, Serialize, ToSchema, FromRow)]
pub struct ExportedGuardian {
    /// Id of the guardian (UUID).
    pub id: Uuid,
    /// Full name of the guardian.
    pub full_name: String,
    /// E-mail address of the guardian.
    pub email: Option<String>,
    /// Telephone number of the guardian.
    pub phone_number: Option<String>,
    /// Tax identification number of the guardian.
    pub tax_number: Option<String>,
    /// Postal address of the guardian.
    pub address: Option<String>,
    /// Preferred language as a BCP 47 language tag.
    pub preferred_locale: Option<String>,
    /// Id of the guardian's account (UUID).
    pub user_id: Option<Uuid>,
    /// Relation of the guardian to the child.
    pub relation: String,
    /// Whether the guardian has custody of the child.
    pub has_custody: bool,
    /// Whether the guardian may collect the child from school.
    pub may_pick_up: bool,
    /// Last day on which the guardian may collect the child (`YYYY-MM-DD`); null for no end.
    pub pick_up_until: Option<NaiveDate>,
    /// Whether the school calls the guardian in an emergency.
    pub is_emergency_contact: bool,
    /// Order in which the school calls the guardians; the lowest number comes first.
    pub contact_order: i16,
    /// Time at which the guardian was linked to the child, in RFC 3339 format.
    pub created_at: DateTime<Utc>,
    /// Time at which the guardian was removed, in RFC 3339 format; null while it is in use.
    pub deleted_at: Option<DateTime<Utc>>,
}

/// An enrolment of the exported child.
#[derive(Debug, Serialize, ToSchema, FromRow)]
pub struct ExportedEnrolment {
    /// Id of the enrolment (UUID).
    pub id: Uuid,
    /// Id of the class (UUID).
    pub class_id: Uuid,
    /// Name of the class.
    pub class_name: String,
    /// Calendar year in which the school year begins: 2026 stands for 2026/2027.
    pub school_year: i16,
    /// First day of the enrolment (`YYYY-MM-DD`).
    pub starts_on: NaiveDate,
    /// Last day of the enrolment (`YYYY-MM-DD`); null while no end is known.
    pub ends_on: Option<NaiveDate>,
    /// Time at which the enrolment was removed, in RFC 3339 format; null while it is in use.
    pub deleted_at: Option<DateTime<Utc>>,
}

/// A request for data of the exported child.
#[derive(Debug, Serialize, ToSchema, FromRow)]
pub struct ExportedAccess {
    /// Id of the user who made the request (UUID). If a guardian exports, the ids of other users are null.
    pub user_id: Option<Uuid>,
    /// Permission that the request needed, such as `children:read`.
    pub action: String,
    /// Path of the request, without the query string.
    pub resource: String,
    /// Time of the request, in RFC 3339 format.
    pub occurred_at: DateTime<Utc>,
    /// Whether the request was allowed and succeeded.
    pub success: bool,
}

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
    access.acquire(&access.app().exports)?;
    let grants = Box::pin(access.grants()).await?;
    let mut conn = access.begin_read().await?;
    let export = Reader::new(&mut conn, id, access.own(), &grants).document().await?;
    conn.end().await;
    let mut response = Data::new(export).into_response();
    let name = HeaderValue::from_str(&format!("attachment; filename=\"child-{id}.json\""))
        .map_err(|error| Error::new(Code::Internal).because(error))?;
    response.headers_mut().insert(CONTENT_DISPOSITION, name);
    Ok(response)
}
