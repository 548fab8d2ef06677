//! The decoder against mutated aggregates, beside the reference: it never panics, and both say the same.
//!
//! `FUZZ_SECONDS=600 cargo test --release -p kinesis-aggregation --test fuzz_decode` fuzzes for that long; without it a hundred thousand
//! inputs are tried. `FUZZ_SEED` repeats a run; a failure prints seed and input.

mod support;

use std::{env, panic, time::Duration};

use bytes::Bytes;
use support::{cases, mutate, reference};

/// Some seconds of an unoptimised build.
const SMOKE_INPUTS: u64 = 100_000;

#[test]
fn mutants_of_the_corpus() {
    let number = |name: &str| env::var(name).ok().map(|value| value.parse::<u64>().expect("a whole number"));
    let seed = number("FUZZ_SEED").unwrap_or(1);
    let seconds = number("FUZZ_SECONDS");
    let started = now();
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut corpus: Vec<Bytes> =
        cases::all().into_iter().map(|case| case.data).filter(|data| data.len() < 4096).collect();
    let seeds = corpus.len();

    let (mut inputs, mut aggregates) = (0, 0_u64);
    while seconds.map_or(inputs < SMOKE_INPUTS, |seconds| started.elapsed() < Duration::from_secs(seconds)) {
        let data = mutate::mutant(&mut rng, &corpus);
        inputs += 1;
        panic::catch_unwind(|| reference::assert_agrees(&data)).unwrap_or_else(|cause| {
            let hex: String = data.iter().map(|byte| format!("{byte:02x}")).collect();
            eprintln!("FUZZ_SEED={seed}, input {inputs}: {hex}");
            panic::resume_unwind(cause)
        });
        if matches!(reference::verdict(&data), reference::Verdict::Records(_)) {
            aggregates += 1;
            // What still parses is a start for deeper changes. The corpus stays small, and its first part as it is.
            if data.len() < 2048 {
                if corpus.len() < 500 {
                    corpus.push(data);
                } else {
                    let place = rng.usize(seeds..corpus.len());
                    corpus[place] = data;
                }
            }
        }
    }
    println!("{inputs} inputs from seed {seed}, {aggregates} of them aggregates");
    assert!(
        aggregates * 20 > inputs && aggregates < inputs,
        "the mutations are too harsh or too mild to test anything"
    );
}

#[expect(clippy::disallowed_methods, reason = "a budget of real time, for a person to wait")]
fn now() -> std::time::Instant {
    std::time::Instant::now()
}
