//! Stub.
use super::error::{Code, Result};
use crate::domain::names::TenantId;
use axum::http::HeaderMap;
use uuid::Uuid;
/// x
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UserId(pub Uuid);
/// x
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// x
    SchoolAdmin,
    /// x
    PlatformAdmin,
}
impl Role {
    /// x
    pub fn label(self) -> &'static str {
        "SchoolAdmin"
    }
}
/// x
#[derive(Clone, Debug)]
pub struct Principal {
    /// x
    pub user: UserId,
    /// x
    pub tenant: Option<TenantId>,
    /// x
    pub role: Option<Role>,
    /// x
    pub must_change_password: bool,
}
/// x
pub struct Identity;
impl Identity {
    /// x
    pub async fn verify(&self, _: &str) -> Result<Principal> {
        Err(Code::Unauthenticated.into())
    }
    /// x
    pub fn bearer(_: &HeaderMap) -> Result<&str> {
        Err(Code::Unauthenticated.into())
    }
}
/// x
pub fn router(_: std::sync::Arc<Identity>) -> utoipa_axum::router::OpenApiRouter<super::app::App> { utoipa_axum::router::OpenApiRouter::new() }
