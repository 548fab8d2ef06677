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
    let expected = "line 2: a row has a key, and then an attribute and its value: row 0 note";
    assert_eq!(why("stream 1\nrow 0 note"), expected);
    assert_eq!(why("stream 1\nworker a on"), "line 2: no setting of a worker: on: worker a on");
    assert!(why("stream 1\nexpect findings Odd of 0").contains("RowUnusable EndedOpen LeaseMismatch"));
    let up = "stream 1\nworker a\nexpect every shard owned within 5s";
    assert_eq!(why(&format!("{up}\nrow orders-0 note x")), "line 4: there is no row orders-0");
    assert_eq!(why(&format!("{up}\nrow 0 without note")), "line 4: the row shardId-000000000000 has no note");
    assert_eq!(why(&format!("{up}\nrow 0 leaseCounter many")), "line 4: many is no number that fits");
}

/// Every condition is shown a world in which it does not hold.
#[test]
fn every_condition_can_fail() {
    let cases = [
        ("put 1\nexpect all written", "not written: [2]"),
        ("put 1\nexpect all done", "puts {2} are not resolved"),
        ("restart a\nwait 5s\nexpect all done once", "given to user code in two epochs: [0, 1]"),
        ("restart a\nwait 5s\nexpect at most 1 records twice", "2 records twice: {0, 1}"),
        ("crash a\nexpect every shard owned", "without a living owner"),
        ("worker b\nwait 1s\nexpect even load", "the load is {0: \"b\", 2: \"a\"}"),
        ("worker b\nwait 20s\nexpect no change of owner", "changed its owner"),
        ("expect a holds 0", "it is {\"shardId-000000000000\", \"shardId-000000000001\"}"),
        ("expect leases 0", "it is {\"shardId-000000000000\", \"shardId-000000000001\"}"),
        ("expect end of 0", "shardId-000000000000 is at"),
        ("expect 0 read by b", "was not read by b"),
        ("expect 0 not read", "read: [Event"),
        ("expect nothing read", "read: [Event"),
        ("expect puts 0 unread", "read: [Delivered"),
        ("expect b is up", "b is down"),
        ("expect a is down: crash", "a is not down for that reason"),
        ("expect a refused: clicks", "a was not refused"),
        ("other-stream 1 shards\nworker x on orders\nwait 1s\nexpect x refused: orders sales", "lacks: [\"sales\"]"),
        ("expect a wrote nothing", "asked for: [\"CreateTable\""),
        ("expect rows 0 left alone", "nobody has written the row shardId-000000000000"),
        ("row 0 note x\nwait 5s\nexpect rows 0 left alone", "the row shardId-000000000000 is Some"),
        ("expect findings NoRoom of 0", "it is {}"),
        ("row 0 endingHashKey 7\nwait 15s\nexpect no findings", "found: [(\"LeaseMismatch\""),
        ("wait 10s\nexpect at most 1 writes to 0", "writes to shardId-000000000000"),
        ("split 0\nwait 5s\nexpect no end of 0-1", "finished: [\"shardId-000000000000\"]"),
        ("expect only puts 0 twice", "it is {}"),
        (
            "load 2\nuser code of a takes 3s\nworker b as a\nuser code of b takes 3s\nwait 9s\nexpect no shard read by two",
            "two at one shard for",
        ),
    ];
    for (script, expected) in cases {
        let script = format!("stream 2\nworker a\nput 2\nexpect all done within 5s\n{script}");
        let why = play(&script).expect_err(&script).why;
        assert!(why.contains("not so") && why.contains(expected), "{script}\n{why}");
    }
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
