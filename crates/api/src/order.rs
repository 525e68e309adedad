//! Holds the crate's modules to the order in which `lib.rs` names them.
//!
//! `tests/architecture/circles.rs` proves that some order exists, in every crate and at every depth. This test fixes which one it is at the top of this
//! crate: `error` may not use `edge`, even where no circle results. Must not repeat the search for circles.

use std::path::{Path, PathBuf};

const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src");

/// The modules in the order of `lib.rs`' documentation.
fn modules() -> Vec<String> {
    let lib = std::fs::read_to_string(Path::new(SOURCE).join("lib.rs")).unwrap();
    let groups = lib.lines().filter_map(|line| line.strip_prefix("//! - ")?.split_once(": "));
    groups.flat_map(|(_, names)| names.split(", ").map(|name| name.trim_matches('`').to_owned()).collect::<Vec<_>>()).collect()
}

fn files(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()) {
        match entry.extension() {
            None => files(&entry, found),
            Some(extension) if extension == "rs" => found.push(entry),
            Some(_) => {}
        }
    }
}

/// The names after `start` in a text: `crate::name`, or each name of `super::{name, …}`.
fn named<'a>(text: &'a str, start: &'a str) -> impl Iterator<Item = &'a str> {
    text.split(start).skip(1).flat_map(|rest| {
        let (names, one) = match rest.strip_prefix('{') {
            Some(list) => (list.split('}').next().unwrap_or_default(), false),
            None => (rest, true),
        };
        let modules = names.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').filter(|word| !word.is_empty());
        modules.take(if one { 1 } else { usize::MAX })
    })
}

#[test]
fn no_module_uses_one_that_stands_below_it() {
    let (modules, mut sources, mut wrong) = (modules(), Vec::new(), Vec::new());
    let place = |name: &str| modules.iter().position(|module| module == name);
    files(Path::new(SOURCE), &mut sources);
    for source in sources {
        let path = source.strip_prefix(SOURCE).unwrap().with_extension("");
        let module = path.iter().next().unwrap().to_str().unwrap();
        let Some(own) = place(module) else { continue };
        let text = std::fs::read_to_string(&source).unwrap();
        let above = if path.iter().count() == 1 { "super::" } else { "crate::" };
        let used = named(&text, "crate::").chain(named(&text, above)).filter(|name| place(name).is_some_and(|place| place > own));
        wrong.extend(used.map(|name| format!("{} uses {name}", path.display())));
    }
    assert_eq!(wrong, [""; 0]);
    let lib = std::fs::read_to_string(Path::new(SOURCE).join("lib.rs")).unwrap();
    let mut declared: Vec<_> = lib.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';')).collect();
    let mut named: Vec<_> = modules.iter().map(String::as_str).collect();
    declared.sort_unstable();
    named.sort_unstable();
    assert_eq!(declared, named, "a module has no place in the order");
}
