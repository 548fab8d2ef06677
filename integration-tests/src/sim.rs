//! The fleet simulator: real producer, real workers, real SDK on a cloud in the process, in virtual time, and troubles
//! from a seed. What happens is judged by the promises.
//!
//! ```text
//!  seed ─▶ shape ─┬─────────────────▶ run ──▶ history ──▶ oracles ──▶ report
//!          schedule of troubles ──────┘                      │
//!              ▲                                             │ violations
//!              └────────────── shrink ◀──────────────────────┘
//! ```
//!
//! A run has four phases: *warm-up*, in which nothing is wrong; *safety*, in which the schedule's troubles happen;
//! *liveness*: everything heals, some workers die for good, and the rest has to take over all in time; *audit*.
//!
//! What a frozen worker's own timers do is not simulated: its calls and its user code stand still, the consumer's tasks do
//! not.

mod alarms;
pub(crate) mod call;
mod clocks;
mod enact;
mod fleet;
pub(crate) mod history;
mod ledger;
pub(crate) mod mistakes;
pub(crate) mod oracles;
mod processor;
mod reader;
mod report;
pub(crate) mod run;
#[cfg(test)]
mod sabotage;
mod schedule;
mod shape;
mod shrink;
pub(crate) mod table;
mod trouble;
pub(crate) mod workload;

pub use self::ledger::Ledger;
pub use self::report::Report;
pub use self::shape::{Face, Shape};

/// Runs the seed's world and judges it.
pub fn simulate(seed: u64) -> Report {
    let shape = Shape::of(seed);
    let schedule = schedule::draw(&shape);
    let ran = run::run(&shape, &schedule);
    Report::of(ran, schedule)
}
