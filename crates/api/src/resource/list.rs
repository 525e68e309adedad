//! A page of a list, from the place where the last one ended.
//!
//! Must not cache a page that depends on a filter, a position or the user.

use axum::response::{IntoResponse as _, Response};
use serde::{Deserialize, Serialize};
use sqlx::QueryBuilder;
use sqlx::postgres::Postgres;
use tenancy::cache::Key;

use super::cursor::Cursor;
use super::filter::ListQuery;
use super::select::{self, Found};
use super::{Filter as _, Resource};
use crate::access::Access;
use crate::answer::Page;
use crate::error::{Code, Error, Result};

/// What the cache keeps of a first page.
#[derive(Serialize, Deserialize)]
struct Kept<T> {
    records: Vec<T>,
    next: Option<String>,
}

pub(super) async fn list<R: Resource>(access: Access<R::Read>, list_query: ListQuery<R::Filter>) -> Result<Response> {
    let Kept { records, next } = match R::CACHED.filter(|_| list_query.plain && access.own().is_none()) {
        Some(name) => {
            access.app().cache.get_or_load(access.tenant().entry.tenant, Key::new(name), Box::pin(page::<R>(&access, &list_query))).await?
        }
        None => page::<R>(&access, &list_query).await?,
    };
    Ok(Page::new(records, next).into_response())
}

async fn page<R: Resource>(access: &Access<R::Read>, list_query: &ListQuery<R::Filter>) -> Result<Kept<R::Record>> {
    let cursor = list_query.cursor(R::TABLE)?;
    let mut query = select::rows::<R>(access.own());
    list_query.filter.narrow(&mut query);
    seek::<R>(&mut query, cursor.as_ref(), list_query.limit);
    let mut conn = access.connection().await?;
    let found: Vec<Found<R::Record>> =
        query.build_query_as().fetch_all(&mut *conn).await.map_err(|error| misplaced(error, cursor.is_some()))?;
    conn.finish();
    Ok(cut(R::TABLE, found, list_query.limit))
}

/// After the cursor's place, in order, and one row more than asked for: it says whether another page follows.
fn seek<R: Resource>(query: &mut QueryBuilder<Postgres>, after: Option<&Cursor>, limit: u32) {
    let order = R::ORDER;
    if let Some(Cursor { place, id, is_cut, .. }) = after {
        query.push(format!(" AND ({}, t.id) {} (", order.column, order.comparison()));
        if *is_cut {
            // A row that was renamed or removed meanwhile: some rows may come twice, and none is left out.
            query.push(format!(
                "coalesce((SELECT {column}::text FROM app.{table} t WHERE t.id = ",
                column = order.column,
                table = R::TABLE
            ));
            query.push_bind(*id).push(format!(" AND starts_with({}::text, ", order.column)).push_bind(place.clone()).push(")), ");
            query.push_bind(place.clone()).push(format!("::text)::{}, ", order.of)).push_bind(*id).push(")");
        } else {
            query.push_bind(place.clone()).push(format!("::text::{}, ", order.of)).push_bind(*id).push(")");
        }
    }
    let direction = order.direction();
    query.push(format!(" ORDER BY {} {direction}, t.id {direction} LIMIT ", order.column)).push_bind(i64::from(limit) + 1);
}

fn cut<T>(list: &str, mut found: Vec<Found<T>>, limit: u32) -> Kept<T> {
    let more = found.len() > limit as usize;
    found.truncate(limit as usize);
    let next = found.last().filter(|_| more).map(|last| Cursor::new(list, last.place.clone(), last.id).text());
    Kept { records: found.into_iter().map(|found| found.record).collect(), next }
}

/// A cursor whose place is no value of the order's type was not given out by this list.
fn misplaced(error: sqlx::Error, cursor: bool) -> Error {
    let sqlstate = error.as_database_error().and_then(sqlx::error::DatabaseError::code).unwrap_or_default().into_owned();
    if cursor && sqlstate.starts_with("22") { Error::new(Code::Malformed).because(error) } else { error.into() }
}
