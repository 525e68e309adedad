//! Observing one School in the registry: its row, the holder of its code and its first administrator, in one snapshot. Changes nothing.
//!
//! Must not judge what it read.

use domain::names::{SchoolCode, TenantId};
use domain::school::observed::ObservedTenant;
use postgres::error::Doing as _;
use registry::route::{AUTHORITY, COLUMNS};
use registry::with_connection;
use sqlx::postgres::{PgPool, PgRow};
use sqlx::{AssertSqlSafe, Row as _};
use uuid::Uuid;

use super::observed_row::ObservedRow;
use crate::master::users::Account;
use crate::master::{Result, TenantRef};

/// The tenant that holds a code (or a name that must be unique), and the School behind it as far as the registry knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CodeHolder {
    /// The tenant.
    pub tenant: TenantId,
    /// Its School's namespace.
    pub namespace: Option<String>,
    /// Its School's name.
    pub name: Option<String>,
}

impl CodeHolder {
    pub(super) fn read(row: &PgRow) -> Result<Self> {
        let doing = "reading who holds a school's code";
        let id: Uuid = row.try_get("id").doing(doing)?;
        let (namespace, name) = (row.try_get("school_namespace").doing(doing)?, row.try_get("school_name").doing(doing)?);
        Ok(Self { tenant: TenantId(id), namespace, name })
    }
}

/// Everything the registry knows about one School, from one snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegistryObservation {
    /// The tenant's row.
    pub row: Option<ObservedRow>,
    /// Who holds the code.
    pub holder: Option<CodeHolder>,
    /// The first administrator's account.
    pub admin: Account,
    /// The request for another password of the administrator that was acted on last.
    pub admin_reset: Option<String>,
    /// The e-mail address of the account that such a request means: the first administrator's while that is an active administrator, else the only one's.
    pub administrator: Option<String>,
}

impl RegistryObservation {
    /// The tenant that has the code.
    #[must_use]
    pub fn code_taken_by(&self) -> Option<TenantId> {
        self.holder.as_ref().map(|holder| holder.tenant)
    }

    /// The planner's view of it; `current` says whether our row holds what it should (see [`ObservedRow::matches`]).
    #[must_use]
    pub fn tenant(&self, tenant: TenantRef, current: impl FnOnce(&ObservedRow) -> bool) -> ObservedTenant {
        match (&self.row, &self.holder) {
            (Some(row), _) if row.is_of(tenant) => ObservedTenant::Ours { state: row.state, current: current(row) },
            (Some(_), _) => ObservedTenant::Reassigned,
            (None, Some(_)) => ObservedTenant::OfAnother,
            (None, None) => ObservedTenant::Absent,
        }
    }
}

/// Observes a School in one round trip. Pass no e-mail address for a School that is being deleted: it needs none, so nobody is reported to have it.
///
/// # Errors
/// When the registry fails, or the row's state is one this program does not know.
pub async fn observe(pool: &PgPool, tenant: TenantId, code: Option<&SchoolCode>, admin_email: Option<&str>) -> Result<RegistryObservation> {
    let doing = "observing a school in the registry";
    let select = format!(
        "SELECT {COLUMNS}, {AUTHORITY}, t.id IS NOT NULL AS known, holder.id AS holder, holder.school_namespace, holder.school_name,
             EXISTS (SELECT FROM registry.users WHERE tenant_id = $1 AND role = 'SchoolAdmin' AND NOT is_deleted) AS admin_made,
             EXISTS (SELECT FROM registry.users WHERE lower(email) = lower($3) AND NOT is_deleted) AS email_taken,
             t.admin_reset, ({administrator}) AS administrator
         FROM (SELECT) AS always
         LEFT JOIN registry.tenants t ON t.id = $1
         LEFT JOIN registry.tenants holder ON holder.code = $2 AND NOT holder.is_deleted",
        administrator = "SELECT CASE WHEN bool_or(lower(email) = lower($3)) THEN min(email) FILTER (WHERE lower(email) = lower($3)) \
                 WHEN count(*) = 1 THEN min(email) END
             FROM registry.users WHERE tenant_id = $1 AND role = 'SchoolAdmin' AND is_active AND NOT is_deleted"
    );
    let query = sqlx::query(AssertSqlSafe(select)).bind(tenant.0).bind(code.map(SchoolCode::as_str)).bind(admin_email);
    let row = with_connection(pool, doing, async |conn| query.fetch_one(conn).await).await?;
    let flag = |column| row.try_get::<bool, _>(column).doing(doing);
    let text = |column| row.try_get::<Option<String>, _>(column).doing(doing);
    let holder: Option<Uuid> = row.try_get("holder").doing(doing)?;
    let (namespace, name) = (text("school_namespace")?, text("school_name")?);
    Ok(RegistryObservation {
        row: if flag("known")? { Some(ObservedRow::read(&row)?) } else { None },
        holder: holder.map(|id| CodeHolder { tenant: TenantId(id), namespace, name }),
        admin: match (flag("admin_made")?, flag("email_taken")?) {
            (true, _) => Account::Made,
            (false, true) => Account::EmailTaken,
            (false, false) => Account::Absent,
        },
        admin_reset: text("admin_reset")?,
        administrator: text("administrator")?,
    })
}
