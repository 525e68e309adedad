//! Guardians: the adults who are responsible for children. A user sees its own children through the guardian that has its user id.
//!
//! Must not link a guardian to a child: `child_guardians` does.

use serde::{Deserialize, Serialize};
use sqlx::postgres::Postgres;
use sqlx::{FromRow, QueryBuilder};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::bodies::bodies;
use crate::access::permission::{GuardiansCreate, GuardiansDelete, GuardiansRead, GuardiansUpdate};
use crate::resource::filter::equal;
use crate::resource::{Filter, NameSearch, Order, Resource, Stamp};

/// The resource. Links to children stay when a guardian is removed, because the erasure of a child finds its guardians by them.
pub enum Guardians {}

/// A guardian: an adult who is responsible for children of the school.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema, FromRow)]
pub struct Guardian {
    /// Id of the guardian (UUID).
    pub id: Uuid,
    /// Full name as in the person's documents.
    pub full_name: String,
    /// E-mail address of the guardian.
    pub email: Option<String>,
    /// Telephone number in digits, with spaces, hyphens, parentheses and a leading `+` allowed.
    pub phone_number: Option<String>,
    /// Tax identification number that invoices show.
    pub tax_number: Option<String>,
    /// Postal address of the guardian.
    pub address: Option<String>,
    /// Preferred language as a BCP 47 language tag, such as `pt-PT`.
    pub preferred_locale: Option<String>,
    /// Id of the account that this guardian signs in with (UUID); null if there is none.
    pub user_id: Option<Uuid>,
    /// Version of the record, who wrote it and when.
    #[serde(flatten)]
    #[sqlx(flatten)]
    pub stamp: Stamp,
}

bodies! {
    /// Request body that creates a guardian.
    NewGuardian {
        /// Full name as in the person's documents.
        #[schema(min_length = 1, max_length = 200, pattern = r"\S")]
        full_name: String,
    }

    /// Request body that updates a guardian. Absent fields keep their value; null clears a field.
    GuardianChange {
        /// Full name as in the person's documents.
        #[schema(min_length = 1, max_length = 200, pattern = r"\S", nullable = false)]
        full_name: Option<String>,
    }

    both {
        /// E-mail address of the guardian.
        #[schema(max_length = 200, pattern = r"^[^@\s]+@[^@\s]+$")]
        email: Option<String>,
        /// Telephone number in digits, with spaces, hyphens, parentheses and a leading `+` allowed.
        #[schema(pattern = r"^\+?[0-9 ()-]{5,30}$")]
        phone_number: Option<String>,
        /// Tax identification number that invoices show.
        #[schema(min_length = 1, max_length = 30)]
        tax_number: Option<String>,
        /// Postal address of the guardian.
        #[schema(max_length = 500)]
        address: Option<String>,
        /// Preferred language as a BCP 47 language tag, such as `pt-PT`.
        #[schema(pattern = "^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$")]
        preferred_locale: Option<String>,
        /// Id of the account that this guardian signs in with (UUID). That account then sees the children of the guardian.
        user_id: Option<Uuid>,
    }
}

/// Filters of the list of guardians.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub struct GuardianFilter {
    /// Only records whose name contains these words. Each word matches as a prefix, in any order; accents and case are ignored.
    #[param(value_type = Option<String>, max_length = 200)]
    pub name: Option<NameSearch>,
    /// Only guardians of this child.
    pub child_id: Option<Uuid>,
    /// Only the guardian who signs in with this account.
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
        equal(query, "user_id", self.user_id);
    }
}

impl Resource for Guardians {
    const TABLE: &'static str = "guardians";
    const PATH: &'static str = "/guardians";
    const SINGULAR: &'static str = "guardian";
    const COLUMNS: &'static str = "t.full_name, t.email, t.phone_number, t.tax_number, t.address, t.preferred_locale, t.user_id";
    const WRITABLE: &'static [&'static str] =
        &["full_name", "email", "phone_number", "tax_number", "address", "preferred_locale", "user_id"];
    const ACCOUNT: Option<&'static str> = Some("user_id");
    const ORDER: Order = Order { column: "t.search_name", of: "text COLLATE \"C\"", descending: false };
    // A user sees the other guardians of a child through the links of the child, without their addresses: parents may live apart.
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
