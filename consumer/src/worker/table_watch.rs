//! Whether the lease table is there: the rule *the table*.

use std::time::Duration;

use crate::clock::Tick;
use crate::lease::StoreError;

/// What a worker knows of the table's existence.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct TableWatch {
    gone_since: Option<Tick>,
}

/// What a look at the table has shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Seen {
    /// It is there, or that cannot be told.
    Nothing,
    /// It is back.
    Back,
    /// It does not exist. The worker ends at this time if it stays away.
    Gone { until: Tick },
    /// It has not existed for so long that the worker ends.
    Lost,
}

impl TableWatch {
    /// Takes the answer to any call at `now`.
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

/// The leases of ten seconds are over by then. A table of the same name that is made within this time is used.
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
