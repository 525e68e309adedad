//! Work on tenant servers, on PostgreSQL 15 and 18, as a superuser and as a plain CREATEDB and CREATEROLE admin.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking, in its helpers too")]

mod accessing;
mod claiming;
mod dropping;
mod fixtures;
mod identifying;
mod migrating;
mod passwords;
mod preparing;
mod templates;
