//! The locale of the databases that the product creates: the same on every server, and without a version of the operating system's that an upgrade changes.
//!
//! Must not be used for databases that stand: a locale is chosen when a database is created.

use super::error::Error;

/// What `CREATE DATABASE … TEMPLATE template0 ENCODING 'UTF8'` says for it on a server of this `server_version_num`. Text sorts by code point, and letters are those
/// of Unicode. From 17 on PostgreSQL brings it along; before, it is the operating system's `C.UTF-8`, which has no version and which some systems lack.
#[must_use]
pub fn portable(version_num: i32) -> &'static str {
    if version_num >= 170_000 {
        "LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C.UTF-8' LC_COLLATE 'C' LC_CTYPE 'C'"
    } else {
        "LOCALE_PROVIDER libc LC_COLLATE 'C' LC_CTYPE 'C.UTF-8'"
    }
}

/// The operating system does not have the locale; the server's own must do.
#[must_use]
pub fn is_unknown(error: &Error) -> bool {
    error.is("42809")
}
