//! Writes a batch of audit records, and finds those that the database refuses.
//!
//! Must not let one bad record cost the others of its batch.

use sqlx::postgres::PgConnection;

use super::record::Record;
use super::table::Table;

/// Writes all records in one statement, or one by one if the database refuses a value in one of them. Returns how many it refused.
pub(super) async fn insert(conn: &mut PgConnection, table: Table, records: &[Record]) -> postgres::Result<usize> {
    match table.insert(conn, records).await {
        Err(error) if is_refusal(&error) => {}
        written => return written.map(|()| 0),
    }
    let mut refused = 0;
    for record in records {
        match table.insert(conn, std::slice::from_ref(record)).await {
            Err(error) if is_refusal(&error) => refused += 1,
            written => written?,
        }
    }
    Ok(refused)
}

/// The values are to blame (data exceptions, violated constraints), so a retry would fail too.
fn is_refusal(error: &postgres::Error) -> bool {
    error.sqlstate().is_some_and(|code| code.starts_with("22") || code.starts_with("23"))
}
