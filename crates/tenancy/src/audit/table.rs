//! The two tables of audit records: the same columns, in a school's database and in the master database.
//!
//! Must not name a partition: the school's login may write through the parent only.

use std::borrow::Cow;

use chrono::{DateTime, Utc};
use domain::names::TenantId;
use postgres::error::Doing as _;
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Postgres, QueryBuilder, Row as _};
use uuid::Uuid;

use super::record::Record;

/// Selects records. Every field that is given must match.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// By this user.
    pub user: Option<Uuid>,
    /// The action begins with this.
    pub action: Option<String>,
    /// The resource begins with this: a path selects every access to it and to what is below it.
    pub resource: Option<String>,
    /// Done (true) or refused (false).
    pub success: Option<bool>,
    /// At this moment or later.
    pub from: Option<DateTime<Utc>>,
    /// Before this moment.
    pub until: Option<DateTime<Utc>>,
}

/// A table of records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Table {
    School,
    Platform,
}

/// What a record fills.
const COLUMNS: &str = "id, tenant_id, user_id, action, resource, ip_address, occurred_at, success, request_id, reason";

impl Table {
    fn name(self) -> &'static str {
        match self {
            Self::School => "app.access_audit",
            Self::Platform => "registry.access_audit",
        }
    }

    /// Inserts all of them in one statement. Those that exist already, because an earlier answer was lost, stay as they are.
    pub(super) async fn insert(self, conn: &mut PgConnection, records: &[Record]) -> postgres::Result<()> {
        let table = self.name();
        let insert = format!(
            "INSERT INTO {table} ({COLUMNS})
             SELECT id, tenant_id, user_id, action, resource, ip_address::inet, occurred_at, success, request_id, reason
             FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::text[], $7::timestamptz[], $8::bool[], $9::text[], $10::text[])
                 AS record ({COLUMNS})
             ON CONFLICT DO NOTHING"
        );
        sqlx::query(AssertSqlSafe(insert))
            .bind(records.iter().map(|record| record.id).collect::<Vec<_>>())
            .bind(records.iter().map(|record| record.tenant.map(|tenant| tenant.0)).collect::<Vec<_>>())
            .bind(records.iter().map(|record| record.user).collect::<Vec<_>>())
            .bind(records.iter().map(Record::written_action).collect::<Vec<_>>())
            .bind(records.iter().map(Record::written_resource).collect::<Vec<_>>())
            .bind(records.iter().map(|record| record.address.map(|address| address.to_string())).collect::<Vec<_>>())
            .bind(records.iter().map(|record| record.at).collect::<Vec<_>>())
            .bind(records.iter().map(|record| record.success).collect::<Vec<_>>())
            .bind(records.iter().map(|record| record.request_id.as_deref()).collect::<Vec<_>>())
            .bind(records.iter().map(|record| record.reason.as_deref()).collect::<Vec<_>>())
            .execute(conn)
            .await
            .doing("writing the access audit")
            .map(|_| ())
    }

    /// Adds the insertion of one record to a statement, as [`Table::insert`] makes it.
    pub(super) fn push_insert(self, statement: &mut QueryBuilder<Postgres>, record: &Record) {
        let table = self.name();
        statement.push(format!("INSERT INTO {table} ({COLUMNS}) VALUES ("));
        statement.push_bind(record.id).push(", ").push_bind(record.tenant.map(|tenant| tenant.0)).push(", ").push_bind(record.user);
        statement.push(", ").push_bind(record.written_action().to_owned()).push(", ").push_bind(record.written_resource().to_owned());
        statement.push(", ").push_bind(record.address.map(|address| address.to_string())).push("::text::inet, ").push_bind(record.at);
        statement.push(", ").push_bind(record.success).push(", ").push_bind(record.request_id.as_deref().map(str::to_owned));
        statement.push(", ").push_bind(record.reason.clone()).push(") ON CONFLICT DO NOTHING");
    }

    /// Newest first.
    pub(super) async fn list(
        self,
        conn: &mut PgConnection,
        tenant: Option<TenantId>,
        filter: &Filter,
        after: Option<(DateTime<Utc>, Uuid)>,
        limit: u32,
    ) -> postgres::Result<Vec<Record>> {
        let table = self.name();
        let mut query = QueryBuilder::<Postgres>::new(format!(
            "SELECT id, tenant_id, user_id, action, resource, host(ip_address) AS address, occurred_at, success, request_id, reason FROM {table} WHERE true"
        ));
        if let Some(TenantId(tenant)) = tenant {
            query.push(" AND tenant_id = ").push_bind(tenant);
        }
        filter.narrow(&mut query);
        if let Some((at, id)) = after {
            // The second condition implies the first, but only the first lets PostgreSQL skip partitions.
            query.push(" AND occurred_at <= ").push_bind(at);
            query.push(" AND (occurred_at, id) < (").push_bind(at).push(", ").push_bind(id).push(")");
        }
        query.push(" ORDER BY occurred_at DESC, id DESC LIMIT ").push_bind(i64::from(limit));
        let doing = "reading the access audit";
        let rows = query.build().fetch_all(conn).await.doing(doing)?;
        rows.iter().map(read).collect::<Result<_, _>>().doing(doing)
    }
}

impl Filter {
    fn narrow(&self, query: &mut QueryBuilder<Postgres>) {
        if let Some(user) = self.user {
            query.push(" AND user_id = ").push_bind(user);
        }
        if let Some(action) = &self.action {
            query.push(" AND starts_with(action, ").push_bind(action.clone()).push(")");
        }
        if let Some(resource) = &self.resource {
            query.push(" AND starts_with(resource, ").push_bind(resource.clone()).push(")");
        }
        if let Some(success) = self.success {
            query.push(" AND success = ").push_bind(success);
        }
        if let Some(from) = self.from {
            query.push(" AND occurred_at >= ").push_bind(from);
        }
        if let Some(until) = self.until {
            query.push(" AND occurred_at < ").push_bind(until);
        }
    }
}

fn read(row: &PgRow) -> Result<Record, sqlx::Error> {
    let address: Option<String> = row.try_get("address")?;
    Ok(Record {
        id: row.try_get("id")?,
        tenant: row.try_get::<Option<Uuid>, _>("tenant_id")?.map(TenantId),
        user: row.try_get("user_id")?,
        action: Cow::Owned(row.try_get("action")?),
        resource: row.try_get("resource")?,
        address: address.map(|address| address.parse()).transpose().map_err(|error| sqlx::Error::Decode(Box::new(error)))?,
        at: row.try_get("occurred_at")?,
        success: row.try_get("success")?,
        reason: row.try_get("reason")?,
        request_id: row.try_get::<Option<String>, _>("request_id")?.map(Into::into),
    })
}
