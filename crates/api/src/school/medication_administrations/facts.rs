//! What the database knows about a dose that is to be logged. Must not judge it.

use serde_json::Value;
use sqlx::FromRow;
use sqlx::postgres::PgConnection;

use crate::error::Result;

/// Facts about a dose that is to be logged.
#[derive(FromRow)]
pub(super) struct DoseFacts {
    /// Whether its time is in the future, beyond the difference of clocks.
    pub(super) ahead: bool,
    /// Whether the school requires a witness.
    pub(super) witness: bool,
    /// How many microseconds before or after it the same medication was given, if that is at most half an hour.
    pub(super) apart: Option<i64>,
}

/// Reads the facts about the dose in a body.
pub(super) async fn read(conn: &mut PgConnection, value: &Value) -> Result<DoseFacts> {
    let text = |name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default();
    let select = "
        SELECT d.at > now() + interval '5 minutes' AS ahead,
               coalesce((SELECT s.value = 'true' FROM app.settings s WHERE s.key = 'medication.require_witness'), true) AS witness,
               (SELECT min(abs(extract(epoch FROM a.administered_at - d.at)) * 1000000)::int8 FROM app.medication_administrations a
                WHERE a.medication_id = $2::text::uuid AND a.outcome = 'given' AND a.deleted_at IS NULL
                  AND a.administered_at BETWEEN d.at - interval '30 minutes' AND d.at + interval '30 minutes') AS apart
        FROM (SELECT $1::text::timestamptz) AS d (at)";
    Ok(sqlx::query_as(select).bind(text("administered_at")).bind(text("medication_id")).fetch_one(conn).await?)
}
