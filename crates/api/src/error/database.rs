//! Turns what PostgreSQL refused into an answer for the caller: a constraint's name says which field is wrong, and how (`docs/changing/schema.md`: `<table>_<column>_<rule>`).
//!
//! Must not quote what the server said: it holds rows and SQL.

use std::time::Duration;

use sqlx::error::DatabaseError;

use super::{Code, Error, Field, Text};

impl From<sqlx::Error> for Error {
    fn from(source: sqlx::Error) -> Self {
        postgres::Error { doing: "working for a request", source }.into()
    }
}

impl From<postgres::Error> for Error {
    fn from(error: postgres::Error) -> Self {
        let translated = error.source.as_database_error().map_or_else(|| Self::from(unanswered(&error.source)), refused);
        let stale = error.is_unreachable();
        Self { stale, ..translated.because(error) }
    }
}

/// No answer came that holds a SQLSTATE.
fn unanswered(error: &sqlx::Error) -> Code {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::Protocol(_) | sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed => {
            Code::DatabaseUnavailable
        }
        sqlx::Error::RowNotFound => Code::NotFound,
        _ => Code::Internal,
    }
}

/// By SQLSTATE (PostgreSQL manual, appendix A), and by the product's own (`docs/changing/schema.md`).
fn refused(error: &dyn DatabaseError) -> Error {
    let code = error.code().unwrap_or_default();
    match &*code {
        "23505" | "23P01" => Error { fields: named(error), ..Error::new(Code::Conflict) },
        "23502" | "23503" | "23514" => match named(error) {
            fields if fields.is_empty() => Error::new(Code::Internal),
            fields => Error::invalid(fields),
        },
        "57014" => Code::Timeout.into(),
        // Somebody else holds the row or was faster: the same request may succeed in a moment.
        // Or a standby refused a write, and is left for the primary: `access::connection`.
        "40001" | "40P01" | "55P03" | "25006" => Error::new(Code::DatabaseUnavailable).after(Duration::from_secs(1)),
        "SA001" => Code::Conflict.into(),
        "SA002" => Code::NotFound.into(),
        _ => match code.get(..2) {
            // A value that its type cannot hold, which the schema of the body let pass.
            Some("22") => Error::invalid(Vec::new()),
            Some("08" | "53" | "57" | "58") => Code::DatabaseUnavailable.into(),
            _ => Code::Internal.into(),
        },
    }
}

/// The field that a constraint's name speaks of; none when it follows no rule.
fn named(error: &dyn DatabaseError) -> Vec<Field> {
    let table = error.table().unwrap_or_default();
    let constraint = error.constraint().unwrap_or_default();
    let Some((column, rule)) =
        constraint.strip_prefix(table).and_then(|rest| rest.strip_prefix('_')).and_then(|rest| rest.rsplit_once('_'))
    else {
        // NOT NULL errors name a column that the driver does not expose; the body's schema checks it first.
        return Vec::new();
    };
    let (code, pt, en) = match rule {
        "key" => ("taken", "já existe", "already exists"),
        "overlap" => ("overlap", "sobrepõe-se a outro registo", "overlaps another record"),
        "fkey" => ("not_found", "não existe", "does not exist"),
        "length" => ("length", "comprimento inválido", "has the wrong length"),
        "range" => ("range", "fora do intervalo permitido", "is out of range"),
        "format" => ("format", "formato inválido", "has the wrong format"),
        "type" => ("type", "tipo de valor errado", "has the wrong type"),
        "known" => ("enum", "valor desconhecido", "is not a known value"),
        "order" => ("order", "está antes do início", "is before its start"),
        "required" => ("required", "campo obrigatório neste caso", "is required in this case"),
        "allowed" => ("not_allowed", "não se aplica neste caso", "does not apply in this case"),
        "complete" => ("incomplete", "faltam campos que o acompanham", "requires other fields that are missing"),
        "distinct" => ("distinct", "tem de ser outra pessoa", "must be another person"),
        "authorised" => ("not_authorised", "não está coberto por uma autorização", "is not covered by an authorisation"),
        _ => ("invalid", "valor inválido", "is not valid"),
    };
    vec![Field { field: column.to_owned(), code, message: Text::new(pt, en) }]
}
