//! The query string of a list: how many, after which, and the resource's own filters. What is not known is refused: a filter that is misspelt would
//! show more than was asked for.
//!
//! Must not ignore a parameter that it does not know.

use std::str::FromStr as _;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use serde::de::DeserializeOwned;
use sqlx::QueryBuilder;
use sqlx::postgres::Postgres;
use utoipa::IntoParams;

use super::cursor::Cursor;
use crate::body::wrong_parameters;
use crate::error::{Code, Error, Result, Text};

/// The filters of one resource's list, as they stand in the query string. Unknown ones must be denied (`#[serde(deny_unknown_fields)]`).
pub trait Filter: DeserializeOwned + IntoParams + Send + Sync + 'static {
    /// Adds ` AND …` on the table `t` for each filter that is given.
    fn narrow(&self, query: &mut QueryBuilder<Postgres>);
}

/// Narrows to the rows whose column has this value, if one is given.
pub fn equal<T>(query: &mut QueryBuilder<Postgres>, column: &'static str, value: Option<T>)
where
    T: for<'q> sqlx::Encode<'q, Postgres> + sqlx::Type<Postgres> + 'static,
{
    if let Some(value) = value {
        query.push(" AND t.").push(column).push(" = ").push_bind(value);
    }
}

/// Words of a name, as prefixes, in any order, without regard to accents and case: at most 200 characters.
#[derive(Clone, Debug, serde::Deserialize)]
#[serde(try_from = "String")]
pub struct NameSearch(String);

impl TryFrom<String> for NameSearch {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        if text.chars().count() <= 200 { Ok(Self(text)) } else { Err("longer than any name") }
    }
}

impl NameSearch {
    /// Narrows to the rows of `t` whose `search_name` has them.
    pub fn narrow(&self, query: &mut QueryBuilder<Postgres>) {
        query.push(" AND to_tsvector('pg_catalog.simple', t.search_name) @@ app.search_query(").push_bind(self.0.clone()).push(")");
    }
}

/// No filters.
#[derive(Clone, Copy, Debug, Default, serde::Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub struct Unfiltered {}

impl Filter for Unfiltered {
    fn narrow(&self, _: &mut QueryBuilder<Postgres>) {}
}

/// The rows of a page unless asked otherwise, and at most.
pub const USUAL: u32 = 50;
/// See [`USUAL`].
pub const MOST: u32 = 200;

/// What a request asks of a list.
#[derive(Clone, Debug)]
pub struct ListQuery<F> {
    /// How many rows.
    pub limit: u32,
    /// After which place; as sent.
    after: Option<String>,
    /// Which rows.
    pub filter: F,
    /// The request has no parameter: it asks for the first page, as most do.
    pub plain: bool,
}

impl<F: DeserializeOwned + IntoParams + 'static> ListQuery<F> {
    /// Reads a query string.
    ///
    /// # Errors
    /// [`Code::Validation`] with the parameter that is wrong.
    pub fn parse(query: &str) -> Result<Self> {
        let (mut limit, mut after, mut rest) = (None, None, form_urlencoded::Serializer::new(String::new()));
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            if value.contains('\0') {
                return Err(Error::field(name.replace('\0', ""), "format", Text::new("formato inválido", "has the wrong format")));
            }
            match &*name {
                "limit" if limit.is_none() => limit = Some(value.parse().ok().filter(|n| (1..=MOST).contains(n)).ok_or_else(bad_limit)?),
                "after" if after.is_none() => after = Some(value.into_owned()),
                "limit" | "after" => return Err(repeated(&name)),
                _ => {
                    rest.append_pair(&name, &value);
                }
            }
        }
        let rest = rest.finish();
        let plain = limit.is_none() && after.is_none() && rest.is_empty();
        Ok(Self { limit: limit.unwrap_or(USUAL), after, filter: read(&rest)?, plain })
    }

    /// The position to continue after, in this list.
    ///
    /// # Errors
    /// [`Code::Malformed`] for a cursor that this list did not give out.
    pub fn cursor(&self, list: &str) -> Result<Option<Cursor>> {
        self.after.as_deref().map(|text| Cursor::parse(list, text)).transpose()
    }

    /// The position to continue after, in this list that is ordered by moment and id.
    ///
    /// # Errors
    /// As [`ListQuery::cursor`].
    pub fn after_moment(&self, list: &str) -> Result<Option<(DateTime<Utc>, uuid::Uuid)>> {
        self.cursor(list)?.map(|cursor| Ok((cursor.moment()?, cursor.id))).transpose()
    }
}

/// The filters, which keep to what the document says of them.
fn read<F: DeserializeOwned + IntoParams + 'static>(query: &str) -> Result<F> {
    let query = &with_offsets(query);
    let wrong = wrong_parameters::<F>(query)?;
    if !wrong.is_empty() {
        return Err(Error::invalid(wrong));
    }
    let pairs = serde_urlencoded::Deserializer::new(form_urlencoded::parse(query.as_bytes()));
    serde_path_to_error::deserialize(pairs).map_err(|error| {
        let name = error.path().to_string();
        Error::field(name, "invalid", Text::new("parâmetro inválido ou desconhecido", "is not a valid parameter"))
            .because(error.into_inner())
    })
}

/// The query string with the plus of each time's offset, which stands for a space in a query string and which many clients send as it is.
fn with_offsets(query: &str) -> String {
    let mut restored = form_urlencoded::Serializer::new(String::new());
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        let offset = value.rsplit_once(' ').filter(|(time, offset)| {
            let is_time = time.len() >= "2026-11-23T00:00".len() && time.is_char_boundary(10) && NaiveDate::from_str(&time[..10]).is_ok();
            is_time && NaiveTime::parse_from_str(offset, "%H:%M").is_ok()
        });
        match offset {
            Some((time, offset)) => restored.append_pair(&name, &format!("{time}+{offset}")),
            None => restored.append_pair(&name, &value),
        };
    }
    restored.finish()
}

/// The query string of a resource without pages.
#[derive(Clone, Copy, Debug)]
pub struct Parameters<F>(pub F);

impl<F: DeserializeOwned + IntoParams + 'static, S: Send + Sync> FromRequestParts<S> for Parameters<F> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self> {
        read(parts.uri.query().unwrap_or_default()).map(Self)
    }
}

fn bad_limit() -> Error {
    Error::field("limit", "range", Text::new(format!("tem de estar entre 1 e {MOST}"), format!("must be between 1 and {MOST}")))
}

fn repeated(name: &str) -> Error {
    Error::field(name, "repeated", Text::new("parâmetro repetido", "is repeated"))
}

impl<F: DeserializeOwned + IntoParams + 'static, S: Send + Sync> FromRequestParts<S> for ListQuery<F> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self> {
        Self::parse(parts.uri.query().unwrap_or_default())
    }
}

/// Whether the path uses the canonical spelling: ids in lower case with hyphens, nothing percent-encoded. With several spellings the audit would record one
/// child under several paths, and a search for one of them would miss the others.
fn one_spelling(parts: &Parts) -> bool {
    let spelled = |segment: &str| uuid::Uuid::try_parse(segment).map_or(true, |id| id.hyphenated().to_string() == segment);
    let path = parts.uri.path();
    !path.contains('%') && path.split('/').all(spelled)
}

/// A row's id in the path. What is no id, or another spelling of one, names nothing.
#[derive(Clone, Copy, Debug)]
pub struct Id(pub uuid::Uuid);

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self> {
        let path = axum::extract::Path::<std::collections::HashMap<String, String>>::from_request_parts(parts, state).await;
        let id = path.ok().filter(|_| one_spelling(parts)).and_then(|path| path.get("id").and_then(|id| uuid::Uuid::try_parse(id).ok()));
        id.map(Self).ok_or_else(|| Code::NotFound.into())
    }
}

/// Everything that the path names, in its order. What does not fit, or is spelled in another way, names nothing.
#[derive(Clone, Copy, Debug)]
pub struct PathParams<T>(pub T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for PathParams<T> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self> {
        let named = axum::extract::Path::<T>::from_request_parts(parts, state).await;
        named.ok().filter(|_| one_spelling(parts)).map(|named| Self(named.0)).ok_or_else(|| Code::NotFound.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize, PartialEq, IntoParams)]
    #[serde(deny_unknown_fields)]
    struct Some {
        #[param(max_length = 5)]
        name: Option<String>,
        level: Option<u8>,
        from: Option<DateTime<Utc>>,
    }

    #[test]
    fn paging_and_filters_are_read_from_one_query_string() {
        let query = ListQuery::<Some>::parse("limit=10&name=In%C3%AAs&level=3").unwrap();
        assert_eq!((query.limit, query.plain), (10, false));
        assert_eq!(query.filter, Some { name: "Inês".to_owned().into(), level: 3.into(), from: None });
        assert!(ListQuery::<Some>::parse("").unwrap().plain);
    }

    #[test]
    fn a_plus_in_the_offset_of_a_time_is_read_however_it_is_sent() {
        let from = |query: &str| ListQuery::<Some>::parse(query).unwrap().filter.from.unwrap().to_rfc3339();
        for query in ["from=2026-11-23T00:00:00+01:00", "from=2026-11-23T00:00:00%2B01:00", "from=2026-11-23T00%3A00%3A00%2b01%3A00"] {
            assert_eq!(from(query), "2026-11-22T23:00:00+00:00", "{query}");
        }
        assert_eq!(from("from=2026-11-23T00:00:00.5-01:00"), "2026-11-23T01:00:00.500+00:00");
        for (name, kept) in [("a+b", "a b"), ("+1:30", " 1:30"), ("1+2", "1 2")] {
            assert_eq!(ListQuery::<Some>::parse(&format!("name={name}")).unwrap().filter.name.as_deref(), Option::Some(kept));
        }
    }

    #[test]
    fn what_is_wrong_unknown_or_repeated_is_named() {
        for (query, field) in [
            ("limit=0", "limit"),
            ("limit=201", "limit"),
            ("limit=x", "limit"),
            ("limit=1&limit=2", "limit"),
            ("level=x", "level"),
            ("nam=x", "nam"),
            ("name=abcdef", "name"),
        ] {
            let error = ListQuery::<Some>::parse(query).unwrap_err();
            assert_eq!((error.code, error.fields[0].field.as_str()), (Code::Validation, field), "{query}");
        }
        assert!(ListQuery::<Some>::parse("name=a%00").is_err());
    }
}
