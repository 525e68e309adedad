//! Reads the parts of one child's export one after another, all in one transaction.
//!
//! It reads at most [`MOST_BYTES`] of records, which is some forty years of a busy child, and the newest [`MOST_ACCESSES`] accesses, including those to each of
//! the [`MOST_TRACED`] newest records of a kind. Must not return an incomplete document: one that is too large is refused.

use futures::TryStreamExt as _;
use serde::Serialize;
use sqlx::postgres::{PgConnection, PgRow, Postgres};
use sqlx::{FromRow, QueryBuilder};
use tenancy::audit::about_child;
use uuid::Uuid;

use super::document::{ChildExport, ExportedAccess, ExportedEnrolment, ExportedGuardian, ExportedRecord};
use crate::access::Permission;
use crate::error::{Code, Error, Result, Text};
use crate::grants::{Grants, Scope};
use crate::resource::select::Columns;
use crate::resource::{Resource, select};
use crate::school::activities::Activities;
use crate::school::allergies::Allergies;
use crate::school::children::Children;
use crate::school::enrolments::Enrolments;
use crate::school::guardians::Guardians;
use crate::school::incidents::Incidents;
use crate::school::medication_administrations::MedicationAdministrations;
use crate::school::medications::Medications;
use crate::school::vaccinations::Vaccinations;

/// The maximum size of all records, in bytes of JSON.
const MOST_BYTES: usize = 64 << 20;

/// The maximum number of accesses; the newest are kept.
const MOST_ACCESSES: i64 = 10_000;

/// The maximum number of records of one kind whose paths are searched for in the audit: ten a day for four years of school.
const MOST_TRACED: usize = 10_000;

/// Reads the parts of one child's document, for the school or for one guardian.
pub(super) struct ExportReader<'c> {
    conn: &'c mut PgConnection,
    child: Uuid,
    own: Option<Uuid>,
    grants: &'c Grants,
    /// The number of bytes by which the document may still grow.
    room: usize,
    /// The paths of records in the document.
    traced: Vec<String>,
    /// The names of parts and fields that are left out.
    withheld: Vec<String>,
}

impl<'c> ExportReader<'c> {
    pub(super) fn new(conn: &'c mut PgConnection, child: Uuid, own: Option<Uuid>, grants: &'c Grants) -> Self {
        Self { conn, child, own, grants, room: MOST_BYTES, traced: Vec::new(), withheld: Vec::new() }
    }

    pub(super) async fn document(&mut self) -> Result<ChildExport> {
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

    /// Whether a part may be in the document. A part that the user may read in a smaller scope than the export would be incomplete, so it is withheld.
    fn may_read<R: Resource>(&mut self) -> bool {
        let within = if self.own.is_some() { Scope::Own } else { Scope::School };
        let may = self.grants.scope(R::Read::CODE) >= Some(within);
        if !may {
            self.withheld.push(R::TABLE.to_owned());
        }
        may
    }

    /// The records of one kind, unless they are withheld.
    async fn part<R: Resource>(&mut self) -> Result<Option<Vec<ExportedRecord<R::Record>>>> {
        if !self.may_read::<R>() {
            return Ok(None);
        }
        let records = self.records::<R>("child_id").await?;
        self.trace::<R>(records.iter().map(|kept| kept.id));
        Ok(Some(records))
    }

    /// Remembers the paths of the newest records, and of their list where it is narrowed to the child. `ids` has the newest last.
    fn trace<R: Resource>(&mut self, ids: impl DoubleEndedIterator<Item = Uuid>) {
        let list = format!("/api/v1{}", R::PATH);
        self.traced.push(about_child(&list, self.child));
        self.traced.extend(ids.rev().take(MOST_TRACED).map(|id| format!("{list}/{id}")));
    }

    /// The rows of a table that are about the child, in the order of its list.
    async fn records<R: Resource>(&mut self, column: &'static str) -> Result<Vec<ExportedRecord<R::Record>>> {
        let columns = self.columns::<R>();
        let mut query = match self.own {
            Some(_) => select::rows::<R>(self.own),
            None => select::all::<R>(columns),
        };
        query.push(format!(" AND t.{column} = ")).push_bind(self.child);
        query.push(format!(" ORDER BY {}, t.id", R::ORDER.column));
        self.fetch(query).await
    }

    /// The columns that the user may read; names the others as left out.
    fn columns<R: Resource>(&mut self) -> Columns {
        let reads_all = self.own.is_none() && self.grants.scope(R::Read::CODE) == Some(Scope::School);
        if reads_all {
            return Columns::All;
        }
        self.withheld.extend(R::STAFF_COLUMNS.iter().map(|column| format!("{}.{column}", R::TABLE)));
        Columns::Own
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
        self.trace::<Guardians>(std::iter::empty());
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

    /// Reads the accesses to the paths of the child and of all exported records. Must be called after the parts, which collect these paths.
    async fn accesses(&mut self) -> Result<Vec<ExportedAccess>> {
        // A guardian sees when and what other users accessed, but not who they are: the other parent may be among them.
        let mut query = QueryBuilder::new("SELECT CASE WHEN a.user_id = coalesce(");
        query.push_bind(self.own).push(", a.user_id) THEN a.user_id END AS user_id, a.action, a.resource, a.occurred_at, a.success");
        query.push(" FROM app.access_audit a WHERE a.resource LIKE ").push_bind(format!("/api/v1/children/{}%", self.child));
        query.push(" OR a.resource = ANY(").push_bind(std::mem::take(&mut self.traced)).push(")");
        query.push(format!(" ORDER BY a.occurred_at DESC, a.id DESC LIMIT {MOST_ACCESSES}"));
        self.fetch(query).await
    }

    /// Reads all rows, and fails when the document would become too large.
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

/// The records of a child exceed the maximum size.
#[derive(Debug, thiserror::Error)]
#[error("exporting a child: its records are larger than {MOST_BYTES} bytes")]
struct TooLarge;

fn too_large() -> Error {
    let message = Text::new(
        "os registos da criança não cabem num só documento; leia-os página a página nas suas listas, com child_id",
        "the child's records are too many for one document; read them page by page from their lists, with child_id",
    );
    Error::conflict("id", "too_large", message).because(TooLarge)
}

/// A writer that only counts bytes.
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
