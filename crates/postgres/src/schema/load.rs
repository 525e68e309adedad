//! Where migrations come from: embedded in the program, or a mounted directory that replaces the embedded ones.
//!
//! Must not touch a database; a list that loads is well-formed (numbered 1 to n, UTF-8, never empty, no file that ends its transaction).

use std::fmt::Write as _;
use std::path::Path;

use aws_lc_rs::digest::{Context, SHA256};
use include_dir::{Dir, include_dir};

use super::statements::{self, Token};
use super::{Concurrently, Error, Kind, Migration, Migrations, Mode, Result};

static TENANT: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/../../config/schema/tenant");
static MASTER: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/../../config/schema/master");

impl Migrations {
    /// The embedded migrations of a school's database.
    ///
    /// # Errors
    /// When the embedded files are misnamed or misnumbered, which a test rules out for a released program.
    pub fn tenant() -> Result<Self> {
        Self::embedded(Kind::Tenant, &TENANT)
    }

    /// The embedded migrations of the master database.
    ///
    /// # Errors
    /// As [`Migrations::tenant`].
    pub fn master() -> Result<Self> {
        Self::embedded(Kind::Master, &MASTER)
    }

    /// The migrations in a directory, such as a mounted `ConfigMap`; ignores names that start with a dot or do not end in `.sql`.
    ///
    /// # Errors
    /// When the directory cannot be read or its files are misnamed, misnumbered or not text, or there are none.
    pub fn from_dir(kind: Kind, path: &Path) -> Result<Self> {
        let unreadable = |source| Error::Unreadable { directory: path.display().to_string(), source };
        let mut files = Vec::new();
        for entry in std::fs::read_dir(path).map_err(unreadable)? {
            let entry = entry.map_err(unreadable)?;
            let file = entry.file_name().to_string_lossy().into_owned();
            if is_migration(&file) {
                files.push((file, std::fs::read(entry.path()).map_err(unreadable)?));
            }
        }
        Self::from_files(kind, files)
    }

    fn embedded(kind: Kind, directory: &Dir<'_>) -> Result<Self> {
        let named = directory.files().map(|file| (file.path().to_string_lossy().into_owned(), file.contents().to_vec()));
        Self::from_files(kind, named.filter(|(file, _)| is_migration(file)).collect())
    }

    fn from_files(kind: Kind, mut files: Vec<(String, Vec<u8>)>) -> Result<Self> {
        files.sort();
        let mut list = Vec::with_capacity(files.len());
        let mut digests = Vec::with_capacity(files.len());
        let mut digest = Context::new(&SHA256);
        for (expected, (file, bytes)) in (1_u32..).zip(files) {
            let migration = parse(kind, &file, bytes)?;
            if migration.version != expected {
                return Err(Error::Misnumbered { file, expected });
            }
            digest.update(migration.checksum.as_bytes());
            digests.push(hex(digest.clone().finish().as_ref()));
            list.push(migration);
        }
        if list.is_empty() { Err(Error::Empty) } else { Ok(Self { kind, list, digests }) }
    }
}

fn is_migration(file: &str) -> bool {
    !file.starts_with('.') && Path::new(file).extension().is_some_and(|extension| extension == "sql")
}

/// The first line of a file whose one statement cannot run in a transaction.
const ALONE: &str = "-- no-transaction";

fn parse(kind: Kind, file: &str, bytes: Vec<u8>) -> Result<Migration> {
    let misnamed = || Error::Misnamed { file: file.to_owned() };
    let (number, name) = file.strip_suffix(".sql").and_then(|stem| stem.split_once('_')).ok_or_else(misnamed)?;
    let word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    if number.len() != 4 || !number.bytes().all(|b| b.is_ascii_digit()) || name.is_empty() || !name.bytes().all(word) {
        return Err(misnamed());
    }
    let version = number.parse().map_err(|_| misnamed())?;
    let checksum = hex(aws_lc_rs::digest::digest(&SHA256, &bytes).as_ref());
    let sql = String::from_utf8(bytes).map_err(|_| Error::NotText { file: file.to_owned() })?;
    let statements = statements::split(&sql);
    if let Some(statement) = statements.iter().position(|statement| controls_transaction(statement)) {
        return Err(Error::TransactionControl { file: file.to_owned(), statement: statement + 1 });
    }
    let mode = if sql.lines().next().is_some_and(|line| line.trim_end() == ALONE) {
        let alone = if let [statement] = statements.as_slice() { concurrently(kind, statement) } else { None };
        Mode::Alone(alone.ok_or_else(|| Error::NotRepeatable { file: file.to_owned(), schema: kind.schema() })?)
    } else {
        Mode::Transaction
    };
    Ok(Migration { version, name: name.to_owned(), sql, mode, checksum })
}

/// The statement begins, ends or divides a transaction.
fn controls_transaction(statement: &[Token]) -> bool {
    let Some(Token::Word(first)) = statement.first() else { return false };
    match first.as_str() {
        "begin" | "start" | "commit" | "end" | "rollback" | "abort" | "savepoint" | "release" => true,
        "prepare" => statement.get(1).is_some_and(|second| second.is("transaction")),
        _ => false,
    }
}

/// The statement as one that may run alone; none when it is not one of those.
fn concurrently(kind: Kind, statement: &[Token]) -> Option<Concurrently> {
    let is = |tokens: &[Token], expected: &[&str]| {
        tokens.len() == expected.len() && tokens.iter().zip(expected).all(|(token, word)| token.is(word))
    };
    let unique = usize::from(statement.get(1)?.is("unique"));
    if statement.first()?.is("create") {
        let (head, rest) = statement.get(1 + unique..)?.split_at_checked(5)?;
        let [Token::Word(name), on, schema, Token::Symbol('.'), Token::Word(_), ..] = rest else { return None };
        let whole = is(head, &["index", "concurrently", "if", "not", "exists"]) && on.is("on") && schema.is(kind.schema());
        return (whole && name.len() <= LONGEST_NAME).then(|| Concurrently::CreateIndex(name.clone()));
    }
    let (head, rest) = statement.split_at_checked(5)?;
    let [schema, Token::Symbol('.'), Token::Word(_)] = rest else { return None };
    (is(head, &["drop", "index", "concurrently", "if", "exists"]) && schema.is(kind.schema())).then_some(Concurrently::DropIndex)
}

/// PostgreSQL cuts a longer name off.
const LONGEST_NAME: usize = 63;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(files: &[(&str, &str)]) -> Result<Migrations> {
        let directory = tempfile::tempdir().unwrap();
        for (file, sql) in files {
            std::fs::write(directory.path().join(file), sql).unwrap();
        }
        Migrations::from_dir(Kind::Tenant, directory.path())
    }

    #[test]
    fn the_embedded_migrations_are_numbered_without_gaps() {
        for migrations in [Migrations::tenant().unwrap(), Migrations::master().unwrap()] {
            assert_eq!(usize::try_from(migrations.target()).unwrap(), migrations.all().len());
            assert!(migrations.digest_at(migrations.target()).is_some());
        }
    }

    #[test]
    fn files_are_read_in_order_and_others_are_ignored() {
        let list = load(&[("0002_b.sql", "two"), ("0001_a.sql", "one"), ("README.md", "x"), (".0003_c.sql.swp", "x")]).unwrap();
        assert_eq!(list.target(), 2);
        assert_eq!(list.next_after(0).unwrap().file(), "0001_a.sql");
        assert_eq!(list.next_after(1).unwrap().sql, "two");
        assert_eq!(list.next_after(2), None);
    }

    #[test]
    fn a_checksum_is_the_sha_256_of_the_bytes() {
        let list = load(&[("0001_a.sql", "abc")]).unwrap();
        // FIPS 180-4, example of SHA-256.
        assert_eq!(list.all()[0].checksum, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }

    #[test]
    fn a_digest_covers_the_bytes_of_every_file_up_to_its_version_and_no_later_one() {
        let short_list = load(&[("0001_a.sql", "one"), ("0002_b.sql", "two")]).unwrap();
        let longer = load(&[("0001_a.sql", "one"), ("0002_b.sql", "two"), ("0003_c.sql", "three")]).unwrap();
        let edited = load(&[("0001_a.sql", "one "), ("0002_b.sql", "two")]).unwrap();
        assert_eq!(short_list.digest_at(2), longer.digest_at(2));
        assert_ne!(short_list.digest_at(2), edited.digest_at(2));
        assert_ne!(longer.digest_at(2), longer.digest_at(3));
        assert_eq!((longer.digest_at(0), longer.digest_at(4)), (None, None));
        assert_eq!(crate::schema::short(longer.digest_at(3).unwrap()).len(), 12);
    }

    #[test]
    fn a_file_that_begins_or_ends_a_transaction_is_refused_before_it_can_run_anywhere() {
        for statement in [
            "COMMIT",
            "commit and chain",
            "END",
            "ROLLBACK",
            "ABORT",
            "BEGIN",
            "START TRANSACTION",
            "SAVEPOINT a",
            "RELEASE a",
            "PREPARE TRANSACTION 'a'",
            "COMMIT PREPARED 'a'",
            "/* once */ COMMIT",
        ] {
            let refused = load(&[("0001_a.sql", &format!("CREATE TABLE a ();\n{statement};\nCREATE TABLE b ();"))]).unwrap_err();
            assert!(
                matches!(&refused, Error::TransactionControl { file, statement: 2 } if file == "0001_a.sql"),
                "{statement}: {refused:?}"
            );
            assert_eq!(refused.class(), domain::retry::Class::Invalid);
        }
        for harmless in ["DO $$ BEGIN PERFORM 1; END $$", "SELECT 'COMMIT'", "PREPARE a AS SELECT 1", "-- COMMIT;"] {
            assert_eq!(load(&[("0001_a.sql", harmless)]).unwrap().all()[0].mode, Mode::Transaction, "{harmless}");
        }
    }

    #[test]
    fn a_file_without_transaction_holds_one_statement_that_may_be_repeated() {
        let mode =
            |sql: &str| load(&[("0001_a.sql", &format!("-- no-transaction\n-- Why.\n{sql}"))]).map(|list| list.all()[0].mode.clone());
        let index = |name: &str| Mode::Alone(Concurrently::CreateIndex(name.to_owned()));
        assert_eq!(mode("CREATE INDEX CONCURRENTLY IF NOT EXISTS a_b_idx ON app.a (b);").unwrap(), index("a_b_idx"));
        assert_eq!(mode("create unique index concurrently if not exists A ON app.a (b, lower(c)) WHERE b > ';'").unwrap(), index("a"));
        assert_eq!(mode("DROP INDEX CONCURRENTLY IF EXISTS app.a_b_idx;").unwrap(), Mode::Alone(Concurrently::DropIndex));
        for refused in [
            "",
            "CREATE INDEX CONCURRENTLY a ON app.a (b)",
            "CREATE INDEX IF NOT EXISTS a ON app.a (b)",
            "CREATE INDEX CONCURRENTLY IF NOT EXISTS a ON a (b)",
            "CREATE INDEX CONCURRENTLY IF NOT EXISTS a ON public.a (b)",
            "CREATE INDEX CONCURRENTLY IF NOT EXISTS \"A\" ON app.a (b)",
            "CREATE INDEX CONCURRENTLY IF NOT EXISTS ON app.a (b)",
            "CREATE INDEX CONCURRENTLY IF NOT EXISTS a ON app.a (b); SELECT 1",
            "DROP INDEX CONCURRENTLY app.a",
            "DROP INDEX CONCURRENTLY IF EXISTS app.a, app.b",
            "DROP INDEX CONCURRENTLY IF EXISTS a",
            "REINDEX TABLE CONCURRENTLY app.a",
            "VACUUM app.a",
            "UPDATE app.a SET b = b + 1",
            "CREATE",
        ] {
            assert!(matches!(mode(refused), Err(Error::NotRepeatable { .. })), "{refused}");
        }
        let later = load(&[("0001_a.sql", "-- Why.\n-- no-transaction\nSELECT 1")]).unwrap();
        assert_eq!(later.all()[0].mode, Mode::Transaction, "only the first line says so");
    }

    #[test]
    fn gaps_doubles_bad_names_and_empty_directories_are_refused() {
        assert!(matches!(load(&[("0002_b.sql", "")]), Err(Error::Misnumbered { expected: 1, .. })));
        assert!(matches!(load(&[("0001_a.sql", ""), ("0001_b.sql", "")]), Err(Error::Misnumbered { expected: 2, .. })));
        for bad in ["1_a.sql", "0001.sql", "0001_.sql", "0001_A.sql", "a.sql", "+001_a.sql"] {
            assert!(matches!(load(&[(bad, "")]), Err(Error::Misnamed { .. })), "{bad}");
        }
        assert!(matches!(load(&[]), Err(Error::Empty)));
        assert!(matches!(Migrations::from_dir(Kind::Master, Path::new("/nowhere/at/all")), Err(Error::Unreadable { .. })));
    }
}
