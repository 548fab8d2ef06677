//! The fewest troubles with which a promise is still broken.

use super::oracles::judge;
use super::run::run;
use super::schedule::Timed;
use super::shape::Shape;

/// Leaves out halves, then quarters, and so on down to single troubles, for as long as the promise stays broken.
pub(crate) fn shrink(shape: &Shape, schedule: &[Timed], promise: &str) -> Vec<Timed> {
    minimal(schedule, |fewer| judge(&run(shape, fewer).history).iter().any(|violation| violation.promise == promise))
}

fn minimal(schedule: &[Timed], mut fails: impl FnMut(&[Timed]) -> bool) -> Vec<Timed> {
    let mut left = schedule.to_vec();
    let mut size = left.len().div_ceil(2);
    while size > 0 {
        let mut at = 0;
        while at < left.len() {
            let mut fewer = left.clone();
            fewer.drain(at..(at + size).min(left.len()));
            if fails(&fewer) {
                left = fewer;
            } else {
                at += size;
            }
        }
        size /= 2;
    }
    left
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::sim::schedule::Trouble;

    #[test]
    fn leaves_just_the_troubles_that_it_takes() {
        let crash =
            |at| Timed { at: Duration::from_secs(at), lasts: Duration::ZERO, what: Trouble::Crash { worker: 0 } };
        let schedule: Vec<_> = (0..13).map(crash).collect();
        let has = |schedule: &[Timed], at| schedule.contains(&crash(at));
        let shrunk = minimal(&schedule, |fewer| has(fewer, 3) && has(fewer, 11));
        assert_eq!(shrunk, [crash(3), crash(11)]);
        assert_eq!(minimal(&schedule, |_| true), []);
    }
}
