//! The log of doses that were given, refused by the child, or missed. It is evidence.
//!
//! Must not change anything of an entry except its notes.

mod facts;

use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sqlx::postgres::{PgConnection, Postgres};
use sqlx::{FromRow, QueryBuilder};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::column_enum::column_enum;
use super::day;
use crate::access::permission::{HealthAdminister, HealthDelete, HealthRead, HealthUpdate};
use crate::error::{Error, Field, Result, Text};
use crate::resource::filter::equal;
use crate::resource::stored::StoredMoment;
use crate::resource::{Filter, LIVE_CHILD, LockedRow, OWN_CHILD, Order, Reference, Resource, Stamp};

/// The resource.
pub enum MedicationAdministrations {}

column_enum! {
    /// Outcome of a dose: it was given, the child refused it, or it was missed.
    DoseOutcome { Given = "given", Refused = "refused", Missed = "missed" }
}

/// A dose in the log of medication.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema, FromRow)]
pub struct MedicationAdministration {
    /// Id of the log entry (UUID).
    pub id: Uuid,
    /// Id of the medication (UUID).
    pub medication_id: Uuid,
    /// Name of the medication.
    pub medication_name: String,
    /// Id of the child (UUID).
    pub child_id: Uuid,
    /// Outcome of the dose.
    #[schema(value_type = DoseOutcome)]
    pub outcome: String,
    /// Time at which the dose was given or refused, or was due if it was missed, in RFC 3339 format.
    #[sqlx(try_from = "StoredMoment")]
    pub administered_at: DateTime<Utc>,
    /// Amount that was given, such as `5 ml`; null if none was.
    pub dose_given: Option<String>,
    /// Id of the staff member who gave the dose (UUID).
    pub administered_by: Uuid,
    /// Id of the staff member who witnessed the dose (UUID).
    pub witnessed_by: Option<Uuid>,
    /// Free-text notes about the dose.
    pub notes: Option<String>,
    /// Version of the record, who wrote it and when.
    #[serde(flatten)]
    #[sqlx(flatten)]
    pub stamp: Stamp,
}

/// Request body that logs a dose. One medication cannot be given twice at the same time, and a dose within 30 minutes of another must be confirmed; to repeat
/// the request safely, send the same `Idempotency-Key`.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewMedicationAdministration {
    /// Id of the medication (UUID). A dose can only be given on a day that the authorisation covers.
    pub medication_id: Uuid,
    /// Outcome of the dose.
    pub outcome: DoseOutcome,
    /// Time at which the dose was given or refused, or was due if it was missed, in RFC 3339 format. Must not be in the future.
    pub administered_at: DateTime<Utc>,
    /// Amount that was given, such as `5 ml`. Required if the outcome is `given`, and refused otherwise.
    #[schema(min_length = 1, max_length = 200, pattern = r"\S")]
    pub dose_given: Option<String>,
    /// Id of the staff member who gave the dose (UUID). Defaults to the caller's own staff record.
    pub administered_by: Option<Uuid>,
    /// Id of the staff member who witnessed the dose (UUID), who must not be the one who gave it. Required for a dose that was given if the setting
    /// `medication.require_witness` is true.
    pub witnessed_by: Option<Uuid>,
    /// Free-text notes about the dose.
    #[schema(max_length = 4000)]
    pub notes: Option<String>,
    /// Whether a dose was given although another one of the same medication was given within 30 minutes before or after it. Without it such a dose is refused
    /// with the field code `recent`, because two people may have given the same dose. Defaults to false.
    #[schema(nullable = false)]
    pub confirm_repeat: Option<bool>,
}

/// Request body that updates a dose in the log. Only the notes can be changed.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MedicationAdministrationChange {
    /// Free-text notes about the dose.
    #[schema(max_length = 4000)]
    pub notes: Option<String>,
}

/// Filters of the log of doses.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct MedicationAdministrationFilter {
    /// Only doses of this child.
    pub child_id: Option<Uuid>,
    /// Only doses of this medication.
    pub medication_id: Option<Uuid>,
    /// Only doses given by this staff member.
    pub administered_by: Option<Uuid>,
    /// Only doses with this outcome.
    pub outcome: Option<DoseOutcome>,
    /// Only doses of this day (`YYYY-MM-DD`) in the school's time zone.
    pub day: Option<NaiveDate>,
    /// Only doses at or after this time (RFC 3339).
    pub from: Option<DateTime<Utc>>,
    /// Only doses before this time (RFC 3339).
    pub until: Option<DateTime<Utc>>,
}

impl Filter for MedicationAdministrationFilter {
    fn narrow(&self, query: &mut QueryBuilder<Postgres>) {
        equal(query, "child_id", self.child_id);
        equal(query, "medication_id", self.medication_id);
        equal(query, "administered_by", self.administered_by);
        equal(query, "outcome", self.outcome.map(DoseOutcome::label));
        day::during(query, "t.administered_at", self.day, self.from, self.until);
    }
}

impl Resource for MedicationAdministrations {
    const TABLE: &'static str = "medication_administrations";
    const PATH: &'static str = "/medication-administrations";
    const SINGULAR: &'static str = "medication administration";
    const COLUMNS: &'static str = "t.medication_id, (SELECT m.name FROM app.medications m WHERE m.id = t.medication_id) AS medication_name, \
         t.child_id, t.outcome, t.administered_at, t.dose_given, t.administered_by, t.witnessed_by, t.notes";
    const WRITABLE: &'static [&'static str] =
        &["medication_id", "child_id", "outcome", "administered_at", "dose_given", "administered_by", "witnessed_by", "notes"];
    const ORDER: Order = Order { column: "t.administered_at", of: "timestamptz", descending: true };
    const LIVE: &'static str = LIVE_CHILD;
    const OWN: &'static str = OWN_CHILD;
    const REFERENCES: &'static [Reference] = &[
        Reference { column: "medication_id", table: "medications", own: Some(OWN_CHILD) },
        Reference::to("administered_by", "staff"),
        Reference::to("witnessed_by", "staff"),
    ];

    type Record = MedicationAdministration;
    type New = NewMedicationAdministration;
    type Change = MedicationAdministrationChange;
    type Filter = MedicationAdministrationFilter;
    type Read = HealthRead;
    type Create = HealthAdminister;
    type Update = HealthUpdate;
    type Delete = HealthDelete;

    /// Sets the child of the medication, and the caller's staff record as who gave the dose. Locks the medication, so that its doses are checked one by one.
    async fn complete(conn: &mut PgConnection, fields: &mut Map<String, Value>) -> Result<()> {
        let medication = fields.get("medication_id").and_then(Value::as_str).unwrap_or_default();
        let medication_lock = "SELECT m.child_id FROM app.medications m JOIN app.children c ON c.id = m.child_id
                    WHERE m.id = $1::text::uuid AND m.deleted_at IS NULL AND c.deleted_at IS NULL FOR NO KEY UPDATE OF m";
        let child: Option<Uuid> = sqlx::query_scalar(medication_lock).bind(medication).fetch_optional(&mut *conn).await?;
        let child = child.ok_or_else(|| Error::field("medication_id", "not_found", Text::new("não existe", "does not exist")))?;
        fields.insert("child_id".to_owned(), child.to_string().into());
        if fields.get("administered_by").is_none_or(Value::is_null) {
            let own_record = "SELECT id FROM app.staff WHERE user_id = app.current_user_id() AND deleted_at IS NULL FOR KEY SHARE";
            let staff: Option<Uuid> = sqlx::query_scalar(own_record).fetch_optional(conn).await?;
            let unknown = || {
                Error::field(
                    "administered_by",
                    "required",
                    Text::new("o utilizador não pertence ao pessoal", "the user is not a staff member"),
                )
            };
            fields.insert("administered_by".to_owned(), staff.ok_or_else(unknown)?.to_string().into());
        }
        Ok(())
    }

    async fn check(conn: &mut PgConnection, row: Option<&LockedRow>, value: &Value) -> Result<()> {
        // Only the notes can be changed, and they need no check.
        if row.is_some() {
            return Ok(());
        }
        let given = value.get("outcome").and_then(Value::as_str) == Some(DoseOutcome::Given.label());
        let present = |name: &str| value.get(name).is_some_and(|value| !value.is_null());
        let facts = facts::read(conn, value).await?;
        let mut wrong = Vec::new();
        let mut refuse = |field: &str, code, pt, en| wrong.push(Field { field: field.to_owned(), code, message: Text::new(pt, en) });
        if facts.ahead {
            refuse("administered_at", "future", "está no futuro", "is in the future");
        }
        if !given && present("dose_given") {
            refuse("dose_given", "not_allowed", "só se aplica a uma dose administrada", "only applies to a dose that was given");
        }
        if given && facts.witness && !present("witnessed_by") {
            refuse("witnessed_by", "required", "a escola exige uma testemunha", "the school requires a witness");
        }
        if !wrong.is_empty() {
            return Err(Error::invalid(wrong));
        }
        if given && facts.apart == Some(0) {
            let message = Text::new("já foi administrada a esta hora", "the dose was already given at this time");
            return Err(Error::conflict("administered_at", "taken", message));
        }
        let confirmed = value.get("confirm_repeat").and_then(Value::as_bool) == Some(true);
        if given && facts.apart.is_some() && !confirmed {
            let message = Text::new(
                "outra dose foi administrada há menos de 30 minutos; confirme com confirm_repeat se esta também o foi",
                "another dose was given within 30 minutes; confirm with confirm_repeat that this one was given too",
            );
            return Err(Error::conflict("administered_at", "recent", message));
        }
        Ok(())
    }
}
