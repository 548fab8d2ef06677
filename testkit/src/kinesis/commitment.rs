//! The account's commitment to a minimum of throughput.

use std::time::Duration;

use serde::Serialize;

use crate::clock::Tick;
use crate::wire::Timestamp;

/// The account's commitment to a minimum of throughput ("On-demand Advantage"), which unlocks warm throughput and more
/// consumers of an on-demand stream. It holds for a day at least; ended earlier it ends when the day is over.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Commitment {
    started: Option<Tick>,
    /// When it was or will be over.
    ends: Option<Tick>,
}

impl Commitment {
    pub(crate) fn is_enabled(&self, now: Tick) -> bool {
        self.started.is_some() && self.ends.is_none_or(|end| now < end)
    }

    pub(crate) fn enable(&mut self, now: Tick) {
        let started = self.started.filter(|_| self.is_enabled(now)).unwrap_or(now);
        *self = Self { started: Some(started), ends: None };
    }

    pub(crate) fn disable(&mut self, now: Tick) {
        if let Some(started) = self.started.filter(|_| self.is_enabled(now)) {
            self.ends = Some(now.max(started + LEAST));
        }
    }

    pub(crate) fn answer(self, now: Tick) -> SettingsAnswer {
        let enabled = self.is_enabled(now);
        SettingsAnswer {
            minimum_throughput_billing_commitment: CommitmentAnswer {
                status: match (enabled, self.ends) {
                    (false, _) => "DISABLED",
                    (true, None) => "ENABLED",
                    (true, Some(_)) => "ENABLED_UNTIL_EARLIEST_ALLOWED_END",
                },
                started_at: self.started.map(Timestamp),
                ended_at: self.ends.filter(|_| !enabled).map(Timestamp),
                earliest_allowed_end_at: self.started.filter(|_| enabled).map(|started| Timestamp(started + LEAST)),
            },
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct SettingsAnswer {
    minimum_throughput_billing_commitment: CommitmentAnswer,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct CommitmentAnswer {
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    started_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ended_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    earliest_allowed_end_at: Option<Timestamp>,
}

const LEAST: Duration = Duration::from_secs(24 * 3600);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commitment_holds_for_a_day() {
        let hour = |n: u64| Duration::from_secs(n * 3600);
        let mut commitment = Commitment::default();
        commitment.disable(hour(0));
        assert_eq!(commitment, Commitment::default());
        commitment.enable(hour(1));
        commitment.disable(hour(2));
        assert!(commitment.is_enabled(hour(25) - Duration::from_millis(1)) && !commitment.is_enabled(hour(25)));
        commitment.enable(hour(3));
        assert!(commitment.is_enabled(hour(1000)), "the end was taken back");
        commitment.disable(hour(1000));
        assert!(!commitment.is_enabled(hour(1000)));
        commitment.enable(hour(1001));
        assert_eq!(commitment, Commitment { started: Some(hour(1001)), ends: None });
    }
}
