//! Tests of the whole: the producer and the consumer together, through the real AWS SDK, on a cloud in the process.
//!
//! The tests are in `tests/`; the peers (the real Java libraries and other parts that we did not write) in `peers/`.

pub mod conformance;
pub mod protocol;
pub mod sim;
pub mod world;

/// The README's snippets, compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
