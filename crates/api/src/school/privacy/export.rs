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

/// Everything that is kept about one child.
#[derive(Debug, Serialize, ToSchema)]
pub struct ChildExport {
    /// The moment that all of it is of.
    pub exported_at: DateTime<Utc>,
    /// The child.
    pub child: Kept<Child>,
    /// Its guardians, and what they are to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub guardians: Option<Vec<ExportedGuardian>>,
    /// Its stays in classes.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub enrolments: Option<Vec<ExportedEnrolment>>,
    /// Its days.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub activities: Option<Vec<Kept<Activity>>>,
    /// Its allergies.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub allergies: Option<Vec<Kept<Allergy>>>,
    /// Its medicines.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub medications: Option<Vec<Kept<Medication>>>,
    /// The doses it was given, refused or missed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub medication_administrations: Option<Vec<Kept<MedicationAdministration>>>,
    /// Its vaccinations.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub vaccinations: Option<Vec<Kept<Vaccination>>>,
    /// What happened to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub incidents: Option<Vec<Kept<Incident>>>,
    /// Who asked for the child's own record, for what is below it, or for one of the records in this document (of each kind, the 10,000 newest), newest
    /// first; at most 10,000. Lists and creations name no record and are not among them: who created and last changed a record stands in it.
    pub accesses: Vec<ExportedAccess>,
    /// The parts that are absent because whoever asks may not read them; empty when the document is whole.
    pub withheld: Vec<&'static str>,
}

/// A record, and whether it was removed.
#[derive(Debug, Serialize, ToSchema)]
pub struct Kept<T> {
    /// What its path ends with.
    #[serde(skip)]
    pub id: Uuid,
    /// The record.
    #[serde(flatten)]
    pub record: T,
    /// When it was removed; null while it is in use.
    pub deleted_at: Option<DateTime<Utc>>,
}

impl<'r, T: FromRow<'r, PgRow>> FromRow<'r, PgRow> for Kept<T> {
    fn from_row(row: &'r PgRow) -> sqlx::Result<Self> {
        let (id, deleted_at) = (row.try_get("id")?, row.try_get("deleted_at")?);
        Ok(Self { id, record: T::from_row(row)?, deleted_at })
    }
}

/// A guardian, and what it is to the child. Contacts are null for a guardian who asks about another.
#[derive(Debug, Serialize, ToSchema, FromRow)]
pub struct ExportedGuardian {
    /// Its id.
    pub id: Uuid,
    /// Its name.
    pub full_name: String,
    /// E-mail address.
    pub email: Option<String>,
    /// Telephone.
    pub phone_number: Option<String>,
    /// Tax number.
    pub tax_number: Option<String>,
    /// Where it lives.
    pub address: Option<String>,
    /// Its language.
    pub preferred_locale: Option<String>,
    /// Its account.
    pub user_id: Option<Uuid>,
    /// What it is to the child.
    pub relation: String,
    /// It has custody.
    pub has_custody: bool,
    /// It may collect the child.
    pub may_pick_up: bool,
    /// Until this day.
    pub pick_up_until: Option<NaiveDate>,
    /// It is called in an emergency.
    pub is_emergency_contact: bool,
    /// In this order.
    pub contact_order: i16,
    /// Since when the link is there.
    pub created_at: DateTime<Utc>,
    /// When the guardian was removed.
    pub deleted_at: Option<DateTime<Utc>>,
}

/// A stay in a class.
#[derive(Debug, Serialize, ToSchema, FromRow)]
pub struct ExportedEnrolment {
    /// Its id.
    pub id: Uuid,
    /// The class.
    pub class_id: Uuid,
    /// The class, by name.
    pub class_name: String,
    /// The year in which its school year begins.
    pub school_year: i16,
    /// First day.
    pub starts_on: NaiveDate,
    /// Last day; null: no end known.
    pub ends_on: Option<NaiveDate>,
    /// When it was removed.
    pub deleted_at: Option<DateTime<Utc>>,
}

/// An access.
#[derive(Debug, Serialize, ToSchema, FromRow)]
pub struct ExportedAccess {
    /// By which user; null for a guardian when it was somebody else.
    pub user_id: Option<Uuid>,
    /// To do what.
    pub action: String,
    /// To what.
    pub resource: String,
    /// When.
    pub occurred_at: DateTime<Utc>,
    /// It was allowed and done.
    pub success: bool,
}

/// The route.
#[must_use]
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(export_child))
}

/// Everything about a child
///
/// Needs the permission `children:export`. One document of one moment, as an attachment. The school's holds removed records too, and the child may
/// be removed itself; a guardian's holds what the guardian may see. A part is there if the permission to read it (`guardians:read`, `children:read` for
/// enrolments, `activities:read`, `health:read`, `incidents:read`) reaches as far as the one to export; `withheld` names the others. Records of more than
/// 64 MiB are too many for one document: `CONFLICT` with `too_large`; read them page by page from their lists, with `child_id`.
#[utoipa::path(
    get, path = "/children/{id}/export", tag = "privacy", operation_id = "export_child",
    params(("id" = Uuid, Path, description = "The child.")),
    responses(
        (status = 200, description = "Everything about the child.", body = Data<ChildExport>,
         headers(("Content-Disposition" = String, description = "The file's name; it names nobody."))),
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
