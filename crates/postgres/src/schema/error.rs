//! What can be wrong with migrations, as files and as records in a database.
//!
//! Must not carry SQL: files are named instead.

use domain::retry::Class;

/// Why migrations could not be read or applied.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The mounted directory or a file in it could not be read.
    #[error("reading the migrations in {directory} failed")]
    Unreadable {
        /// The directory.
        directory: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// There is no migration at all.
    #[error("there are no migrations; name them NNNN_name.sql")]
    Empty,
    /// An SQL file whose name has no number.
    #[error("migration {file} must be named NNNN_name.sql, in lower-case letters, digits and underscores")]
    Misnamed {
        /// The file.
        file: String,
    },
    /// A number is missing or there twice.
    #[error("migration {file} should have the number {expected}; numbers go from 1 without gaps")]
    Misnumbered {
        /// The file.
        file: String,
        /// The number expected in its place.
        expected: u32,
    },
    /// A file is not text.
    #[error("migration {file} is not UTF-8 text")]
    NotText {
        /// The file.
        file: String,
    },
    /// The database had another file applied under this number.
    #[error("migration {file} was edited after this database applied it; restore the file and add a new one")]
    Edited {
        /// The file, under its present name.
        file: String,
    },
    /// The records, or what is to be applied next, skip a number.
    #[error("migration {next} cannot follow {recorded}, the last one this database has applied in order")]
    Gap {
        /// The last of the recorded versions that has no gap before it.
        recorded: u32,
        /// The version found or asked for after it.
        next: u32,
    },
    /// The database has applied more than this program knows.
    #[error("this database is at migration {recorded}, but this program knows {known} only; run a newer one")]
    Ahead {
        /// The last recorded version.
        recorded: u32,
        /// The last known version.
        known: u32,
    },
    /// The migration is not one of the list it was to be applied from.
    #[error("migration {file} is not in this list")]
    Unknown {
        /// The file.
        file: String,
    },
    /// A file failed; nothing of it remains.
    #[error("migration {file} failed")]
    Failed {
        /// The file.
        file: String,
        /// PostgreSQL's error.
        #[source]
        source: crate::Error,
    },
    /// A file ended the transaction that it ran in, so parts of it may remain.
    #[error("migration {file} ended its transaction; remove COMMIT and ROLLBACK from it and check the database by hand")]
    EndedTransaction {
        /// The file.
        file: String,
    },
    /// Reading or writing `schema_migrations`, or writing the ownership comment, failed.
    #[error("keeping the record of migrations failed")]
    Record(#[source] crate::Error),
}

/// The result of reading or applying migrations.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// The SQLSTATE, when the server sent one.
    #[must_use]
    pub fn sqlstate(&self) -> Option<String> {
        match self {
            Self::Failed { source, .. } | Self::Record(source) => source.sqlstate(),
            _ => None,
        }
    }

    /// How the caller goes on. Errors that elsewhere are races, such as an object that exists already, are mistakes of the file or the data here.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            Self::Failed { source, .. } => match source.sqlstate().as_deref() {
                Some("42501") => Class::Denied,
                Some(code) if matches!(&code[..2], "0A" | "22" | "23" | "2B" | "42" | "P0") => Class::Invalid,
                _ => source.class(),
            },
            Self::Record(source) => source.class(),
            Self::Unreadable { .. } => Class::Transient,
            Self::Unknown { .. } => Class::Bug,
            Self::Empty
            | Self::Misnamed { .. }
            | Self::Misnumbered { .. }
            | Self::NotText { .. }
            | Self::Edited { .. }
            | Self::Gap { .. }
            | Self::Ahead { .. }
            | Self::EndedTransaction { .. } => Class::Invalid,
        }
    }
}
