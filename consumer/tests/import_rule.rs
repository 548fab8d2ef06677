//! A folder of this crate imports only from those to its left:
//! `watch, record → shard → lease (table → holder → leader) → fetch, checkpoint → process → worker → consumer`.

use std::fs;
use std::path::{Path, PathBuf};

/// Where each module of the crate's root stands; those of one number do not import one another.
const ORDER: &[(&str, u32)] = &[
    ("clock", 0),
    ("apart", 0),
    ("thread", 0),
    ("backoff", 0),
    ("failed_call", 0),
    ("settings", 0),
    ("text", 0),
    ("watch", 1),
    ("record", 1),
    ("shard", 2),
    ("lease", 3),
    ("fetch", 4),
    ("checkpoint", 4),
    ("process", 5),
    ("worker", 6),
    ("error", 6),
    ("builder", 7),
    ("consumer", 7),
];

/// The folders of `lease`, in their order.
const OF_LEASE: &[&str] = &["table", "holder", "leader"];

/// The front door and its builder need each other; both are at the right end.
const PAIRS: &[(&str, &str)] = &[("builder", "consumer"), ("consumer", "builder")];

fn place(module: &str) -> Option<u32> {
    ORDER.iter().find(|(name, _)| *name == module).map(|(_, place)| *place)
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

/// The modules of the root that a text names after `crate::`, without comments and without what is only for tests.
fn imports(text: &str) -> Vec<String> {
    let product = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let code: String =
        product.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
    let mut found = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        let names = match rest.strip_prefix('{') {
            Some(group) => group.split('}').next().unwrap_or_default().split(',').collect(),
            None => vec![rest],
        };
        for name in names {
            let name = name.trim();
            let end = name.find(|c: char| !c.is_ascii_lowercase() && c != '_').unwrap_or(name.len());
            found.push(name[..end].to_owned());
        }
    }
    found
}

#[test]
fn folders_import_only_from_their_left() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    let mut looked_at = 0;
    let mut broken = Vec::new();
    for file in &files {
        let inside = file.strip_prefix(&root).expect("a file in the folder");
        let first = inside.components().next().expect("a name").as_os_str().to_string_lossy().into_owned();
        let module = first.trim_end_matches(".rs");
        if module == "lib" || inside.ends_with("tests.rs") {
            continue;
        }
        let own = place(module).unwrap_or_else(|| panic!("{module} has no place in the order"));
        for import in imports(&fs::read_to_string(file).expect("a text")) {
            looked_at += 1;
            let allowed = import == module
                || place(&import).is_some_and(|other| other < own)
                || PAIRS.contains(&(module, import.as_str()));
            if !allowed {
                broken.push(format!("{}: crate::{import}", inside.display()));
            }
        }
    }
    assert!(looked_at > 50, "only {looked_at} imports were found");
    assert!(broken.is_empty(), "these imports go the wrong way:\n{}", broken.join("\n"));
}

#[test]
fn the_folders_of_lease_import_only_from_their_left() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lease");
    let (mut looked_at, mut broken) = (0, Vec::new());
    for (place, folder) in OF_LEASE.iter().enumerate() {
        let mut files = vec![root.join(folder).with_extension("rs")];
        sources(&root.join(folder), &mut files);
        for file in files.iter().filter(|file| !file.ends_with("tests.rs")) {
            let text = fs::read_to_string(file).expect("a text").replace("crate::lease::", "crate::");
            for import in imports(&text) {
                let Some(other) = OF_LEASE.iter().position(|name| *name == import) else { continue };
                looked_at += 1;
                if other > place {
                    broken.push(format!("{}: {import}", file.display()));
                }
            }
        }
    }
    assert!(looked_at > 30, "only {looked_at} imports were found");
    assert!(broken.is_empty(), "these imports go the wrong way:\n{}", broken.join("\n"));
}

#[test]
fn imports_are_found_in_every_form() {
    let text = "use crate::lease::{Lease};\nuse crate::{shard::ShardId, record::Position};\n// crate::nowhere\nlet x = crate::clock::Tick::default();\n#[cfg(test)]\nmod tests {\nuse crate::consumer::X;\n}";
    assert_eq!(imports(text), ["lease", "shard", "record", "clock"]);
}
