//! Watches whether the lease table exists: the rule *the table*.

use std::time::Duration;

use crate::clock::Tick;
use crate::lease::StoreError;

/// The state of the watch.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct TableWatch {
    gone_since: Option<Tick>,
}

/// The result of a call to the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Seen {
    /// The table exists, or that cannot be told.
    Nothing,
    /// The table exists again.
    Back,
    /// The table does not exist. The worker ends at this time if it stays so.
    Gone { until: Tick },
    /// The table has not existed for so long that the worker ends.
    Lost,
}

impl TableWatch {
    /// Applies the response of any call to the table at `now`.
    pub(super) fn looked<T>(&mut self, now: Tick, answer: &Result<T, StoreError>) -> Seen {
        match answer {
            Ok(_) if self.gone_since.take().is_some() => Seen::Back,
            Err(StoreError::NoTable(_)) => {
                let until = *self.gone_since.get_or_insert(now) + PATIENCE;
                if now >= until { Seen::Lost } else { Seen::Gone { until } }
            }
            _ => Seen::Nothing,
        }
    }
}

/// Leases of ten seconds have expired by then. A table of the same name that is created within this time is used.
const PATIENCE: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Tick {
        Tick::new(Duration::from_secs(seconds))
    }

    #[test]
    fn a_table_is_lost_when_it_has_not_existed_for_half_a_minute() {
        let gone = || Err::<(), _>(StoreError::NoTable("no such table".into()));
        let throttled = || Err::<(), _>(StoreError::Throttled("slow down".into()));
        let mut watch = TableWatch::default();
        assert_eq!(watch.looked(at(0), &Ok(())), Seen::Nothing);
        assert_eq!(watch.looked(at(1), &throttled()), Seen::Nothing);
        assert_eq!(watch.looked(at(2), &gone()), Seen::Gone { until: at(32) });
        assert_eq!(watch.looked(at(4), &throttled()), Seen::Nothing);
        assert_eq!(watch.looked(at(6), &gone()), Seen::Gone { until: at(32) });
        assert_eq!(watch.looked(at(8), &Ok(())), Seen::Back);
        assert_eq!(watch.looked(at(20), &gone()), Seen::Gone { until: at(50) });
        assert_eq!(watch.looked(at(50), &gone()), Seen::Lost);
    }
}
