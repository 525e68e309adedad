//! Where migrations come from: embedded in the program, or a mounted directory that replaces the embedded ones.
//!
//! Must not touch a database; a list that loads is well-formed (numbered 1 to n, UTF-8, never empty).

use std::fmt::Write as _;
use std::path::Path;

use aws_lc_rs::digest::{Context, SHA256};
use include_dir::{Dir, include_dir};

use super::{Error, Kind, Migration, Migrations, Result};

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
            let migration = parse(&file, bytes)?;
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

fn parse(file: &str, bytes: Vec<u8>) -> Result<Migration> {
    let misnamed = || Error::Misnamed { file: file.to_owned() };
    let (number, name) = file.strip_suffix(".sql").and_then(|stem| stem.split_once('_')).ok_or_else(misnamed)?;
    let word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    if number.len() != 4 || !number.bytes().all(|b| b.is_ascii_digit()) || name.is_empty() || !name.bytes().all(word) {
        return Err(misnamed());
    }
    let version = number.parse().map_err(|_| misnamed())?;
    let checksum = hex(aws_lc_rs::digest::digest(&SHA256, &bytes).as_ref());
    let sql = String::from_utf8(bytes).map_err(|_| Error::NotText { file: file.to_owned() })?;
    Ok(Migration { version, name: name.to_owned(), sql, checksum })
}

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
