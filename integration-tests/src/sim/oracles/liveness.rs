//! C8 and P8: when the world is well again, so is the fleet, and soon.

use std::time::Duration;

use super::Violation;
use crate::sim::fleet::STRANGER;
use crate::sim::history::{History, What};
use crate::sim::shape::Shape;

pub(crate) fn convergence(history: &History) -> Vec<Violation> {
    let mut violations = Vec::new();
    for event in &history.events {
        if let What::Down(why) = &event.what
            && why.starts_with("error")
            && !event.worker.starts_with(STRANGER)
        {
            violations.push(Violation::new("C8", event.at, "", format!("{} ended by itself: {why}", event.worker)));
        }
    }
    let Some(took) = took(history) else {
        let end = history.events.last().map_or(Duration::ZERO, |event| event.at);
        violations.push(Violation::new("C8", end, "", "the fleet never converges".to_owned()));
        return violations;
    };
    let bound = bound(&history.shape);
    if took > bound {
        violations.push(Violation::new(
            "C8",
            took,
            "",
            format!("converged {took:?} after the heal, not within {bound:?}"),
        ));
    }
    violations
}

/// From the heal until the fleet had converged.
pub(crate) fn took(history: &History) -> Option<Duration> {
    let at = |what: &What| history.events.iter().find(|event| event.what == *what).map(|event| event.at);
    Some(at(&What::Converged)? - at(&What::Phase("liveness"))?)
}

/// What counts from the heal: a worker that died in that moment, the leader included, is a lease duration, two assignment
/// rounds and two seconds away. A hand-off under way to or from it is another round away, and takes its time before.
/// What a worker cannot begin goes from one to the next, a round each, until one can.
pub(super) fn bound(shape: &Shape) -> Duration {
    let others = shape.starts_at_a_time.len() as u32;
    after_a_death(shape) + ROUND + shape.handoffs().1 + others * ROUND
}

/// How long it takes until all goes on after a worker has died, the leader included.
pub(crate) fn after_a_death(shape: &Shape) -> Duration {
    shape.lease_duration + 2 * ROUND + Duration::from_secs(2)
}

/// Of the leader's assignment.
pub(super) const ROUND: Duration = Duration::from_secs(5);
