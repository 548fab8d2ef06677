//! What the example programs share: lines of JSON on standard output, logs on standard error, what a run has cost.

pub mod cost;
pub mod insecure_tls;
pub mod output;
