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
    /// A file begins, ends or divides a transaction. What it committed would be repeated with every retry.
    #[error(
        "migration {file} has a transaction statement (its statement {statement}); remove it: each file runs in one transaction with its record"
    )]
    TransactionControl {
        /// The file.
        file: String,
        /// Which of its statements, from 1.
        statement: usize,
    },
    /// A file says that it runs without a transaction, but is not one statement that may be repeated after a crash.
    #[error(
        "migration {file} says no-transaction; it must be one statement, CREATE [UNIQUE] INDEX CONCURRENTLY IF NOT EXISTS name ON {schema}.table or \
         DROP INDEX CONCURRENTLY IF EXISTS {schema}.name"
    )]
    NotRepeatable {
        /// The file.
        file: String,
        /// The schema that its table or index must name.
        schema: &'static str,
    },
    /// An index is not there or not valid after the file that creates it: something else has its name.
    #[error("migration {file} left no valid index {index}; something else has that name")]
    NoIndex {
        /// The file.
        file: String,
        /// The index.
        index: String,
    },
    /// Another session is applying migrations to the database; after a crash, the server may still be at work on one.
    #[error("migration {file} waits for another migration of the same database")]
    Busy {
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
    /// A file failed; nothing of it remains. Of a file that runs alone, the next attempt removes what remains.
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
            Self::Failed { source, .. } => source.sqlstate().map_or_else(|| source.class(), |code| class_of_file(&code, source.class())),
            Self::Record(source) => source.class(),
            Self::Unreadable { .. } => Class::Transient,
            Self::Unknown { .. } => Class::Bug,
            Self::Busy { .. } => Class::Contended,
            Self::Empty
            | Self::Misnamed { .. }
            | Self::Misnumbered { .. }
            | Self::NotText { .. }
            | Self::TransactionControl { .. }
            | Self::NotRepeatable { .. }
            | Self::NoIndex { .. }
            | Self::Edited { .. }
            | Self::Gap { .. }
            | Self::Ahead { .. }
            | Self::EndedTransaction { .. } => Class::Invalid,
        }
    }
}

/// The class of a file's failure. What is no mistake of the file or the data passes by itself: locks, load, and a server that is read-only for a while.
fn class_of_file(code: &str, elsewhere: Class) -> Class {
    match code {
        "42501" => Class::Denied,
        // A server that is read-only, and time-outs of transactions.
        crate::error::READ_ONLY | "25P03" | "25P04" => Class::Transient,
        "55P03" => Class::Contended,
        _ => match &code[..2] {
            // Among them 25001, a statement that cannot run in a transaction, 2D000, a COMMIT in a block, and 55006, a table that the file itself still uses.
            "0A" | "21" | "22" | "23" | "25" | "2B" | "2D" | "2F" | "38" | "39" | "3B" | "3D" | "3F" | "42" | "44" | "54" | "55" | "P0" => {
                Class::Invalid
            }
            _ => elsewhere,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_file_does_wrong_is_never_taken_for_something_that_passes() {
        for code in
            ["25001", "25P01", "25P02", "2D000", "55006", "55000", "55P04", "0A000", "21000", "23505", "42P07", "3F000", "54000", "P0001"]
        {
            for elsewhere in [Class::Transient, Class::Contended, Class::Bug] {
                assert_eq!(class_of_file(code, elsewhere), Class::Invalid, "{code}");
            }
        }
        for (code, class) in
            [("25006", Class::Transient), ("25P03", Class::Transient), ("55P03", Class::Contended), ("42501", Class::Denied)]
        {
            assert_eq!(class_of_file(code, Class::Bug), class, "{code}");
        }
        assert_eq!(class_of_file("40P01", Class::Contended), Class::Contended);
        assert_eq!(class_of_file("53100", Class::Transient), Class::Transient);
    }
}
