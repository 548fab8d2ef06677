//! `docs/periods.md` lists every period and timeout of this crate.

use std::fs;
use std::path::{Path, PathBuf};

/// Not waited for: practically never, and the lower bound of settings.
const BOUNDS: &[&str] = &["FAR", "MIN_TIME"];

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a readable folder") {
        let path = entry.expect("a readable entry").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") && !path.ends_with("tests.rs") {
            found.push(path);
        }
    }
}

/// The constants of a text that are durations, without those of unit tests.
fn durations(text: &str) -> Vec<&str> {
    let product = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let constants = product.lines().filter_map(|line| {
        let (name, rest) = line.trim_start_matches("pub(crate) ").strip_prefix("const ")?.split_once(": ")?;
        let is_constant = name.chars().all(|c| c.is_ascii_uppercase() || c == '_');
        (is_constant && (rest.starts_with("Duration") || rest.starts_with("ExponentialBuilder"))).then_some(name)
    });
    constants.filter(|name| !BOUNDS.contains(name)).collect()
}

#[test]
fn every_period_is_listed() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let listed = fs::read_to_string(root.join("../docs/periods.md")).expect("the page");
    let (mut files, mut found) = (Vec::new(), 0);
    sources(&root.join("src"), &mut files);
    for file in files {
        let text = fs::read_to_string(&file).expect("a text");
        let inside = file.strip_prefix(root.join("src")).expect("a file in the folder");
        for name in durations(&text) {
            found += 1;
            let entry = format!("`{}: {name}`", inside.display());
            assert!(listed.contains(&entry), "docs/periods.md does not list {entry}");
        }
    }
    assert!(found > 10, "only {found} constants were found");
}
