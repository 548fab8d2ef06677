//! The same seed gives the same run of everything: producer, consumers, services, faults.

use std::process::Command;

/// What the program prints in a process of its own.
fn trace(seed: &str) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_trace")).arg(seed).output().expect("it can be started");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("a trace is text")
}

#[test]
fn two_processes_with_one_seed_have_one_trace() {
    let (first, second) = (trace("7"), trace("7"));
    assert!(first.lines().count() > 3000, "a short trace: {} lines", first.lines().count());
    if let Some((number, (a, b))) = first.lines().zip(second.lines()).enumerate().find(|(_, (a, b))| a != b) {
        panic!("line {number} differs:\n{a}\n{b}");
    }
    assert_eq!(first.len(), second.len());
    assert!(first != trace("8"), "two seeds, one trace");
}
