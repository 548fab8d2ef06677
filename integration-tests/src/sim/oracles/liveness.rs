//! C8 and P8: when the world is well again, so is the fleet, and soon.

use std::time::Duration;

use super::Violation;
use crate::sim::history::{History, What};
use crate::sim::shape::Shape;

pub(crate) fn convergence(history: &History) -> Vec<Violation> {
    let mut violations = Vec::new();
    for event in &history.events {
        if let What::Down(why) = &event.what
            && why.starts_with("error")
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

/// A death that counts from the heal: lease duration, two assignment rounds and two seconds. A hand-off that was under way
/// to or from one that died is another lease duration and round away, and takes its time before. And a read whose answer
/// was lost without a word just before the heal is given up by its own timeout, which may be later.
fn bound(shape: &Shape) -> Duration {
    let death = shape.lease_duration + 2 * ROUND + Duration::from_secs(2);
    let twice = death + shape.lease_duration + ROUND + shape.handoff_time;
    twice.max(READ_TIMEOUT + Duration::from_secs(2))
}

/// Of the leader's assignment.
const ROUND: Duration = Duration::from_secs(5);

/// The consumer's, for calls to the stream.
const READ_TIMEOUT: Duration = Duration::from_secs(30);
