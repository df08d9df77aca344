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
    ("store", "keys files"),
    ("gateway", "keys metrics store"),
    ("control", "keys files metrics store net gateway"),
    ("agent_api", "keys metrics store net proto gateway"),
    ("admin_api", "keys store net proto gateway control"),
    ("server", "keys files metrics store net gateway control agent_api admin_api"),
    ("load", "keys files metrics net proto"),
    ("cli", "keys files net proto gateway control server load"),
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
        if names_backend
            && !["server", "store", "upkeep"].contains(&module.as_str())
            && !is_test(&path)
        {
            faults.push(format!("{}: names a backend", path.display()));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
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
