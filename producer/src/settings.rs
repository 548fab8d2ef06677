//! The settings of a producer, as plain data.

use std::time::Duration;

/// The settings of a producer. Plain data: [`Default`] returns the documented defaults.
///
/// Set single fields through the [builder](crate::Builder), or all at once with
/// [`Builder::settings`](crate::Builder::settings).
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default))]
#[non_exhaustive]
pub struct Settings {
    /// How long a record may wait for others. Default: 120 ms after the shard's last aggregate was closed, as in the
    /// KPL (100 ms of `recordMaxBufferedTime` and 20 ms in its collector). Must be shorter than
    /// [`record_ttl`](Self::record_ttl).
    pub linger: Linger,
    /// Whether records share a Kinesis record. Default: on, as in the KPL.
    pub aggregation: Aggregation,
    /// The largest aggregate, in bytes of its data and its partition key: 64 to 10 485 760. Default: 50 000. That is
    /// two PUT payload units, whether a unit counts 25 000 or 25 600 bytes. (The KPL's 51 200 bytes are three units of
    /// 25 000.)
    pub max_aggregate_bytes: usize,
    /// The age at which an undelivered record is given up, at least 100 ms. Default: 30 s, the KPL's `recordTtl`. With
    /// `Duration::MAX` no record is given up.
    ///
    /// The age counts from the first record of the aggregate, so a record may be given up one linger earlier.
    pub record_ttl: Duration,
    /// The most memory that admitted records may hold, in bytes. Default: 64 MiB. At least 64 KiB and 32 times
    /// [`max_aggregate_bytes`](Self::max_aggregate_bytes). Records of a failed delivery are no longer counted: they
    /// belong to the delivery or to its error.
    pub max_buffered_bytes: usize,
    /// The rate per shard. Default: the service's limit, see [`RateLimit`].
    pub rate_limit: RateLimit,
    /// The most PutRecords requests in flight at once, 1 to 256. Default: 24, the KPL's `maxConnections`.
    pub max_requests_in_flight: usize,
    /// The timeout for a connection, 100 ms to 5 min. Default: 3 s.
    pub connect_timeout: Duration,
    /// The timeout for one PutRecords request from its start to its answer, 100 ms to 10 min. Default: 6 s, the KPL's
    /// `requestTimeout`.
    pub request_timeout: Duration,
    /// Whether a refusal that an operator can end fails a record at once. Such refusals are: no permission, no such
    /// stream, an unknown access key or token, an encryption key that cannot be used. Default: `false`, the record is
    /// retried until [`record_ttl`](Self::record_ttl), as in the KPL.
    pub fail_fast: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            linger: Linger::default(),
            aggregation: Aggregation::default(),
            max_aggregate_bytes: 50_000,
            record_ttl: Duration::from_secs(30),
            max_buffered_bytes: 64 << 20,
            rate_limit: RateLimit::default(),
            max_requests_in_flight: 24,
            connect_timeout: Duration::from_secs(3),
            request_timeout: Duration::from_secs(6),
            fail_fast: false,
        }
    }
}

/// When an aggregate that is not full is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum Linger {
    /// This long after the previous aggregate of the shard was closed, and never before its first record.
    ///
    /// A lone record is sent at once. A steady trickle makes at most one aggregate per linger and shard. A batch that
    /// becomes ready shortly after a request waits for others: a sixth of the linger after that request, at most 20 ms.
    SinceLastClose(Duration),
    /// This long after its first record, as in the KPL: fewer and fuller aggregates when records are sparse, but every
    /// record waits.
    FromFirstPut(Duration),
}

impl Linger {
    pub(crate) const fn duration(self) -> Duration {
        match self {
            Self::SinceLastClose(linger) | Self::FromFirstPut(linger) => linger,
        }
    }
}

impl Default for Linger {
    fn default() -> Self {
        Self::SinceLastClose(Duration::from_millis(120))
    }
}

impl From<Duration> for Linger {
    fn from(linger: Duration) -> Self {
        Self::SinceLastClose(linger)
    }
}

/// Whether user records of one shard share a Kinesis record in the KPL's format.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum Aggregation {
    /// Records share Kinesis records. Consumers must deaggregate them, as the KCL does.
    ///
    /// Some streams cannot have aggregates, and for them this setting acts as [`Off`](Self::Off): a stream whose
    /// records the service distributes itself, and a stream that channels read. DescribeStreamSummary tells it at the
    /// start.
    #[default]
    On,
    /// Each record is a Kinesis record of its own, readable by any consumer. Data that is an aggregate itself is still
    /// read as an aggregate by consumers that deaggregate.
    Off,
}

/// The rate per shard: a token bucket of records and one of bytes, each with a burst of one second.
///
/// The limit holds for one producer. Producers that write to the same stream share the service's limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct RateLimit {
    /// Kinesis records a second, at least 1. Default: 1000, the service's limit for a shard.
    pub records_per_second: u64,
    /// Bytes of data and partition keys a second, at least 1. Default: 1 MiB, the service's limit for a shard.
    pub bytes_per_second: u64,
}

impl RateLimit {
    /// No limit: for a service without shard limits, or a test.
    pub const UNLIMITED: Self = Self { records_per_second: u64::MAX, bytes_per_second: u64::MAX };
}

impl Default for RateLimit {
    fn default() -> Self {
        Self { records_per_second: 1000, bytes_per_second: 1 << 20 }
    }
}

/// A setting is out of its range. Nothing was started.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name} is {value}, but must be {range}")]
pub struct SettingError {
    name: &'static str,
    value: String,
    range: String,
}

impl SettingError {
    /// Returns the name of the setting.
    pub const fn name(&self) -> &'static str {
        self.name
    }
}

impl Settings {
    pub(crate) fn check(&self) -> Result<(), SettingError> {
        let aggregate = within("max_aggregate_bytes", self.max_aggregate_bytes, 64, 10 << 20)?;
        within("record_ttl", self.record_ttl, MIN_TIME, Duration::MAX)?;
        let smallest = (64 << 10).max(if self.aggregation == Aggregation::On { 32 * aggregate } else { 0 });
        within("max_buffered_bytes", self.max_buffered_bytes, smallest, usize::MAX >> 4)?;
        within("rate_limit.records_per_second", self.rate_limit.records_per_second, 1, u64::MAX)?;
        within("rate_limit.bytes_per_second", self.rate_limit.bytes_per_second, 1, u64::MAX)?;
        within("max_requests_in_flight", self.max_requests_in_flight, 1, 256)?;
        within("connect_timeout", self.connect_timeout, MIN_TIME, Duration::from_secs(300))?;
        within("request_timeout", self.request_timeout, MIN_TIME, Duration::from_secs(600))?;
        if self.linger.duration() >= self.record_ttl {
            let range = format!("shorter than record_ttl ({:?})", self.record_ttl);
            return Err(SettingError { name: "linger", value: format!("{:?}", self.linger.duration()), range });
        }
        Ok(())
    }
}

/// Checks the name or ARN of the stream, before the service is asked.
pub(crate) fn check_stream(stream: &str) -> Result<(), SettingError> {
    if kinesis_service_errors::is_stream(stream) {
        return Ok(());
    }
    let range = "a stream's name (1 to 128 of a-z A-Z 0-9 _ . -) or its ARN".to_owned();
    Err(SettingError { name: "stream", value: format!("{stream:?}"), range })
}

fn within<T: PartialOrd + std::fmt::Debug>(name: &'static str, value: T, min: T, max: T) -> Result<T, SettingError> {
    if min <= value && value <= max {
        return Ok(value);
    }
    Err(SettingError { name, value: format!("{value:?}"), range: format!("in {min:?}..={max:?}") })
}

/// The KPL's lower bound of all its timeouts and of the TTL.
const MIN_TIME: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_in_range() {
        assert_eq!(Settings::default().check(), Ok(()));
    }

    #[test]
    fn a_setting_out_of_range_is_named_with_value_and_range() {
        let refused = |change: fn(&mut Settings)| {
            let mut settings = Settings::default();
            change(&mut settings);
            settings.check().expect_err("out of range").to_string()
        };
        assert_eq!(refused(|s| s.max_requests_in_flight = 0), "max_requests_in_flight is 0, but must be in 1..=256");
        assert_eq!(
            refused(|s| s.max_buffered_bytes = 1),
            format!("max_buffered_bytes is 1, but must be in 1600000..={}", usize::MAX >> 4)
        );
        assert_eq!(
            refused(|s| s.linger = Duration::from_secs(30).into()),
            "linger is 30s, but must be shorter than record_ttl (30s)"
        );
        assert_eq!(
            refused(|s| s.rate_limit.records_per_second = 0),
            format!("rate_limit.records_per_second is 0, but must be in 1..={}", u64::MAX)
        );
        assert!(refused(|s| s.record_ttl = Duration::from_millis(99)).starts_with("record_ttl is 99ms"));
        assert!(refused(|s| s.max_aggregate_bytes = 63).starts_with("max_aggregate_bytes is 63"));
        assert!(refused(|s| s.request_timeout = Duration::from_secs(601)).starts_with("request_timeout is 601s"));
        assert!(refused(|s| s.connect_timeout = Duration::ZERO).starts_with("connect_timeout is 0ns"));
    }

    #[cfg(feature = "serde")]
    #[test]
    fn settings_read_from_text_need_only_name_what_differs() {
        let text = r#"{"linger": {"FromFirstPut": {"secs": 1, "nanos": 0}}, "aggregation": "Off"}"#;
        let settings: Settings = serde_json::from_str(text).expect("valid");
        let linger = Linger::FromFirstPut(Duration::from_secs(1));
        assert_eq!(settings, Settings { linger, aggregation: Aggregation::Off, ..Settings::default() });
        let text = serde_json::to_string(&settings).expect("plain data");
        assert_eq!(serde_json::from_str::<Settings>(&text).expect("what was written"), settings);
    }
}
