//! The scripts in `testdata/protocol`, each with its whole expected trace.
//!
//! `UPDATE=1` rewrites the traces of those that keep their promises, so that a change is a diff to be reviewed; `SCRIPT=…`
//! plays one alone.

use std::path::{Path, PathBuf};
use std::{env, fs, thread};

use integration_tests::protocol::play;

fn scripts() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/protocol");
    let files = fs::read_dir(folder).expect("the folder is there").map(|file| file.expect("it can be read").path());
    let wanted = env::var("SCRIPT").ok();
    let is_wanted =
        |path: &PathBuf| wanted.as_ref().is_none_or(|name| path.file_stem().is_some_and(|stem| stem == name.as_str()));
    let mut scripts: Vec<_> = files.filter(is_wanted).collect();
    scripts.sort();
    scripts
}

/// What is wrong with this script, if anything is.
fn check(path: &Path) -> Option<String> {
    let text = fs::read_to_string(path).expect("a script is text");
    match play(&text) {
        Err(failure) => Some(format!("{}:\n{failure}", path.display())),
        Ok(played) if played == text => None,
        Ok(played) if env::var_os("UPDATE").is_some() => {
            fs::write(path, played).expect("a script can be written");
            None
        }
        Ok(played) => Some(format!("{}: another trace\n{}", path.display(), difference(&text, &played))),
    }
}

/// The first lines that differ.
fn difference(expected: &str, played: &str) -> String {
    let same = expected.lines().zip(played.lines()).take_while(|(one, other)| one == other).count();
    let few = |text: &str| text.lines().skip(same.saturating_sub(2)).take(8).collect::<Vec<_>>().join("\n");
    format!("from line {}, expected:\n{}\nnow:\n{}", same + 1, few(expected), few(played))
}

#[test]
fn every_script_keeps_its_promises_and_has_its_trace() {
    let scripts = scripts();
    assert!(!scripts.is_empty(), "no script");
    let half = scripts.len().div_ceil(2);
    let wrong: Vec<String> = thread::scope(|scope| {
        let check_all = |paths: &[PathBuf]| paths.iter().filter_map(|path| check(path)).collect::<Vec<_>>();
        let halves: Vec<_> = scripts.chunks(half).map(|paths| scope.spawn(move || check_all(paths))).collect();
        halves.into_iter().flat_map(|half| half.join().expect("no script panics")).collect()
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn what_is_not_kept_is_said() {
    let why = |script: &str| play(script).expect_err("not kept").why;
    assert_eq!(why("stream 1\nfly"), "line 2: no such command: fly");
    assert_eq!(why("worker a"), "line 1: the first command makes the stream");
    assert_eq!(why(""), "no command");
    assert!(why("stream 1\nput 1\nexpect all done within 5s").contains("1 records of the stream are not done"));
    // What no line asks for is asked at the end.
    assert!(why("stream 1\nput 1\nwait 1s").contains("C1 broken"));
    let expected = "line 3: not so: without a living owner: [\"shardId-000000000000\"]";
    assert_eq!(why("stream 1\nworker a\nexpect every shard owned"), expected);
    assert!(why("stream 1\nlose answer of a's next Nothing").contains("has an operation Nothing"));
}

/// S83: a shard is split and merged back, a hundred times; each record is read once, and the leases of all but the last
/// generation go. Too long to be read, so this script has no file.
#[test]
fn a_hundred_generations() {
    let mut script = "stream 1\nworker a\nput 1\nexpect all done within 2s\n".to_owned();
    for id in (0..300).step_by(3) {
        script += &format!("split {id}\nput 2\nwait 2s\nmerge {} {}\nput 1\nwait 2s\n", id + 1, id + 2);
    }
    script += "expect all done once within 5s\nexpect leases 300 within 60s\n";
    if let Err(failure) = play(&script) {
        panic!("{failure}");
    }
}
