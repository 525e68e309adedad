//! Dates and times as a database may hold them, read as dates and times that clients can read.
//!
//! PostgreSQL knows `infinity` and years that neither this program nor JSON's dates have. Constraints refuse them, but a row from before may hold one, and one
//! row must not spoil the list that it is in. Must not fail, nor change a value that clients can read.

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use sqlx::error::BoxDynError;
use sqlx::postgres::{PgTypeInfo, PgValueFormat, PgValueRef, Postgres};
use sqlx::{Decode, Type, ValueRef as _};

/// A date in a column: `#[sqlx(try_from = "StoredDate")]` on a field of a row. Where a date may be absent, `infinity` is absent: no end. Otherwise the nearest date of
/// the years 1 to 9999.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StoredDate(Stored<NaiveDate>);

/// A moment in a column: as [`StoredDate`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StoredMoment(Stored<DateTime<Utc>>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stored<T> {
    Null,
    Value(T),
    Infinity,
}

impl<T: Copy> Stored<T> {
    fn or_nearest(self, last: T) -> T {
        match self {
            Self::Value(value) => value,
            Self::Null | Self::Infinity => last,
        }
    }

    fn finite(self) -> Option<T> {
        match self {
            Self::Value(value) => Some(value),
            Self::Null | Self::Infinity => None,
        }
    }
}

impl From<StoredDate> for NaiveDate {
    fn from(stored: StoredDate) -> Self {
        stored.0.or_nearest(last_day())
    }
}

impl From<StoredDate> for Option<NaiveDate> {
    fn from(stored: StoredDate) -> Self {
        stored.0.finite()
    }
}

impl From<StoredMoment> for DateTime<Utc> {
    fn from(stored: StoredMoment) -> Self {
        stored.0.or_nearest(last_moment())
    }
}

impl From<StoredMoment> for Option<DateTime<Utc>> {
    fn from(stored: StoredMoment) -> Self {
        stored.0.finite()
    }
}

/// 1 January of the year 1.
fn first_day() -> NaiveDate {
    NaiveDate::from_ymd_opt(1, 1, 1).unwrap_or_default()
}

/// 31 December 9999.
fn last_day() -> NaiveDate {
    NaiveDate::from_ymd_opt(9999, 12, 31).unwrap_or_default()
}

fn last_moment() -> DateTime<Utc> {
    last_day().and_hms_opt(23, 59, 59).unwrap_or_default().and_utc()
}

/// The days since 2000-01-01, as PostgreSQL sends a date.
fn date(days: i32) -> Stored<NaiveDate> {
    let (first, last) = (first_day(), last_day());
    match days {
        i32::MAX => Stored::Infinity,
        i32::MIN => Stored::Value(first),
        days => {
            let date = epoch().checked_add_signed(TimeDelta::days(days.into()));
            Stored::Value(date.map_or(if days < 0 { first } else { last }, |date| date.clamp(first, last)))
        }
    }
}

/// The microseconds since 2000-01-01, as PostgreSQL sends a moment.
fn moment(microseconds: i64) -> Stored<DateTime<Utc>> {
    let (first, last) = (first_day().and_hms_opt(0, 0, 0).unwrap_or_default().and_utc(), last_moment());
    match microseconds {
        i64::MAX => Stored::Infinity,
        i64::MIN => Stored::Value(first),
        microseconds => {
            let epoch = epoch().and_hms_opt(0, 0, 0).unwrap_or_default().and_utc();
            let moment = epoch.checked_add_signed(TimeDelta::microseconds(microseconds));
            Stored::Value(moment.map_or(if microseconds < 0 { first } else { last }, |moment| moment.clamp(first, last)))
        }
    }
}

fn epoch() -> NaiveDate {
    NaiveDate::from_ymd_opt(2000, 1, 1).unwrap_or_default()
}

impl Type<Postgres> for StoredDate {
    fn type_info() -> PgTypeInfo {
        <NaiveDate as Type<Postgres>>::type_info()
    }
}

impl<'r> Decode<'r, Postgres> for StoredDate {
    fn decode(value: PgValueRef<'r>) -> Result<Self, BoxDynError> {
        if value.is_null() {
            return Ok(Self(Stored::Null));
        }
        match value.format() {
            PgValueFormat::Binary => Ok(Self(date(i32::from_be_bytes(value.as_bytes()?.try_into()?)))),
            PgValueFormat::Text => NaiveDate::decode(value).map(|date| Self(Stored::Value(date))),
        }
    }
}

impl Type<Postgres> for StoredMoment {
    fn type_info() -> PgTypeInfo {
        <DateTime<Utc> as Type<Postgres>>::type_info()
    }
}

impl<'r> Decode<'r, Postgres> for StoredMoment {
    fn decode(value: PgValueRef<'r>) -> Result<Self, BoxDynError> {
        if value.is_null() {
            return Ok(Self(Stored::Null));
        }
        match value.format() {
            PgValueFormat::Binary => Ok(Self(moment(i64::from_be_bytes(value.as_bytes()?.try_into()?)))),
            PgValueFormat::Text => DateTime::<Utc>::decode(value).map(|moment| Self(Stored::Value(moment))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_clients_can_read_stays_and_everything_else_becomes_the_nearest() {
        let of = |days| NaiveDate::from(StoredDate(date(days)));
        assert_eq!(of(9_457).to_string(), "2025-11-22");
        assert_eq!([of(i32::MAX), of(2_921_939), of(i32::MAX - 1)].map(|date| date.to_string()), ["9999-12-31"; 3]);
        assert_eq!([of(i32::MIN), of(-730_119), of(-730_120), of(i32::MIN + 1)].map(|date| date.to_string()), ["0001-01-01"; 4]);
        let of = |microseconds| DateTime::<Utc>::from(StoredMoment(moment(microseconds))).to_rfc3339();
        assert_eq!(of(817_084_800_000_001), "2025-11-22T00:00:00.000001+00:00");
        assert_eq!([of(i64::MAX), of(i64::MAX - 1)], ["9999-12-31T23:59:59+00:00"; 2]);
        assert_eq!([of(i64::MIN), of(i64::MIN + 1)], ["0001-01-01T00:00:00+00:00"; 2]);
    }

    #[test]
    fn no_end_is_absent_and_an_end_long_ago_is_not() {
        let of = |days| Option::<NaiveDate>::from(StoredDate(date(days)));
        assert_eq!(of(i32::MAX), None);
        assert_eq!(of(i32::MIN).map(|date| date.to_string()).as_deref(), Some("0001-01-01"));
        assert_eq!(Option::<NaiveDate>::from(StoredDate(Stored::Null)), None);
        assert_eq!(Option::<DateTime<Utc>>::from(StoredMoment(moment(i64::MAX))), None);
    }
}
