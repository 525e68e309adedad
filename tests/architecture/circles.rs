//! Circles between neighbouring modules of a crate: `a` uses `b`, and `b` uses `a`, perhaps by way of others.
//!
//! A module and its own children may use each other; what counts is modules with the same parent, folders with everything in them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::modules::{Crate, Module};

/// For each parent module: which child uses which, with one example of each use.
type Graph = BTreeMap<String, BTreeMap<String, String>>;

fn graphs(krate: &Crate) -> BTreeMap<Module, Graph> {
    let mut graphs: BTreeMap<Module, Graph> = BTreeMap::new();
    for one in krate.uses() {
        let shared = one.from.iter().zip(&one.to).take_while(|(a, b)| a == b).count();
        if let (Some(from), Some(to)) = (one.from.get(shared), one.to.get(shared)) {
            let example = format!("{} uses {}", one.from.join("::"), one.to.join("::"));
            let graph = graphs.entry(one.from[..shared].to_vec()).or_default();
            graph.entry(from.clone()).or_default().entry(to.clone()).or_insert(example);
        }
    }
    graphs
}

fn reachable<'a>(graph: &'a Graph, start: &'a String) -> BTreeSet<&'a String> {
    let (mut reached, mut next) = (BTreeSet::new(), vec![start]);
    while let Some(module) = next.pop() {
        next.extend(graph.get(module).into_iter().flat_map(BTreeMap::keys).filter(|to| reached.insert(*to)));
    }
    reached
}

/// The sets of modules that all reach each other, each with an example of every use within it.
fn circles(graph: &Graph) -> Vec<(BTreeSet<&String>, Vec<&String>)> {
    let reached: BTreeMap<_, _> = graph.keys().map(|module| (module, reachable(graph, module))).collect();
    let mutual = |a: &&String, b: &String| reached.get(*a).is_some_and(|r| r.contains(b)) && reached.get(b).is_some_and(|r| r.contains(*a));
    let sets: BTreeSet<BTreeSet<&String>> = graph
        .keys()
        .map(|module| graph.keys().filter(|other| mutual(other, module)).collect())
        .filter(|set: &BTreeSet<_>| set.len() > 1)
        .collect();
    let uses = |set: &BTreeSet<&String>| {
        let within = graph.iter().filter(|(from, _)| set.contains(from)).flat_map(|(_, to)| to.iter());
        within.filter(|(to, _)| set.contains(to)).map(|(_, example)| example).collect()
    };
    sets.into_iter()
        .map(|set| {
            let uses = uses(&set);
            (set, uses)
        })
        .collect()
}

fn crates() -> Vec<(String, Crate)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folders = std::fs::read_dir(root.join("crates")).unwrap().map(|entry| entry.unwrap().path());
    let mut crates: Vec<_> = folders
        .filter(|folder| folder.join("src").is_dir())
        .map(|folder| (folder.file_name().unwrap().to_string_lossy().into_owned(), Crate::read(&folder.join("src"))))
        .collect();
    crates.push(("src".to_owned(), Crate::read(&root.join("src"))));
    crates
}

#[test]
fn no_modules_use_each_other_in_a_circle() {
    let mut report = String::new();
    for (name, krate) in crates() {
        for (parent, graph) in graphs(&krate) {
            for (modules, uses) in circles(&graph) {
                let modules: Vec<_> = modules.into_iter().map(String::as_str).collect();
                let uses: Vec<_> = uses.into_iter().map(String::as_str).collect();
                report = format!("{report}{name}: {} in {:?}\n    {}\n", modules.join(", "), parent.join("::"), uses.join("\n    "));
            }
        }
    }
    assert!(report.is_empty(), "circles between modules:\n{report}");
}

#[test]
fn a_circle_is_found_through_groups_parents_and_re_exports() {
    let folder = tempfile::tempdir().unwrap();
    let write = |file: &str, text: &str| {
        let path = folder.path().join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    write("lib.rs", "mod a; mod b; mod c; mod d; pub use c::Thing;");
    write("a.rs", "mod inner;");
    write("a/inner.rs", "use super::super::{b::{self, B}, d};");
    write("b.rs", "use crate::Thing; #[cfg(test)] mod tests { use crate::d::D; }");
    write("c.rs", "// crate::d\nfn f() { crate::a::g(); }");
    write("d.rs", "");
    let graphs = graphs(&Crate::read(folder.path()));
    let circles = circles(&graphs[&Vec::new()]);
    let [(modules, uses)] = circles.as_slice() else { panic!("{}", circles.len()) };
    assert_eq!(modules.iter().map(|module| module.as_str()).collect::<Vec<_>>(), ["a", "b", "c"]);
    assert_eq!(*uses, ["a::inner uses b", "b uses c", "c uses a"]);
}
