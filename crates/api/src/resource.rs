//! What every table of a school that people work with has in common: list, read, create, change, remove.
//!
//! A resource says what it is ([`Resource`]); how pages, entity tags, idempotency keys and refusals work is said here once. Must not know any one of them.

pub mod change;
mod create;
pub mod cursor;
pub mod document;
pub mod filter;
pub mod idempotency;
mod list;
pub mod precondition;
mod read;
mod reference;
mod remove;
pub mod select;
pub(crate) mod stored;

use axum::routing::{get, patch};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sqlx::FromRow;
use sqlx::postgres::{PgConnection, PgRow};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use uuid::Uuid;

pub use change::LockedRow;
pub use filter::{Filter, NameSearch};
pub use select::Order;

use tenancy::cache::Key;

use self::select::Columns;
use super::access::{Access, Invalidation, Permission};
use super::app::App;
use super::error::{Code, Error, Result, Text};
use super::grants::Scope;
use super::identity::UserId;

/// A table of `app.*` with a row version and soft deletion.
pub trait Resource: Sized + Send + Sync + 'static {
    /// Its table in schema `app`.
    const TABLE: &'static str;
    /// Its path under `/api/v1`.
    const PATH: &'static str;
    /// What one is called, in the document: `child`.
    const SINGULAR: &'static str;
    /// The columns of [`Resource::Record`] beside id and stamp, of a table called `t`, as an SQL select list.
    const COLUMNS: &'static str;
    /// The columns that a body may fill.
    const WRITABLE: &'static [&'static str];
    /// Of these, those that say who may see a row: a permission over one's own rows does not reach them, nor do platform staff who act in the school.
    const VISIBILITY_COLUMNS: &'static [&'static str] = &[];
    /// Columns that are for the staff: who may read only their own rows reads them as null, and does not write them. [`Resource::COLUMNS`] does not have them.
    const STAFF_COLUMNS: &'static [&'static str] = &[];
    /// The column that names the account of the person that a row is about: an account of the school, or another issuer's user.
    const ACCOUNT: Option<&'static str> = None;
    /// How a list is ordered; the id breaks ties.
    const ORDER: Order;
    /// Which rows exist for anybody, as a predicate on `t`.
    const LIVE: &'static str = "t.deleted_at IS NULL";
    /// Which rows are the user's own, as a predicate on `t`, with `{user}` where the user's id goes. Neither this nor [`Resource::LIVE`] reads the table itself:
    /// a write asks it of the row that it returns, which the table does not show yet.
    const OWN: &'static str;
    /// Columns that must name a live row, of which table, and which of its rows when the permission is only over one's own.
    const REFERENCES: &'static [Reference] = &[];
    /// Columns that follow from others of a new row, unless its body fills them: each with an expression on `r`, the row as it was sent.
    const DERIVED: &'static [(&'static str, &'static str)] = &[];
    /// A text column whose value decides what a change may name: [`Resource::check`] is told it.
    const DECIDING: Option<&'static str> = None;
    /// The unfiltered first page is kept in the cache under this name, and forgotten with each write.
    const CACHED: Option<&'static str> = None;

    /// What is read.
    type Record: Serialize + for<'a> Deserialize<'a> + ToSchema + for<'r> FromRow<'r, PgRow> + Send + Sync + Unpin + 'static;
    /// What creates one.
    type New: ToSchema + 'static;
    /// What changes one: every field optional; absent means as it is, null means emptied.
    type Change: ToSchema + 'static;
    /// The list's filters.
    type Filter: Filter;
    /// To list and read.
    type Read: Permission;
    /// To create.
    type Create: Permission;
    /// To change.
    type Update: Permission;
    /// To remove.
    type Delete: Permission;

    /// Adds to a new row what follows from what was sent, in the transaction of the write, before [`Resource::check`].
    fn complete(_conn: &mut PgConnection, _fields: &mut Map<String, Value>) -> impl Future<Output = Result<()>> + Send {
        async { Ok(()) }
    }

    /// Locks parent rows before this row, in the order that a removal takes them.
    fn lock_before_change(_conn: &mut PgConnection, _id: Uuid) -> impl Future<Output = Result<()>> + Send {
        async { Ok(()) }
    }

    /// Refuses what no constraint of the schema refuses, in the transaction of the write; `row` is the one that is changed, `value` as it was sent.
    fn check(_conn: &mut PgConnection, _row: Option<&LockedRow>, _value: &Value) -> impl Future<Output = Result<()>> + Send {
        async { Ok(()) }
    }

    /// What goes with a row when it is removed, or why it may not be, in the same transaction.
    fn before_remove(_conn: &mut PgConnection, _id: Uuid) -> impl Future<Output = Result<()>> + Send {
        async { Ok(()) }
    }
}

/// That a column names a child of whom the user is a guardian, perhaps after another condition.
macro_rules! own_child {
    ($column:literal) => {
        concat!(
            $column,
            " IN (SELECT cg.child_id FROM app.child_guardians cg JOIN app.guardians g ON g.id = cg.guardian_id \
             WHERE g.user_id = {user} AND g.deleted_at IS NULL)"
        )
    };
}
pub(crate) use own_child;

/// A column that names a row of another table.
#[derive(Clone, Copy, Debug)]
pub struct Reference {
    /// The column.
    pub column: &'static str,
    /// The table in schema `app` that it names a row of; it has `deleted_at`.
    pub table: &'static str,
    /// Under a permission over one's own: which rows may be named, as [`Resource::OWN`] says it; none: any. Another family's row is answered like one that
    /// is not there, before a constraint could tell that it is.
    pub own: Option<&'static str>,
}

impl Reference {
    /// To a row that is nobody's own.
    #[must_use]
    pub const fn to(column: &'static str, table: &'static str) -> Self {
        Self { column, table, own: None }
    }

    /// `child_id`, of the user's own children.
    pub const CHILD: Self = Self { column: "child_id", table: "children", own: Some(own_child!("t.id")) };
}

/// The rows about children that are the user's own: those of the children it is a guardian of.
pub const OWN_CHILD: &str = own_child!("t.child_id");

/// A row about a child exists for as long as the child does.
pub const LIVE_CHILD: &str =
    "t.deleted_at IS NULL AND EXISTS (SELECT FROM app.children c WHERE c.id = t.child_id AND c.deleted_at IS NULL)";

/// Nobody's own: a permission over one's own rows reaches none of these.
pub const OWN_NONE: &str = "false AND {user}::uuid IS NULL";

/// Version of a record, and who wrote it when. The database keeps these fields.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema, FromRow)]
pub struct Stamp {
    /// Version of the record, which changes with every update. The `ETag` header carries it too.
    pub row_version: i64,
    /// Time at which the record was created, in RFC 3339 format.
    pub created_at: DateTime<Utc>,
    /// Id of the user who created the record; null if the operator or a migration created it.
    pub created_by: Option<Uuid>,
    /// Time of the last change, in RFC 3339 format.
    pub updated_at: DateTime<Utc>,
    /// Id of the user who made the last change; null if the operator or a migration made it.
    pub updated_by: Option<Uuid>,
}

/// The routes of a resource, and their part of the document.
#[must_use]
pub fn router<R: Resource>() -> OpenApiRouter<App> {
    let (schemas, paths) = document::of::<R>();
    let collection = get(list::list::<R>).post(create::create::<R>);
    let item = get(read::read::<R>).merge(patch(change::change::<R>)).merge(axum::routing::delete(remove::remove::<R>));
    let item_path = format!("{}/{{id}}", R::PATH);
    OpenApiRouter::new().routes((schemas, paths, axum::routing::MethodRouter::new())).route(R::PATH, collection).route(&item_path, item)
}

/// Which columns the answer to a write shows, and the write may name: those that its caller may read. A permission to write gives no right to read.
async fn visible_columns<R: Resource, P: Permission>(access: &Access<P>) -> Result<Columns> {
    if R::STAFF_COLUMNS.is_empty() || access.own().is_some() {
        return Ok(Columns::of(access.own()));
    }
    let reads_all = access.grants().await?.scope(R::Read::CODE) == Some(Scope::School);
    Ok(if reads_all { Columns::All } else { Columns::Own })
}

/// Refuses [`Resource::VISIBILITY_COLUMNS`] to whoever may only write its own, and to platform staff; [`Resource::STAFF_COLUMNS`] to whoever may not read them.
fn check_columns<R: Resource, P: Permission>(access: &Access<P>, body: &Value, visible: Columns) -> Result<()> {
    let names = |columns: &[&str]| columns.iter().any(|column| body.get(*column).is_some());
    if names(R::VISIBILITY_COLUMNS) {
        access.require_own_staff()?;
    }
    if visible == Columns::Own && names(R::STAFF_COLUMNS) { Err(Code::Forbidden.into()) } else { Ok(()) }
}

/// Refuses another school's account, or one that was removed, in [`Resource::ACCOUNT`].
async fn check_account<R: Resource, P: Permission>(access: &Access<P>, body: &Value) -> Result<()> {
    let Some((column, user)) = R::ACCOUNT.and_then(|column| Some((column, body.get(column)?.as_str()?))) else { return Ok(()) };
    let Ok(user) = Uuid::try_parse(user) else { return Ok(()) };
    let member = access.app().identity.require_member(UserId(user), access.tenant().entry.tenant).await;
    member.map_err(|error| match error.code {
        Code::NotFound => Error::field(column, "not_found", Text::new("não é uma conta desta escola", "is no account of this school")),
        _ => error,
    })
}

/// What a write of this resource invalidates in the caches.
fn invalidation<R: Resource>() -> Option<Invalidation> {
    R::CACHED.map(|name| Invalidation::Value(Key::new(name)))
}
