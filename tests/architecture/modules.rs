//! The modules of a crate and the paths in them, from its source files.

use std::collections::BTreeMap;
use std::path::Path;

use crate::tokens;

/// A module's path from the crate's root, which is empty.
pub(crate) type Module = Vec<String>;

/// A crate's modules that have files, each with its tokens. Modules for tests alone are left out.
pub(crate) struct Crate {
    files: BTreeMap<Module, Vec<String>>,
}

/// One module names something in another.
pub(crate) struct Use {
    pub(crate) from: Module,
    pub(crate) to: Module,
}

impl Crate {
    /// Reads every file under a `src` folder.
    pub(crate) fn read(src: &Path) -> Self {
        let mut sources = BTreeMap::new();
        collect(src, &mut Vec::new(), &mut sources);
        let tests: Vec<Module> = sources
            .iter()
            .flat_map(|(module, source)| tokens::test_modules(source).into_iter().map(move |name| child(module, name)))
            .collect();
        sources.retain(|module, _| !tests.iter().any(|test| module.starts_with(test)));
        Self { files: sources.into_iter().map(|(module, source)| (module, tokens::of(&source))).collect() }
    }

    /// Every use of another module of this crate, re-exports followed to the module that they come from.
    pub(crate) fn uses(&self) -> Vec<Use> {
        let mut uses = Vec::new();
        for (module, tokens) in &self.files {
            for path in paths(tokens) {
                let to = self.resolve(module, &path);
                uses.extend(to.map(|to| Use { from: module.clone(), to }));
            }
        }
        uses
    }

    /// The module of this crate that a path leads to; none for a path to something else.
    fn resolve(&self, from: &Module, path: &[String]) -> Option<Module> {
        let mut base = match path.first()?.as_str() {
            "crate" => Vec::new(),
            "self" => from.clone(),
            "super" => from[..from.len().checked_sub(1)?].to_vec(),
            _ => return None,
        };
        let mut rest = &path[1..];
        while let Some((name, tail)) = rest.split_first() {
            if name == "super" {
                base.pop()?;
            } else if self.files.contains_key(&child(&base, name.clone())) {
                base.push(name.clone());
            } else {
                return Some(self.origin(&base, name).unwrap_or(base));
            }
            rest = tail;
        }
        Some(base)
    }

    /// Where a module that re-exports `name` has it from.
    fn origin(&self, module: &Module, name: &String) -> Option<Module> {
        let exported = reexports(self.files.get(module)?);
        let path = exported.iter().find(|path| path.last() == Some(name))?;
        let path: Vec<String> = match path.first()?.as_str() {
            "self" | "super" | "crate" => path.clone(),
            _ => std::iter::once("self".to_owned()).chain(path.iter().cloned()).collect(),
        };
        // A re-export under its own path would lead here again.
        (path.len() > 2).then(|| self.resolve(module, &path[..path.len() - 1])).flatten()
    }
}

fn child(module: &[String], name: String) -> Module {
    module.iter().cloned().chain([name]).collect()
}

fn collect(folder: &Path, module: &mut Module, sources: &mut BTreeMap<Module, String>) {
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = entry.path();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            module.push(name);
            collect(&path, module, sources);
            module.pop();
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let root = module.is_empty() && matches!(name.as_str(), "lib" | "main");
            let of = if root { Vec::new() } else { child(module, name) };
            sources.insert(of, std::fs::read_to_string(&path).unwrap());
        }
    }
}

/// Every path that starts with `crate`, `self` or `super`, groups in braces opened up.
fn paths(tokens: &[String]) -> Vec<Vec<String>> {
    let starts = |at: &usize| {
        let begins = matches!(tokens[*at].as_str(), "crate" | "self" | "super") && tokens.get(at + 1).is_some_and(|next| next == "::");
        // `pub(in crate::x)` names a module and uses nothing of it; a `super` in the middle of a path is read with its start.
        begins && (*at == 0 || !matches!(tokens[at - 1].as_str(), "::" | "in"))
    };
    let mut paths = Vec::new();
    for at in (0..tokens.len()).filter(starts) {
        open(tokens, at, &[], &mut paths);
    }
    paths
}

/// The paths that `pub use` makes part of a module.
fn reexports(tokens: &[String]) -> Vec<Vec<String>> {
    let mut paths = Vec::new();
    for at in (1..tokens.len()).filter(|&at| tokens[at] == "use") {
        if tokens[at - 1] == "pub" || tokens[at - 1] == ")" {
            open(tokens, at + 1, &[], &mut paths);
        }
    }
    paths
}

/// Adds the paths that start at a token, after `prefix`, and returns where they end.
fn open(tokens: &[String], mut at: usize, prefix: &[String], paths: &mut Vec<Vec<String>>) -> usize {
    let mut path = prefix.to_vec();
    loop {
        match tokens.get(at).map(String::as_str) {
            Some("{") => {
                at += 1;
                while tokens.get(at).is_some_and(|token| token != "}") {
                    at = open(tokens, at, &path, paths);
                    // Past the comma, and past `as name`.
                    while tokens.get(at).is_some_and(|token| token != "," && token != "}") {
                        at += 1;
                    }
                    at += usize::from(tokens.get(at).is_some_and(|token| token == ","));
                }
                return at + 1;
            }
            Some(word) if word.starts_with(|c: char| c.is_alphabetic() || c == '_') => {
                // `{self, x}` names the module itself.
                if word != "self" || path.is_empty() {
                    path.push(word.to_owned());
                }
                at += 1;
            }
            _ => break,
        }
        if tokens.get(at).is_none_or(|token| token != "::") {
            break;
        }
        at += 1;
    }
    paths.push(path);
    at
}
