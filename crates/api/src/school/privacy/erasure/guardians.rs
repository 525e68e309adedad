//! The guardians who are erased with a child, and the accounts that are left of them.
//!
//! Must not erase anything: the database's own function does.

use sqlx::FromRow;
use sqlx::postgres::PgConnection;
use uuid::Uuid;

use crate::error::Result;

/// A guardian of a child that is erased.
#[derive(Clone, Copy, FromRow)]
pub(super) struct ErasedGuardian {
    pub(super) id: Uuid,
    user_id: Option<Uuid>,
}

impl ErasedGuardian {
    /// The child's guardians, also removed ones. Locks their rows until the transaction ends.
    pub(super) async fn of(conn: &mut PgConnection, child: Uuid) -> Result<Vec<Self>> {
        let select = "
            SELECT g.id, g.user_id FROM app.guardians g
            WHERE g.id IN (SELECT cg.guardian_id FROM app.child_guardians cg WHERE cg.child_id = $1) ORDER BY g.id FOR UPDATE";
        Ok(sqlx::query_as(select).bind(child).fetch_all(conn).await?)
    }

    /// Those of `guardians` who no longer exist.
    pub(super) async fn erased(conn: &mut PgConnection, mut guardians: Vec<Self>) -> Result<Vec<Self>> {
        let ids: Vec<Uuid> = guardians.iter().map(|guardian| guardian.id).collect();
        let left: Vec<Uuid> = sqlx::query_scalar("SELECT id FROM app.guardians WHERE id = ANY($1)").bind(ids).fetch_all(conn).await?;
        guardians.retain(|guardian| !left.contains(&guardian.id));
        Ok(guardians)
    }

    /// The accounts of these guardians that no staff member or other guardian of the school uses.
    pub(super) async fn accounts(conn: &mut PgConnection, erased: &[Self]) -> Result<Vec<Uuid>> {
        let users: Vec<Uuid> = erased.iter().filter_map(|guardian| guardian.user_id).collect();
        let unused = "
            SELECT DISTINCT u FROM unnest($1::uuid[]) AS u
            WHERE NOT EXISTS (SELECT FROM app.guardians g WHERE g.user_id = u AND g.deleted_at IS NULL)
              AND NOT EXISTS (SELECT FROM app.staff s WHERE s.user_id = u AND s.deleted_at IS NULL) ORDER BY u";
        Ok(sqlx::query_scalar(unused).bind(users).fetch_all(conn).await?)
    }
}
