//! Pages cite tests by name: each cited test exists. A test that is renamed takes its citations with it.
//!
//! Must not check links or pages: `dev/check-links` does.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::{fs, io};

/// So many words make a backticked name a test's. Shorter ones are functions, columns and files.
const SENTENCE: usize = 5;

/// Every file below a directory with this extension, hidden and built ones left out.
fn files(directory: &Path, extension: &str) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.starts_with('.') || name == "target" {
            continue;
        }
        if path.is_dir() {
            found.extend(files(&path, extension)?);
        } else if path.extension().is_some_and(|it| it == extension) {
            found.push(path);
        }
    }
    Ok(found)
}

/// The functions of a source file that are tests.
fn tests(source: &str) -> impl Iterator<Item = String> {
    let functions = source.split("test]\n").chain(source.split("test(").skip(1)).skip(1).filter_map(|rest| {
        let (before, after) = rest.split_once("fn ")?;
        (before.len() < 200).then(|| after.split('(').next().unwrap_or_default().to_owned())
    });
    functions.collect::<Vec<_>>().into_iter()
}

/// The names in backticks that are sentences, without the path before them.
fn citations(page: &str) -> impl Iterator<Item = &str> {
    let quoted = page.split('`').skip(1).step_by(2).map(|name| name.rsplit("::").next().unwrap_or_default());
    let plain = |name: &str| name.chars().all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '_');
    quoted.filter(move |name| plain(name) && !name.starts_with("dailycare_") && name.split('_').count() >= SENTENCE)
}

#[test]
fn every_test_that_a_page_cites_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let sources = files(root, "rs").unwrap();
    let tests: BTreeSet<String> = sources.iter().flat_map(|path| tests(&fs::read_to_string(path).unwrap()).collect::<Vec<_>>()).collect();
    assert!(tests.len() > 600, "found {} tests only", tests.len());
    let mut cited = 0;
    for path in files(root, "md").unwrap() {
        let page = fs::read_to_string(&path).unwrap();
        for name in citations(&page) {
            assert!(tests.contains(name), "{} cites {name}, which is no test", path.display());
            cited += 1;
        }
    }
    assert!(cited > 100, "found {cited} citations only");
}
