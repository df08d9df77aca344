//! The layers of the crate, read from its sources: nothing points back, every
//! file is reached, no file outgrows its room.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Each module and what it may name. Longer than a list of forbidden arrows,
/// but a new module has to be given its place.
#[rustfmt::skip]
const LAYERS: &[(&str, &str)] = &[
    ("files", ""),
    ("keys", ""),
    ("metrics", "keys"),
    ("net", "keys files"),
    ("proto", "keys"),
    ("store", "keys files net"),
    ("gateway", "keys metrics store"),
    ("control", "keys files metrics store net gateway"),
    ("agent_api", "keys metrics store net proto gateway"),
    ("admin_api", "keys store net proto gateway control"),
    ("server", "keys files metrics store net gateway control agent_api admin_api"),
    ("load", "keys files metrics net proto"),
    ("cli", "keys files metrics net proto gateway control server load"),
];

/// Crates whose types stay where they belong.
const TRANSPORTS: &[(&str, &[&str])] = &[
    (
        "tonic",
        &["agent_api", "admin_api", "server", "cli", "load", "proto"],
    ),
    ("axum", &["metrics", "admin_api"]),
    (
        "http",
        &[
            "agent_api",
            "admin_api",
            "net",
            "metrics",
            "server",
            "cli",
            "load",
        ],
    ),
    ("hyper", &["net", "load"]),
    ("redb", &["store"]),
    ("clap", &["cli", "server"]),
];

const LONGEST_FILE: usize = 500;

fn sources() -> Vec<(PathBuf, String)> {
    let mut files = Vec::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                files.push((path, text));
            }
        }
    }
    assert!(files.len() > 30, "the sources were not found");
    files
}

/// The top module that a file belongs to.
fn module(path: &Path) -> String {
    let inside = path
        .strip_prefix(Path::new(env!("CARGO_MANIFEST_DIR")).join("src"))
        .unwrap();
    let first = inside.components().next().unwrap().as_os_str();
    first.to_str().unwrap().trim_end_matches(".rs").to_owned()
}

fn is_test(path: &Path) -> bool {
    let path = path.to_str().unwrap();
    path.ends_with("tests.rs") || path.ends_with("_test.rs") || path.contains("/tests/")
}

/// A file's code: without comments and without its inline tests.
fn code(text: &str) -> String {
    let shipped = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
    let without_comment = |line: &str| line.split("//").next().unwrap_or("").to_owned();
    shipped.lines().map(|l| without_comment(l) + "\n").collect()
}

/// The words that follow `prefix`, also inside `prefix{a::…, b::…}`.
fn named_after(code: &str, prefix: &str) -> BTreeSet<String> {
    let word = |text: &str| -> String {
        let is_word = |c: &char| c.is_alphanumeric() || *c == '_';
        text.trim_start().chars().take_while(is_word).collect()
    };
    let mut names = BTreeSet::new();
    for rest in code.split(prefix).skip(1) {
        match rest.strip_prefix('{') {
            Some(list) => {
                let mut depth = 0;
                let mut start = true;
                for (at, c) in list.char_indices() {
                    match c {
                        '{' => depth += 1,
                        '}' if depth == 0 => break,
                        '}' => depth -= 1,
                        ',' if depth == 0 => start = true,
                        c if start && !c.is_whitespace() => {
                            names.insert(word(&list[at..]));
                            start = false;
                        }
                        _ => {}
                    }
                }
            }
            None => {
                names.insert(word(rest));
            }
        }
    }
    names
}

#[test]
fn nothing_points_back() {
    let layers: BTreeMap<_, _> = LAYERS.iter().copied().collect();
    let mut faults = Vec::new();
    for (path, text) in sources() {
        let module = module(&path);
        if ["lib", "main"].contains(&module.as_str()) || is_test(&path) {
            continue;
        }
        let Some(allowed) = layers.get(module.as_str()) else {
            panic!("{}: give `{module}` its place in LAYERS", path.display());
        };
        for named in named_after(&code(&text), "crate::") {
            if named != module && !allowed.split_whitespace().any(|a| a == named) {
                faults.push(format!("{}: {module} names {named}", path.display()));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn transports_and_backends_stay_in_their_rooms() {
    let mut faults = Vec::new();
    for (path, text) in sources() {
        let module = module(&path);
        let code = code(&text);
        for (krate, rooms) in TRANSPORTS {
            let uses = code.contains(&format!("use {krate}::"))
                || code.contains(&format!(" {krate}::"))
                || code.contains(&format!("({krate}::"));
            if uses && !rooms.contains(&module.as_str()) && module != "lib" && !is_test(&path) {
                faults.push(format!("{}: {module} uses {krate}", path.display()));
            }
        }
        let names_backend = code.contains("store::embedded") || code.contains("store::redis");
        if names_backend && !["server", "store"].contains(&module.as_str()) && !is_test(&path) {
            faults.push(format!("{}: names a backend", path.display()));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// The sources as modules that name each other.
struct Modules {
    /// Its code, by its path from the crate's root.
    code: BTreeMap<Vec<String>, String>,
    /// What each imports: the name it has there, and the path that it stands for.
    imports: BTreeMap<Vec<String>, BTreeMap<String, Vec<String>>>,
}

impl Modules {
    fn read() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let mut modules = Self {
            code: BTreeMap::new(),
            imports: BTreeMap::new(),
        };
        for (path, text) in sources() {
            if is_test(&path) || ["lib", "main"].contains(&module(&path).as_str()) {
                continue;
            }
            let inside = path.strip_prefix(&root).unwrap().with_extension("");
            let name = inside.iter().map(|part| part.to_str().unwrap().to_owned());
            modules.code.insert(name.collect(), code(&text));
        }
        for (name, code) in &modules.code {
            let mut imports = BTreeMap::new();
            for statement in code.split("use ").skip(1) {
                let Some((tree, _)) = statement.split_once(';') else {
                    continue;
                };
                for (path, name_here) in expand(tree, &[]) {
                    if let Some(path) = modules.absolute(name, &path) {
                        imports.insert(name_here, path);
                    }
                }
            }
            modules.imports.insert(name.clone(), imports);
        }
        modules
    }

    /// A path as it is written in `of`, from the crate's root; `None`: it leads out.
    fn absolute(&self, of: &[String], path: &[String]) -> Option<Vec<String>> {
        let mut base = of.to_vec();
        let mut rest = path;
        match rest.first()?.as_str() {
            "crate" => {
                base.clear();
                rest = &rest[1..];
            }
            "self" => rest = &rest[1..],
            "super" => {
                while rest.first().is_some_and(|part| part == "super") {
                    base.pop();
                    rest = &rest[1..];
                }
            }
            child => {
                let mut module = base.clone();
                module.push(child.to_owned());
                self.code.get(&module)?;
            }
        }
        base.extend_from_slice(rest);
        Some(base)
    }

    /// The module in which what a path names is defined, through all re-exports.
    fn home(&self, path: &[String], depth: usize) -> Option<Vec<String>> {
        let known = (1..=path.len()).rev().map(|len| &path[..len]);
        let module = known
            .into_iter()
            .find(|part| self.code.contains_key(*part))?;
        let rest = &path[module.len()..];
        if let Some(name) = rest.first()
            && depth < 12
            && let Some(further) = self.imports[module].get(name)
            && further != path
        {
            let further = [further, &rest[1..]].concat();
            return self.home(&further, depth + 1);
        }
        Some(module.to_vec())
    }

    /// The modules whose definitions each one uses: an import that is only handed on
    /// is no use of it.
    fn arrows(&self) -> BTreeMap<&[String], BTreeSet<Vec<String>>> {
        let mut arrows: BTreeMap<&[String], BTreeSet<Vec<String>>> = BTreeMap::new();
        for (name, code) in &self.code {
            let body = without_imports(code);
            let to = arrows.entry(name.as_slice()).or_default();
            for (here, path) in &self.imports[name] {
                for used in uses(&body, here) {
                    to.extend(self.home(&[path.as_slice(), &used].concat(), 0));
                }
            }
            for start in ["crate", "super", "self"] {
                // Alone it is a visibility, or an object.
                for used in uses(&body, start).iter().filter(|used| !used.is_empty()) {
                    let path = [&[start.to_owned()][..], used].concat();
                    let path = self.absolute(name, &path);
                    to.extend(path.and_then(|path| self.home(&path, 0)));
                }
            }
            to.remove(name);
        }
        arrows
    }
}

/// The paths of a `use` tree, each with the name that it gets.
fn expand(tree: &str, before: &[String]) -> Vec<(Vec<String>, String)> {
    let tree = tree.trim();
    if let Some((start, list)) = tree.split_once('{') {
        let list = &list[..list.rfind('}').unwrap_or(list.len())];
        let start = start.split("::").map(str::trim).filter(|p| !p.is_empty());
        let before = [before, &start.map(ToOwned::to_owned).collect::<Vec<_>>()].concat();
        let (mut depth, mut from, mut paths) = (0, 0, Vec::new());
        for (at, c) in list.char_indices().chain([(list.len(), ',')]) {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                ',' if depth == 0 => {
                    if !list[from..at].trim().is_empty() {
                        paths.extend(expand(&list[from..at], &before));
                    }
                    from = (at + 1).min(list.len());
                }
                _ => {}
            }
        }
        return paths;
    }
    let (path, alias) = match tree.split_once(" as ") {
        Some((path, alias)) => (path, Some(alias.trim().to_owned())),
        None => (tree, None),
    };
    let parts = path.split("::").map(|part| part.trim().to_owned());
    let mut path: Vec<String> = before.iter().cloned().chain(parts).collect();
    if path.last().is_some_and(|last| last == "self") {
        path.pop();
    }
    let name = alias.or_else(|| path.last().cloned()).unwrap_or_default();
    vec![(path, name)]
}

fn without_imports(code: &str) -> String {
    let mut body = String::new();
    for (at, part) in code.split("use ").enumerate() {
        let rest = match at {
            0 => part,
            _ => part.split_once(';').map_or("", |(_, rest)| rest),
        };
        body.push_str(rest);
    }
    // `pub(in crate::x)` names nobody.
    body.replace("(in crate::", "(in ")
}

/// What follows each use of a name, as far as it is a path.
fn uses(body: &str, name: &str) -> Vec<Vec<String>> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let mut all = Vec::new();
    for (at, _) in body.match_indices(name) {
        let before = body[..at].chars().next_back();
        let mut rest = &body[at + name.len()..];
        if before.is_some_and(|c| is_word(c) || c == ':' || c == '.') || rest.starts_with(is_word) {
            continue;
        }
        let mut path = Vec::new();
        while let Some(further) = rest.strip_prefix("::") {
            let end = further.find(|c| !is_word(c)).unwrap_or(further.len());
            if end == 0 {
                break;
            }
            path.push(further[..end].to_owned());
            rest = &further[end..];
        }
        all.push(path);
    }
    all
}

/// Modules that reach each other, the circles of more than one.
fn circles<'a>(
    arrows: &BTreeMap<&'a [String], BTreeSet<Vec<String>>>,
) -> BTreeSet<BTreeSet<&'a [String]>> {
    let reached = |from: &[String]| {
        let (mut seen, mut next) = (BTreeSet::new(), vec![from.to_vec()]);
        while let Some(at) = next.pop() {
            for to in arrows.get(at.as_slice()).into_iter().flatten() {
                if seen.insert(to.clone()) {
                    next.push(to.clone());
                }
            }
        }
        seen
    };
    let reach: BTreeMap<_, _> = arrows.keys().map(|name| (*name, reached(name))).collect();
    let circle = |name: &&'a [String]| -> BTreeSet<&'a [String]> {
        let back = |other: &&&'a [String]| reach[**other].contains(*name);
        let there = arrows.keys().filter(|other| reach[*name].contains(**other));
        there.filter(back).copied().collect()
    };
    let all = arrows.keys().map(circle);
    all.filter(|circle| circle.len() > 1).collect()
}

#[test]
fn no_more_than_two_files_use_each_other_in_a_circle() {
    let modules = Modules::read();
    let arrows = modules.arrows();
    let count: usize = arrows.values().map(BTreeSet::len).sum();
    assert!(count > 800, "only {count} arrows were found");
    let circles = circles(&arrows);
    println!("{} circles of two files", circles.len());
    let mut faults = Vec::new();
    for circle in circles {
        let rooms: BTreeSet<_> = circle.iter().map(|name| &name[0]).collect();
        if circle.len() > 2 || rooms.len() > 1 {
            for from in &circle {
                let inside = arrows[*from].iter();
                let inside = inside.filter(|to| circle.contains(to.as_slice()));
                faults.extend(inside.map(|to| format!("{} -> {}", from.join("::"), to.join("::"))));
            }
            faults.push(String::new());
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn the_reader_of_circles_finds_them() {
    let module = |name: &str| name.split("::").map(ToOwned::to_owned).collect::<Vec<_>>();
    let files = [
        ("a", "pub use b::B; mod b; mod c;"),
        (
            "a::b",
            "use super::c::{C, d as e}; struct B(C); fn f() { e() }",
        ),
        ("a::c", "fn d() -> crate::a::B {}"),
    ];
    let mut modules = Modules {
        code: BTreeMap::new(),
        imports: BTreeMap::new(),
    };
    for (name, code) in files {
        modules.code.insert(module(name), code.to_owned());
    }
    let import = |name: &str, path: &str| (name.to_owned(), module(path));
    let imports = [import("C", "a::c::C"), import("e", "a::c::d")];
    modules
        .imports
        .insert(module("a"), [import("B", "a::b::B")].into());
    modules.imports.insert(module("a::b"), imports.into());
    modules.imports.insert(module("a::c"), BTreeMap::new());
    let arrows = modules.arrows();
    let found = circles(&arrows);
    let (b, c) = (module("a::b"), module("a::c"));
    assert_eq!(found, [[b.as_slice(), c.as_slice()].into()].into());
    assert!(arrows[module("a").as_slice()].is_empty(), "handed on alone");
}

#[test]
fn every_file_is_reached_headed_and_small() {
    let files = sources();
    let mut faults = Vec::new();
    for (path, text) in &files {
        let stem = path.file_stem().unwrap().to_str().unwrap();
        let name = path.display();
        if path.file_name().unwrap() == "mod.rs" {
            faults.push(format!("{name}: the house style is foo.rs beside foo/"));
        }
        if !text.starts_with("//!") {
            faults.push(format!("{name}: has no //! head"));
        }
        if text.lines().count() > LONGEST_FILE {
            faults.push(format!("{name}: has more than {LONGEST_FILE} lines"));
        }
        let declared = files.iter().any(|(_, other)| {
            other.contains(&format!("mod {stem};")) || other.contains(&format!("{stem}.rs\"]"))
        });
        if !declared && !["lib", "main"].contains(&stem) {
            faults.push(format!("{name}: no `mod {stem};` reaches it"));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn the_reader_of_sources_reads() {
    let code = code("use crate::{keys::KeyId, store};\nfn f() { crate::cli::x() } // crate::no\n");
    let names: Vec<_> = named_after(&code, "crate::").into_iter().collect();
    assert_eq!(names, ["cli", "keys", "store"]);
}
