//! Everything about one child as one document (RGPD, articles 15 and 20), of one moment.
//!
//! Held in memory until it is sent, few at a time ([`AT_A_TIME`]), and bounded: at most [`MOST_BYTES`] of records, which is some forty years of a busy child, and the newest
//! [`MOST_ACCESSES`] accesses, among them those to each of the [`MOST_TRACED`] newest records of a kind. For the school removed rows belong to it, which are kept until the child is erased; for a guardian it holds what the
//! guardian may see, and of other guardians no address, number or account. Must not reach further than the user's other permissions do: it says which
//! parts it leaves out, because a document that looks whole and is not would be a false answer.

use axum::http::header::{CONTENT_DISPOSITION, HeaderValue};
use axum::response::{IntoResponse as _, Response};
use chrono::{DateTime, NaiveDate, Utc};
use futures::TryStreamExt as _;
use serde::Serialize;
use sqlx::postgres::{PgConnection, PgRow, Postgres};
use sqlx::{FromRow, QueryBuilder, Row as _};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::api::access::grants::Grants;
use crate::api::access::permission::ChildrenExport;
use crate::api::access::{Access, Permission, Scope};
use crate::api::answer::Data;
use crate::api::app::App;
use crate::api::document::ReadsWhole;
use crate::api::error::{Code, Error, Field, Result, Text};
use crate::api::resource::filter::Id;
use crate::api::resource::{Resource, select};
use crate::api::school::activities::{Activities, Activity};
use crate::api::school::allergies::{Allergies, Allergy};
use crate::api::school::children::{Child, Children};
use crate::api::school::enrolments::Enrolments;
use crate::api::school::guardians::Guardians;
use crate::api::school::incidents::{Incident, Incidents};
use crate::api::school::medication_administrations::{MedicationAdministration, MedicationAdministrations};
use crate::api::school::medications::{Medication, Medications};
use crate::api::school::vaccinations::{Vaccination, Vaccinations};

/// The most bytes of records, as JSON.
const MOST_BYTES: usize = 64 << 20;

/// Exports that this process makes and sends at a time: each may hold its records and their JSON, twice [`MOST_BYTES`].
pub const AT_A_TIME: usize = 4;

/// The most accesses, newest first.
const MOST_ACCESSES: i64 = 10_000;

/// The most records of one kind whose own paths are looked up among the accesses: ten a day for four years of school.
const MOST_TRACED: usize = 10_000;

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
    access.enter(&access.app().exports)?;
    let grants = Box::pin(access.app().recent.of(access.app(), access.tenant(), access.principal())).await?;
    let mut conn = access.snapshot().await?;
    let mut reader = Reader {
        conn: &mut conn,
        child: id,
        own: access.own(),
        grants: &grants,
        room: MOST_BYTES,
        traced: Vec::new(),
        withheld: Vec::new(),
    };
    let export = reader.document().await?;
    conn.end().await;
    let mut response = Data::new(export).into_response();
    let name = HeaderValue::from_str(&format!("attachment; filename=\"child-{id}.json\""))
        .map_err(|error| Error::new(Code::Internal).because(error))?;
    response.headers_mut().insert(CONTENT_DISPOSITION, name);
    Ok(response)
}

/// Reads the parts of one child's document, for the school or for one guardian.
struct Reader<'c> {
    conn: &'c mut PgConnection,
    child: Uuid,
    own: Option<Uuid>,
    grants: &'c Grants,
    /// Bytes that the document may still grow by.
    room: usize,
    /// Paths of records in the document.
    traced: Vec<String>,
    /// Parts that are left out.
    withheld: Vec<&'static str>,
}

impl Reader<'_> {
    async fn document(&mut self) -> Result<ChildExport> {
        let exported_at = sqlx::query_scalar("SELECT now()").fetch_one(&mut *self.conn).await?;
        let child = self.records::<Children>("id").await?.pop().ok_or(Code::NotFound)?;
        Ok(ChildExport {
            exported_at,
            child,
            guardians: if self.may_read::<Guardians>() { Some(self.guardians().await?) } else { None },
            enrolments: if self.may_read::<Enrolments>() { Some(self.enrolments().await?) } else { None },
            activities: self.part::<Activities>().await?,
            allergies: self.part::<Allergies>().await?,
            medications: self.part::<Medications>().await?,
            medication_administrations: self.part::<MedicationAdministrations>().await?,
            vaccinations: self.part::<Vaccinations>().await?,
            incidents: self.part::<Incidents>().await?,
            accesses: self.accesses().await?,
            withheld: std::mem::take(&mut self.withheld),
        })
    }

    /// Whether a part may be in the document: what the user may read less of than it may export would be a part of a part. Otherwise it is withheld.
    fn may_read<R: Resource>(&mut self) -> bool {
        let within = if self.own.is_some() { Scope::Own } else { Scope::School };
        let may = self.grants.scope(R::Read::CODE) >= Some(within);
        if !may {
            self.withheld.push(R::TABLE);
        }
        may
    }

    /// The records of one kind, unless they are withheld.
    async fn part<R: Resource>(&mut self) -> Result<Option<Vec<Kept<R::Record>>>> {
        if !self.may_read::<R>() {
            return Ok(None);
        }
        let records = self.records::<R>("child_id").await?;
        self.trace::<R>(records.iter().map(|kept| kept.id));
        Ok(Some(records))
    }

    /// Notes the paths of records, of which the newest come last.
    fn trace<R: Resource>(&mut self, ids: impl DoubleEndedIterator<Item = Uuid>) {
        self.traced.extend(ids.rev().take(MOST_TRACED).map(|id| format!("/api/v1{}/{id}", R::PATH)));
    }

    /// The rows of a table that are about the child, in the order of its list.
    async fn records<R: Resource>(&mut self, column: &'static str) -> Result<Vec<Kept<R::Record>>> {
        let mut query = match self.own {
            Some(_) => select::rows::<R>(self.own),
            None => select::all::<R>(),
        };
        query.push(format!(" AND t.{column} = ")).push_bind(self.child);
        query.push(format!(" ORDER BY {}, t.id", R::ORDER.column));
        self.fetch(query).await
    }

    async fn guardians(&mut self) -> Result<Vec<ExportedGuardian>> {
        let mut query = QueryBuilder::new(
            "SELECT g.id, g.full_name, h.email, h.phone_number, h.tax_number, h.address, h.preferred_locale, h.user_id,
                    cg.relation, cg.has_custody, cg.may_pick_up, cg.pick_up_until, cg.is_emergency_contact, cg.contact_order, cg.created_at, g.deleted_at
             FROM app.child_guardians cg JOIN app.guardians g ON g.id = cg.guardian_id
             LEFT JOIN app.guardians h ON h.id = g.id AND (h.user_id = ",
        );
        query.push_bind(self.own).push(" OR ").push_bind(self.own.is_none()).push(") WHERE cg.child_id = ").push_bind(self.child);
        if self.own.is_some() {
            query.push(" AND g.deleted_at IS NULL");
        }
        query.push(" ORDER BY cg.contact_order, g.id");
        self.fetch(query).await
    }

    async fn enrolments(&mut self) -> Result<Vec<ExportedEnrolment>> {
        let mut query = QueryBuilder::new(
            "SELECT e.id, e.class_id, k.name AS class_name, k.school_year, e.starts_on, e.ends_on, e.deleted_at
             FROM app.enrolments e JOIN app.classes k ON k.id = e.class_id WHERE e.child_id = ",
        );
        query.push_bind(self.child);
        if self.own.is_some() {
            query.push(" AND e.deleted_at IS NULL");
        }
        query.push(" ORDER BY e.starts_on, e.id");
        let stays: Vec<ExportedEnrolment> = self.fetch(query).await?;
        self.trace::<Enrolments>(stays.iter().map(|stay| stay.id));
        Ok(stays)
    }

    /// The audit's resources are paths; an id ends where its text does. Comes after the parts, which say what was exported.
    async fn accesses(&mut self) -> Result<Vec<ExportedAccess>> {
        // Of other accounts than its own a guardian learns when and what, not who: the co-parent's would be among them.
        let mut query = QueryBuilder::new("SELECT CASE WHEN a.user_id = coalesce(");
        query.push_bind(self.own).push(", a.user_id) THEN a.user_id END AS user_id, a.action, a.resource, a.occurred_at, a.success");
        query.push(" FROM app.access_audit a WHERE a.resource LIKE ").push_bind(format!("/api/v1/children/{}%", self.child));
        query.push(" OR a.resource = ANY(").push_bind(std::mem::take(&mut self.traced)).push(")");
        query.push(format!(" ORDER BY a.occurred_at DESC, a.id DESC LIMIT {MOST_ACCESSES}"));
        self.fetch(query).await
    }

    /// All rows, one after another, as long as there is room.
    async fn fetch<T: Serialize + Send + Unpin + for<'r> FromRow<'r, PgRow>>(
        &mut self,
        mut query: QueryBuilder<Postgres>,
    ) -> Result<Vec<T>> {
        let mut found = Vec::new();
        let mut rows = query.build_query_as().fetch(&mut *self.conn);
        while let Some(row) = rows.try_next().await? {
            let mut size = Size(0);
            serde_json::to_writer(&mut size, &row).map_err(|error| Error::new(Code::Internal).because(error))?;
            self.room = self.room.checked_sub(size.0).ok_or_else(too_large)?;
            found.push(row);
        }
        Ok(found)
    }
}

/// More is kept about a child than one document may hold.
#[derive(Debug, thiserror::Error)]
#[error("exporting a child: its records are larger than {MOST_BYTES} bytes")]
struct TooLarge;

fn too_large() -> Error {
    let message = Text::new(
        "os registos da criança não cabem num só documento; leia-os página a página nas suas listas, com child_id",
        "the child's records are too many for one document; read them page by page from their lists, with child_id",
    );
    let field = Field { field: "id".to_owned(), code: "too_large", message };
    Error { fields: vec![field], ..Error::new(Code::Conflict).because(TooLarge) }
}

/// Counts what is written.
struct Size(usize);

impl std::io::Write for Size {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
