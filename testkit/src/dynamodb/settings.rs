//! How the tables of the cloud behave, as settings of each table and of all.

use std::collections::BTreeMap;
use std::time::Duration;

/// Capacity units a second of a table or an index, and how much of what was not used it saves up.
///
/// They are counted as the service does: a write costs one for each 1 KB of the item, a read one for each 4 KB, half of
/// that when it is eventually consistent, twice of that in a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Throughput {
    /// Read capacity units a second.
    pub read: u64,
    /// Write capacity units a second.
    pub write: u64,
    /// For how long unused capacity is saved up: 1 second. A provisioned table of the service saves up to 5 minutes'.
    pub burst: Duration,
}

impl Throughput {
    /// This much a second, and one second's worth at once.
    pub const fn new(read: u64, write: u64) -> Self {
        Self { read, write, burst: Duration::from_secs(1) }
    }

    /// Saves up what `burst` gives. Less than a second counts as one.
    #[must_use]
    pub const fn burst(self, burst: Duration) -> Self {
        Self { burst, ..self }
    }
}

/// How far a read lags behind the writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Lag {
    /// Not at all.
    #[default]
    None,
    /// Each write is seen after this time.
    Fixed(Duration),
    /// Each write is seen after a time up to this one, drawn from the cloud's seed. Writes of one item are seen in their
    /// order, those of different items in any.
    UpTo(Duration),
}

impl From<Duration> for Lag {
    fn from(lag: Duration) -> Self {
        Self::Fixed(lag)
    }
}

impl Lag {
    /// The same time for the same `mark`, whenever it is asked for.
    pub(crate) fn of(self, mark: u64) -> Duration {
        self.draw(&mut fastrand::Rng::with_seed(mark))
    }

    pub(crate) fn draw(self, rng: &mut fastrand::Rng) -> Duration {
        match self {
            Self::None => Duration::ZERO,
            Self::Fixed(lag) => lag,
            Self::UpTo(most) => Duration::from_micros(rng.u64(0..=u64::try_from(most.as_micros()).unwrap_or(u64::MAX))),
        }
    }
}

/// Of one table, or of all that have none of their own.
#[derive(Debug, Clone, Default)]
pub(crate) struct TableSettings {
    pub(crate) creating: Option<Duration>,
    pub(crate) deleting: Option<Duration>,
    pub(crate) index_creating: Option<Duration>,
    pub(crate) index_lag: Option<Lag>,
    pub(crate) read_lag: Option<Lag>,
    /// `Some(None)`: without limit, whatever the table provisioned.
    pub(crate) throughput: Option<Option<Throughput>>,
    pub(crate) index_throughput: BTreeMap<String, Throughput>,
}

#[derive(Debug, Default)]
pub(crate) struct Settings {
    all: TableSettings,
    tables: BTreeMap<String, TableSettings>,
}

impl Settings {
    /// Those of `table`, or those of all tables.
    pub(crate) fn of(&mut self, table: Option<&str>) -> &mut TableSettings {
        match table {
            None => &mut self.all,
            Some(name) => self.tables.entry(name.to_owned()).or_default(),
        }
    }

    pub(crate) fn creating(&self, table: &str) -> Duration {
        self.find(table, |settings| settings.creating).unwrap_or_default()
    }

    pub(crate) fn deleting(&self, table: &str) -> Duration {
        self.find(table, |settings| settings.deleting).unwrap_or_default()
    }

    pub(crate) fn index_creating(&self, table: &str) -> Duration {
        self.find(table, |settings| settings.index_creating).unwrap_or_default()
    }

    pub(crate) fn index_lag(&self, table: &str) -> Lag {
        self.find(table, |settings| settings.index_lag).unwrap_or_default()
    }

    pub(crate) fn read_lag(&self, table: &str) -> Lag {
        self.find(table, |settings| settings.read_lag).unwrap_or_default()
    }

    /// `None` when nothing was said: then the table's own provisioned capacity counts.
    pub(crate) fn throughput(&self, table: &str, index: Option<&str>) -> Option<Option<Throughput>> {
        match index {
            None => self.find(table, |settings| settings.throughput),
            Some(index) => {
                let own = self.find(table, |settings| settings.index_throughput.get(index).copied());
                own.map(Some)
                    .or_else(|| (self.find(table, |settings| settings.throughput) == Some(None)).then_some(None))
            }
        }
    }

    pub(crate) fn limits_an_index(&self, table: &str) -> bool {
        self.find(table, |settings| (!settings.index_throughput.is_empty()).then_some(())).is_some()
    }

    pub(crate) fn any_lag(&self, of: impl Fn(&TableSettings) -> Option<Lag>) -> bool {
        let mut all = self.tables.values().chain([&self.all]);
        all.any(|settings| of(settings).is_some_and(|lag| lag != Lag::None))
    }

    fn find<T>(&self, table: &str, of: impl Fn(&TableSettings) -> Option<T>) -> Option<T> {
        self.tables.get(table).and_then(&of).or_else(|| of(&self.all))
    }
}
