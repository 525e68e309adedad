//! Stub.
use crate::domain::names::TenantId;
use chrono::{DateTime, Utc};
use sqlx::postgres::PgConnection;
use std::borrow::Cow;
use std::net::IpAddr;
use uuid::Uuid;
/// x
#[derive(Clone, Debug)]
pub struct Record {
    /// x
    pub id: Uuid,
    /// x
    pub tenant: Option<TenantId>,
    /// x
    pub user: Option<Uuid>,
    /// x
    pub action: Cow<'static, str>,
    /// x
    pub resource: String,
    /// x
    pub address: Option<IpAddr>,
    /// x
    pub at: DateTime<Utc>,
    /// x
    pub success: bool,
}
/// x
#[derive(Clone)]
pub struct Audit;
impl Audit {
    /// x
    pub fn record(&self, _: Record) {}
    /// x
    pub async fn write(_: &mut PgConnection, _: &Record) -> crate::sql::Result<()> {
        Ok(())
    }
}
