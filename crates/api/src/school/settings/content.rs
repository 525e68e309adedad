//! Checks the value of a setting beyond its JSON type, so that every reader can use it.
//!
//! Must not refuse a key that it does not know: it comes from a newer migration, and only its JSON type is checked.

use std::collections::HashSet;

use chrono::NaiveDate;
use serde_json::{Map, Value};
use sqlx::postgres::PgConnection;

use super::time_zones;
use crate::error::{Error, Field, Result, Text};

/// The key of the time zone.
const TIME_ZONE: &str = "school.time_zone";
const WEEKDAYS: [&str; 7] = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];
const MEALS: [&str; 6] = ["breakfast", "morning_snack", "lunch", "afternoon_snack", "dinner", "bottle"];
/// The maximum length in bytes of JSON, as in the table's constraint `settings_value_length`. It is checked first.
const LONGEST: usize = 16_384;
/// The maximum number of days of warning, a year.
const LONGEST_WARNING: u64 = 366;
/// The maximum length of a language tag (BCP 47, section 4.4.1).
const LONGEST_LOCALE: usize = 35;

/// The value as it is stored: an old name of a time zone becomes today's, which every server knows.
pub(super) fn stored(key: &str, value: Value) -> Value {
    match value {
        Value::String(name) if key == TIME_ZONE => time_zones::today(&name).into(),
        value => value,
    }
}

/// Refuses a value of another JSON type, or one that this setting cannot have.
pub(super) async fn check(conn: &mut PgConnection, key: &str, kind: &str, value: &Value) -> Result<()> {
    let mut violations = Violations::default();
    violations.value(key, kind, value);
    if violations.0.is_empty() && key == TIME_ZONE && !is_time_zone(conn, value).await? {
        violations.add("value", "time_zone", "não é um fuso horário IANA", "is not an IANA time zone");
    }
    if violations.0.is_empty() { Ok(()) } else { Err(Error::invalid(violations.0)) }
}

/// Whether PostgreSQL, which computes the school's days, knows the time zone. Names that PostgreSQL adds to those of IANA differ between servers.
async fn is_time_zone(conn: &mut PgConnection, value: &Value) -> Result<bool> {
    let select = "SELECT EXISTS (SELECT FROM pg_catalog.pg_timezone_names
                WHERE name = $1 AND name !~ '^(posix|right)/' AND name NOT IN ('localtime', 'posixrules', 'Factory'))";
    Ok(sqlx::query_scalar(select).bind(value.as_str()).fetch_one(conn).await?)
}

/// The violations found so far.
#[derive(Default)]
struct Violations(Vec<Field>);

impl Violations {
    fn value(&mut self, key: &str, kind: &str, value: &Value) {
        match (key, value) {
            _ if kind_of(value) != kind => self.add("value", "type", "tipo de valor errado", "has the wrong type"),
            _ if value.to_string().len() > LONGEST => self.add("value", "length", "comprimento inválido", "has the wrong length"),
            ("school.locale", Value::String(text)) if !is_locale(text) => self.malformed("value"),
            ("school.opening_hours", Value::Object(days)) => self.each(days, &WEEKDAYS, Self::hours),
            ("school.closed_days", Value::Array(days)) => self.days(days),
            ("school.year_start", Value::String(text)) if day(&format!("2001-{text}")).is_none() => self.malformed("value"),
            ("meals.times", Value::Object(meals)) => self.each(meals, &MEALS, Violations::time),
            ("naps.time", Value::Object(nap)) => self.nap(nap),
            ("authorisations.warn_days", value) if value.as_u64().is_none_or(|days| days > LONGEST_WARNING) => self.add(
                "value",
                "range",
                &format!("tem de ser um número inteiro de 0 a {LONGEST_WARNING}"),
                &format!("must be a whole number from 0 to {LONGEST_WARNING}"),
            ),
            _ => {}
        }
    }

    /// Checks every value, and refuses unknown names.
    fn each(&mut self, fields: &Map<String, Value>, known: &[&str], check: impl Fn(&mut Self, &str, &Value)) {
        for (name, value) in fields {
            let at = format!("value.{name}");
            if known.contains(&name.as_str()) {
                check(self, &at, value);
            } else {
                self.add(&at, "unknown", "campo desconhecido", "is not a known field");
            }
        }
    }

    /// Checks the times of opening and closing.
    fn hours(&mut self, at: &str, value: &Value) {
        match value.as_array().map(Vec::as_slice) {
            Some([opens, closes]) => self.span((&format!("{at}.0"), opens), (&format!("{at}.1"), closes)),
            _ => self.malformed(at),
        }
    }

    fn nap(&mut self, nap: &Map<String, Value>) {
        self.each(nap, &["start", "end"], |_, _, _| {});
        match (nap.get("start"), nap.get("end")) {
            (Some(start), Some(end)) => self.span(("value.start", start), ("value.end", end)),
            (start, _) => {
                let missing = if start.is_none() { "value.start" } else { "value.end" };
                self.add(missing, "required", "campo obrigatório", "is required");
            }
        }
    }

    /// Checks a time of day, and a later one.
    fn span(&mut self, (from, start): (&str, &Value), (until, end): (&str, &Value)) {
        self.time(from, start);
        self.time(until, end);
        if minute(start).zip(minute(end)).is_some_and(|(start, end)| start >= end) {
            self.add(until, "order", "está antes do início", "is before its start");
        }
    }

    fn time(&mut self, at: &str, value: &Value) {
        if minute(value).is_none() {
            self.add(at, "format", "não é uma hora no formato HH:MM", "is not a time in the form HH:MM");
        }
    }

    fn days(&mut self, days: &[Value]) {
        let mut known = HashSet::new();
        for (i, value) in days.iter().enumerate() {
            let at = format!("value.{i}");
            match value.as_str().and_then(day) {
                None => self.add(&at, "format", "não é uma data no formato AAAA-MM-DD", "is not a date in the form YYYY-MM-DD"),
                Some(day) if !known.insert(day) => self.add(&at, "repeated", "há elementos repetidos", "has repeated items"),
                Some(_) => {}
            }
        }
    }

    fn malformed(&mut self, at: &str) {
        self.add(at, "format", "formato inválido", "has the wrong format");
    }

    fn add(&mut self, field: &str, code: &'static str, pt: &str, en: &str) {
        self.0.push(Field { field: field.to_owned(), code, message: Text::new(pt, en) });
    }
}

/// The JSON type, as `jsonb_typeof` names it.
fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// Whether the text is a language tag in the form that the schema requires everywhere.
fn is_locale(text: &str) -> bool {
    let (language, rest) = text.split_once('-').map_or((text, None), |(language, rest)| (language, Some(rest)));
    let part = |part: &str| (2..=8).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_alphanumeric());
    text.len() <= LONGEST_LOCALE
        && (2..=3).contains(&language.len())
        && language.bytes().all(|b| b.is_ascii_lowercase())
        && rest.is_none_or(|rest| rest.split('-').all(part))
}

/// Minutes since midnight of exactly `HH:MM`.
fn minute(value: &Value) -> Option<u16> {
    let (hour, minute) = value.as_str()?.split_once(':')?;
    let digits = |text: &str| (text.len() == 2 && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse::<u16>().ok()).flatten();
    let (hour, minute) = (digits(hour)?, digits(minute)?);
    (hour < 24 && minute < 60).then_some(hour * 60 + minute)
}

/// Exactly `YYYY-MM-DD`.
fn day(text: &str) -> Option<NaiveDate> {
    NaiveDate::parse_from_str(text, "%Y-%m-%d").ok().filter(|day| day.to_string() == text)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn wrong(key: &str, kind: &str, value: &Value) -> Vec<(String, &'static str)> {
        let mut violations = Violations::default();
        violations.value(key, kind, value);
        violations.0.into_iter().map(|field| (field.field, field.code)).collect()
    }

    #[test]
    fn what_a_setting_means_is_accepted() {
        for (key, kind, value) in [
            ("school.locale", "string", json!("pt-PT")),
            ("school.opening_hours", "object", json!({"monday": ["07:30", "19:00"], "sunday": ["00:00", "23:59"]})),
            ("school.opening_hours", "object", json!({})),
            ("school.closed_days", "array", json!(["2026-12-24", "2026-12-25"])),
            ("school.year_start", "string", json!("09-01")),
            ("meals.times", "object", json!({"lunch": "11:45", "dinner": "19:00"})),
            ("naps.time", "object", json!({"start": "13:00", "end": "15:00"})),
            ("authorisations.warn_days", "number", json!(0)),
            ("pick_up.require_authorisation", "boolean", json!(false)),
            ("newer.key", "object", json!({"anything": [1, null]})),
        ] {
            assert_eq!(wrong(key, kind, &value), [], "{key} = {value}");
        }
    }

    #[test]
    fn what_is_longer_than_any_value_is_refused_for_that_alone() {
        // A list of quotes around 10 characters, with commas.
        let days = |bytes: usize| json!(vec!["2026-12-25"; (bytes - 1) / 13]);
        assert_eq!(wrong("school.closed_days", "array", &days(LONGEST + 14)), [("value".to_owned(), "length")]);
        assert_eq!(wrong("newer.key", "string", &json!("a".repeat(LONGEST - 1))), [("value".to_owned(), "length")]);
        assert_eq!(wrong("newer.key", "string", &json!("a".repeat(LONGEST - 2))), []);
        let repeated = wrong("school.closed_days", "array", &days(LONGEST));
        assert!(repeated.len() == days(LONGEST).as_array().unwrap().len() - 1 && repeated.iter().all(|(_, code)| *code == "repeated"));
    }

    #[test]
    fn what_it_cannot_mean_is_named_where_it_is() {
        for (key, kind, value, field, code) in [
            ("school.locale", "string", json!(null), "value", "type"),
            ("pick_up.require_authorisation", "boolean", json!("true"), "value", "type"),
            ("newer.key", "array", json!({}), "value", "type"),
            ("school.locale", "string", json!("Português"), "value", "format"),
            ("school.locale", "string", json!("pt-"), "value", "format"),
            ("school.opening_hours", "object", json!({"monday": ["19:00", "07:30"]}), "value.monday.1", "order"),
            ("school.opening_hours", "object", json!({"monday": ["7:30", "19:00"]}), "value.monday.0", "format"),
            ("school.opening_hours", "object", json!({"monday": ["07:30", "24:00"]}), "value.monday.1", "format"),
            ("school.opening_hours", "object", json!({"monday": "07:30"}), "value.monday", "format"),
            ("school.opening_hours", "object", json!({"segunda": ["07:30", "19:00"]}), "value.segunda", "unknown"),
            ("school.closed_days", "array", json!(["2026-02-30"]), "value.0", "format"),
            ("school.closed_days", "array", json!(["2026-12-25", "2026-12-25"]), "value.1", "repeated"),
            ("school.closed_days", "array", json!([20_261_225]), "value.0", "format"),
            ("school.year_start", "string", json!("02-29"), "value", "format"),
            ("school.year_start", "string", json!("9-1"), "value", "format"),
            ("meals.times", "object", json!({"lunch": "+1:45"}), "value.lunch", "format"),
            ("meals.times", "object", json!({"tea": "16:00"}), "value.tea", "unknown"),
            ("naps.time", "object", json!({"start": "13:00"}), "value.end", "required"),
            ("naps.time", "object", json!({"start": "13:00", "end": "13:00"}), "value.end", "order"),
            ("authorisations.warn_days", "number", json!(-1), "value", "range"),
            ("authorisations.warn_days", "number", json!(1.5), "value", "range"),
        ] {
            assert_eq!(wrong(key, kind, &value), [(field.to_owned(), code)], "{key} = {value}");
        }
    }
}
