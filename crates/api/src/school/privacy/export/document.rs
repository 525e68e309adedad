//! The document that an export returns, part by part.
//!
//! Must not read anything: `reader` fills it.

use chrono::{DateTime, NaiveDate, Utc};
use serde::Serialize;
use sqlx::postgres::PgRow;
use sqlx::{FromRow, Row as _};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::resource::stored::{StoredDate, StoredMoment};
use crate::school::activities::Activity;
use crate::school::allergies::Allergy;
use crate::school::children::Child;
use crate::school::incidents::Incident;
use crate::school::medication_administrations::MedicationAdministration;
use crate::school::medications::Medication;
use crate::school::vaccinations::Vaccination;

/// All data that the school keeps about one child.
#[derive(Debug, Serialize, ToSchema)]
pub struct ChildExport {
    /// Time of the export, in RFC 3339 format. All parts show the data as of this time.
    pub exported_at: DateTime<Utc>,
    /// Record of the child.
    pub child: ExportedRecord<Child>,
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
    pub activities: Option<Vec<ExportedRecord<Activity>>>,
    /// Allergies of the child; absent if it is listed in `withheld`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub allergies: Option<Vec<ExportedRecord<Allergy>>>,
    /// Medications of the child; absent if it is listed in `withheld`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub medications: Option<Vec<ExportedRecord<Medication>>>,
    /// Doses of medication that were given, refused or missed; absent if it is listed in `withheld`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub medication_administrations: Option<Vec<ExportedRecord<MedicationAdministration>>>,
    /// Vaccinations of the child; absent if it is listed in `withheld`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub vaccinations: Option<Vec<ExportedRecord<Vaccination>>>,
    /// Incidents of the child; absent if it is listed in `withheld`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub incidents: Option<Vec<ExportedRecord<Incident>>>,
    /// Requests for the child's record, for paths below it, and for single records in this document (the newest 10,000 of each kind); newest first,
    /// at most 10,000. They include lists that were narrowed to the child and records about it that were created, both with `?child_id=` after the path;
    /// lists of several children are not included, because they name none.
    pub accesses: Vec<ExportedAccess>,
    /// Names of the parts that are absent, and of the fields that are null (`children.notes`), because the caller may not read them. An empty list means that
    /// the document is complete.
    pub withheld: Vec<String>,
}

/// An exported record, which may have been removed.
#[derive(Debug, Serialize, ToSchema)]
pub struct ExportedRecord<T> {
    /// Id of the record, the last part of its path.
    #[serde(skip)]
    pub id: Uuid,
    /// The exported record.
    #[serde(flatten)]
    pub record: T,
    /// Time at which the record was removed, in RFC 3339 format; null while it is in use.
    pub deleted_at: Option<DateTime<Utc>>,
}

impl<'r, T: FromRow<'r, PgRow>> FromRow<'r, PgRow> for ExportedRecord<T> {
    fn from_row(row: &'r PgRow) -> sqlx::Result<Self> {
        let deleted_at: StoredMoment = row.try_get("deleted_at")?;
        Ok(Self { id: row.try_get("id")?, record: T::from_row(row)?, deleted_at: deleted_at.into() })
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
    #[sqlx(try_from = "StoredDate")]
    pub pick_up_until: Option<NaiveDate>,
    /// Whether the school calls the guardian in an emergency.
    pub is_emergency_contact: bool,
    /// Order in which the school calls the guardians; the lowest number comes first.
    pub contact_order: i16,
    /// Time at which the guardian was linked to the child, in RFC 3339 format.
    #[sqlx(try_from = "StoredMoment")]
    pub created_at: DateTime<Utc>,
    /// Time at which the guardian was removed, in RFC 3339 format; null while it is in use.
    #[sqlx(try_from = "StoredMoment")]
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
    #[sqlx(try_from = "StoredDate")]
    pub starts_on: NaiveDate,
    /// Last day of the enrolment (`YYYY-MM-DD`); null while no end is known.
    #[sqlx(try_from = "StoredDate")]
    pub ends_on: Option<NaiveDate>,
    /// Time at which the enrolment was removed, in RFC 3339 format; null while it is in use.
    #[sqlx(try_from = "StoredMoment")]
    pub deleted_at: Option<DateTime<Utc>>,
}

/// A request for data of the exported child.
#[derive(Debug, Serialize, ToSchema, FromRow)]
pub struct ExportedAccess {
    /// Id of the user who made the request (UUID). If a guardian exports, the ids of other users are null.
    pub user_id: Option<Uuid>,
    /// Permission that the request needed, such as `children:read`.
    pub action: String,
    /// Path of the request. Of a query string or body it has only `?child_id=` with the id of the child, if the request names one child in them.
    pub resource: String,
    /// Time of the request, in RFC 3339 format.
    #[sqlx(try_from = "StoredMoment")]
    pub occurred_at: DateTime<Utc>,
    /// Whether the request was allowed and succeeded.
    pub success: bool,
}
