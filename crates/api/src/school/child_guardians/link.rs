//! The link between a child and a guardian: its record, its body, and its statements.
//!
//! Must not check permissions or choose a status code.

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use sqlx::FromRow;
use sqlx::postgres::PgConnection;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::error::Result;
use crate::resource::Stamp;
use crate::resource::stored::StoredDate;

/// The link between a child and one of its guardians.
#[derive(Clone, Debug, Serialize, ToSchema, FromRow)]
pub struct ChildGuardian {
    /// Id of the child (UUID).
    pub child_id: Uuid,
    /// Id of the guardian (UUID).
    pub guardian_id: Uuid,
    /// Full name of the guardian.
    pub full_name: String,
    /// Telephone number of the guardian.
    pub phone_number: Option<String>,
    /// Relation of the guardian to the child.
    #[schema(value_type = Relation)]
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
    /// Version of the record, who wrote it and when.
    #[serde(flatten)]
    #[sqlx(flatten)]
    pub stamp: Stamp,
}

/// Relation of a guardian to a child.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Relation {
    /// Mother.
    Mother,
    /// Father.
    Father,
    /// Grandmother or grandfather.
    Grandparent,
    /// Sister or brother.
    Sibling,
    /// Another relative.
    Relative,
    /// By a court's decision.
    LegalGuardian,
    /// Foster parent.
    FosterParent,
    /// Somebody else whom the parents trust.
    Other,
}

/// Request body that creates or replaces the link between a child and a guardian. Absent fields get their defaults.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewChildGuardian {
    /// Relation of the guardian to the child.
    pub relation: Relation,
    /// Whether the guardian has custody of the child. Defaults to false.
    #[serde(default)]
    pub has_custody: bool,
    /// Whether the guardian may collect the child from school. Defaults to false.
    #[serde(default)]
    pub may_pick_up: bool,
    /// Last day on which the guardian may collect the child (`YYYY-MM-DD`); null for no end.
    pub pick_up_until: Option<NaiveDate>,
    /// Whether the school calls the guardian in an emergency. Defaults to false.
    #[serde(default)]
    pub is_emergency_contact: bool,
    /// Order in which the school calls the guardians; the lowest number comes first. Defaults to 1.
    #[serde(default = "first")]
    #[schema(minimum = 1, maximum = 20)]
    pub contact_order: i16,
}

fn first() -> i16 {
    1
}

/// The links of child $1, or the one to guardian $2.
pub(super) const SELECT: &str = "
    SELECT t.child_id, t.guardian_id, g.full_name, g.phone_number, t.relation, t.has_custody, t.may_pick_up, t.pick_up_until,
           t.is_emergency_contact, t.contact_order, t.row_version, t.created_at, t.created_by, t.updated_at, t.updated_by
    FROM app.child_guardians t JOIN app.guardians g ON g.id = t.guardian_id AND g.deleted_at IS NULL
    WHERE t.child_id = $1 AND ($2::uuid IS NULL OR t.guardian_id = $2)
    ORDER BY t.contact_order, g.search_name, g.id";

/// Creates or replaces a link.
pub(super) const REPLACE: &str = "
    INSERT INTO app.child_guardians AS t
        (child_id, guardian_id, relation, has_custody, may_pick_up, pick_up_until, is_emergency_contact, contact_order)
    SELECT $1, $2, $3, $4, $5, $6, $7, $8
    ON CONFLICT (child_id, guardian_id) DO UPDATE SET
        (relation, has_custody, may_pick_up, pick_up_until, is_emergency_contact, contact_order) =
        (excluded.relation, excluded.has_custody, excluded.may_pick_up, excluded.pick_up_until, excluded.is_emergency_contact, excluded.contact_order)";

/// One link, if both its child and its guardian are present.
pub(super) async fn one(conn: &mut PgConnection, child: Uuid, guardian: Uuid) -> Result<Option<ChildGuardian>> {
    Ok(sqlx::query_as(SELECT).bind(child).bind(guardian).fetch_optional(conn).await?)
}
