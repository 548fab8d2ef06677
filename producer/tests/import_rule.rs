//! The structure of this crate. A file imports only from files above it in `ORDER`, so there is no import cycle:
//! `clock, record, … → watch, error → delivery, accounts, stream → pipeline → producer`.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// All modules, lowest first. Those of one line do not import one another.
const ORDER: &[&[&str]] = &[
    &["backoff", "clock", "foreign", "outcome", "record", "settings"],
    &["contents", "failed_call"],
    // What operators see: everything above reports there.
    &["watch", "watch/log_limiter", "watch/losses", "watch/tally"],
    &["watch/operator_log"],
    &["error/call", "error/delivery"],
    &["error/build", "error/put"],
    &["error"],
    &["delivery"],
    &["accounts/barrier", "accounts/budget"],
    &["accounts/pool"],
    &["accounts"],
    &["stream"],
    &["stream/info", "stream/listing"],
    // The stages.
    &["pipeline/admit", "pipeline/judge", "pipeline/limit"],
    &["pipeline/send"],
    &["pipeline/batch"],
    &["pipeline/aggregate"],
    &["pipeline/shard_queue"],
    &["pipeline/collect", "pipeline/shard_map", "pipeline/wake_list"],
    &["pipeline/reroute", "pipeline/settle"],
    &["pipeline/router"],
    // What they share, and the tasks that run them.
    &["pipeline"],
    &["pipeline/request", "pipeline/dispatch/monitor", "pipeline/dispatch/schedule"],
    &["pipeline/dispatch"],
    &["start"],
    &["builder", "producer"],
];

/// The handle and its builder need each other. Both are at the end.
const PAIRS: &[(&str, &str)] = &[("builder", "producer"), ("producer", "builder")];

fn level(module: &str) -> Option<usize> {
    ORDER.iter().position(|line| line.contains(&module))
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a readable folder") {
        let path = entry.expect("a readable entry").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The text without comments and without what is only for tests.
fn product(text: &str) -> String {
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// The paths that a text names after `crate::`, `self::` and `super::`, as they would be written after `crate::` in
/// `module`.
fn paths(module: &str, code: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("::") {
        let root = code[..at].rsplit(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().unwrap_or_default();
        let before = &code[..at - root.len()];
        let base = match root {
            "crate" => String::new(),
            "self" => module.to_owned(),
            "super" if !before.ends_with("::") => parent(module),
            _ => continue,
        };
        expand(&base, &code[at + 2..], &mut found);
    }
    found
}

fn parent(module: &str) -> String {
    module.rsplit_once('/').map(|(parent, _)| parent.to_owned()).unwrap_or_default()
}

fn joined(base: &str, name: &str) -> String {
    if base.is_empty() { name.to_owned() } else { format!("{base}/{name}") }
}

/// Adds the paths of a use tree: `a::b`, `{a, b::{c, d}}`. Returns what follows it.
fn expand<'t>(base: &str, text: &'t str, found: &mut Vec<String>) -> &'t str {
    let text = text.trim_start();
    if let Some(mut rest) = text.strip_prefix('{') {
        loop {
            rest = expand(base, rest, found).trim_start();
            match rest.strip_prefix(',') {
                Some(more) if !more.trim_start().starts_with('}') => rest = more,
                Some(more) => return more.trim_start().strip_prefix('}').unwrap_or(more),
                None => return rest.strip_prefix('}').unwrap_or(rest),
            }
        }
    }
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    match (name, rest.strip_prefix("::")) {
        ("super", Some(rest)) => expand(&parent(base), rest, found),
        ("self", _) => {
            found.push(base.to_owned());
            rest
        }
        (_, Some(rest)) => expand(&joined(base, name), rest, found),
        (_, None) => {
            found.push(joined(base, name));
            rest
        }
    }
}

/// The longest beginning of the path that is a module.
fn module_of(path: &str, modules: &BTreeSet<String>) -> Option<String> {
    let mut path = path.to_owned();
    while !path.is_empty() {
        if modules.contains(&path) {
            return Some(path);
        }
        path = parent(&path);
    }
    None
}

#[test]
fn files_import_only_from_files_above_them() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    let name = |file: &PathBuf| {
        let inside = file.strip_prefix(&root).expect("a file in the folder").with_extension("");
        inside.to_string_lossy().replace('\\', "/")
    };
    let is_product = |module: &str| module != "lib" && !module.ends_with("tests") && !module.ends_with("fixture");
    let modules: BTreeSet<String> = files.iter().map(name).filter(|module| is_product(module)).collect();
    let (mut looked_at, mut broken) = (0, Vec::new());
    for file in &files {
        let module = name(file);
        if !is_product(&module) {
            continue;
        }
        let own = level(&module).unwrap_or_else(|| panic!("{module} has no place in the order"));
        let code = product(&fs::read_to_string(file).expect("a text"));
        for path in paths(&module, &code) {
            let Some(import) = module_of(&path, &modules).filter(|import| *import != module) else { continue };
            looked_at += 1;
            let allowed =
                level(&import).is_some_and(|other| other < own) || PAIRS.contains(&(module.as_str(), import.as_str()));
            if !allowed {
                broken.push(format!("{module} imports {import}"));
            }
        }
    }
    assert!(looked_at > 100, "only {looked_at} imports were found");
    assert!(broken.is_empty(), "these imports go the wrong way:\n{}", broken.join("\n"));
}

/// A batch that ends elsewhere would pass its shard's queue by.
#[test]
fn only_one_file_ends_batches() {
    let stages = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/pipeline");
    let mut files = Vec::new();
    sources(&stages, &mut files);
    let ends = |file: &&PathBuf| {
        let code = product(&fs::read_to_string(file).expect("a text"));
        [".written(", ".failed("].iter().any(|verb| code.contains(verb))
    };
    // `batch.rs` defines the verbs.
    let known = ["tests.rs", "fixture.rs", "batch.rs"];
    let found: Vec<_> =
        files.iter().filter(|file| !known.iter().any(|name| file.ends_with(name))).filter(ends).collect();
    assert_eq!(found, [&stages.join("settle.rs")]);
}

#[test]
fn every_place_in_the_order_is_a_file() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let gone: Vec<_> =
        ORDER.iter().copied().flatten().filter(|name| !root.join(name).with_extension("rs").exists()).collect();
    assert!(gone.is_empty(), "no such files: {gone:?}");
}

#[test]
fn imports_are_found_in_every_form() {
    let text = "use crate::error::{Closed, build::{BuildError, Sought}};\nuse super::{batch::Batch, Pipeline};\n\
        // crate::nowhere\nlet x = crate::clock::Tick::ZERO;\nuse super::super::start::Start;\nself::child::run();\n\
        use other::super_thing::X;\n#[cfg(test)]\nmod tests {\nuse crate::producer::X;\n}";
    let found = paths("pipeline/dispatch", &product(text));
    let expected = [
        "error/Closed",
        "error/build/BuildError",
        "error/build/Sought",
        "pipeline/batch/Batch",
        "pipeline/Pipeline",
        "clock/Tick/ZERO",
        "start/Start",
        "pipeline/dispatch/child/run",
    ];
    assert_eq!(found, expected);
}
