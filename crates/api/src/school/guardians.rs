//! Guardians: the adults of a child. One with a user's id is how that user's account sees its own children.

use serde::{Deserialize, Serialize};
use sqlx::postgres::Postgres;
use sqlx::{FromRow, QueryBuilder};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::access::permission::{GuardiansCreate, GuardiansDelete, GuardiansRead, GuardiansUpdate};
use crate::resource::{Filter, NameSearch, Order, Resource, Stamp};

/// The resource. Its links to children stay when it is removed: erasing a child finds its adults by them.
pub enum Guardians {}

/// A guardian.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema, FromRow)]
pub struct Guardian {
    /// Its id.
    pub id: Uuid,
    /// As in its papers.
    pub full_name: String,
    /// Where to write to.
    pub email: Option<String>,
    /// Where to call.
    pub phone_number: Option<String>,
    /// The number that invoices bear.
    pub tax_number: Option<String>,
    /// Where it lives.
    pub address: Option<String>,
    /// BCP 47.
    pub preferred_locale: Option<String>,
    /// The account with which it signs in.
    pub user_id: Option<Uuid>,
    /// Who wrote it, and when.
    #[serde(flatten)]
    #[sqlx(flatten)]
    pub stamp: Stamp,
}

/// A guardian to be registered.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewGuardian {
    /// As in its papers.
    #[schema(min_length = 1, max_length = 200, pattern = r"\S")]
    pub full_name: String,
    /// Where to write to.
    #[schema(max_length = 200, pattern = r"^[^@\s]+@[^@\s]+$")]
    pub email: Option<String>,
    /// Where to call.
    #[schema(pattern = r"^\+?[0-9 ()-]{5,30}$")]
    pub phone_number: Option<String>,
    /// The number that invoices bear.
    #[schema(min_length = 1, max_length = 30)]
    pub tax_number: Option<String>,
    /// Where it lives.
    #[schema(max_length = 500)]
    pub address: Option<String>,
    /// BCP 47.
    #[schema(pattern = "^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$")]
    pub preferred_locale: Option<String>,
    /// The account with which it signs in, and which then sees its children.
    pub user_id: Option<Uuid>,
}

/// Fields of a guardian to be changed.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct GuardianChange {
    /// As in its papers.
    #[schema(min_length = 1, max_length = 200, pattern = r"\S", nullable = false)]
    pub full_name: Option<String>,
    /// Where to write to.
    #[schema(max_length = 200, pattern = r"^[^@\s]+@[^@\s]+$")]
    pub email: Option<String>,
    /// Where to call.
    #[schema(pattern = r"^\+?[0-9 ()-]{5,30}$")]
    pub phone_number: Option<String>,
    /// The number that invoices bear.
    #[schema(min_length = 1, max_length = 30)]
    pub tax_number: Option<String>,
    /// Where it lives.
    #[schema(max_length = 500)]
    pub address: Option<String>,
    /// BCP 47.
    #[schema(pattern = "^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$")]
    pub preferred_locale: Option<String>,
    /// The account with which it signs in, and which then sees its children.
    pub user_id: Option<Uuid>,
}

/// Which guardians.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub struct GuardianFilter {
    /// Words of the name, as prefixes, in any order, without regard to accents and case.
    #[param(value_type = Option<String>, max_length = 200)]
    pub name: Option<NameSearch>,
    /// Of this child.
    pub child_id: Option<Uuid>,
    /// That signs in with this account.
    pub user_id: Option<Uuid>,
}

impl Filter for GuardianFilter {
    fn narrow(&self, query: &mut QueryBuilder<Postgres>) {
        if let Some(name) = &self.name {
            name.narrow(query);
        }
        if let Some(child) = self.child_id {
            query.push(" AND t.id IN (SELECT cg.guardian_id FROM app.child_guardians cg WHERE cg.child_id = ").push_bind(child).push(")");
        }
        if let Some(user) = self.user_id {
            query.push(" AND t.user_id = ").push_bind(user);
        }
    }
}

impl Resource for Guardians {
    const TABLE: &'static str = "guardians";
    const PATH: &'static str = "/guardians";
    const SINGULAR: &'static str = "guardian";
    const COLUMNS: &'static str = "t.full_name, t.email, t.phone_number, t.tax_number, t.address, t.preferred_locale, t.user_id";
    const WRITABLE: &'static [&'static str] =
        &["full_name", "email", "phone_number", "tax_number", "address", "preferred_locale", "user_id"];
    const ORDER: Order = Order { column: "t.search_name", of: "text COLLATE \"C\"", descending: false };
    // Other adults of one's children are seen as links of the child, without where they live: parents may live apart.
    const OWN: &'static str = "t.user_id = {user}";
    const VISIBILITY_COLUMNS: &'static [&'static str] = &["user_id"];

    type Record = Guardian;
    type New = NewGuardian;
    type Change = GuardianChange;
    type Filter = GuardianFilter;
    type Read = GuardiansRead;
    type Create = GuardiansCreate;
    type Update = GuardiansUpdate;
    type Delete = GuardiansDelete;
}
