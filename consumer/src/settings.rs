//! The settings of a consumer, as plain data.

use std::fmt;
use std::time::{Duration, SystemTime};

/// The settings of a consumer. Each field has a default, and a builder method of the same name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Settings {
    /// Where to start shards that have no checkpoint. Default: the oldest record, so that nothing is missed. (The KCL
    /// starts at the newest.)
    pub start_at: StartAt,
    /// The name under which this worker owns leases, unique among the running workers of the application. Default: the host's
    /// name and random digits. A worker that restarts under the same ID takes its leases up again.
    pub worker_id: Option<String>,
    /// How long a worker may go without a heartbeat before its leases go to others. From 1 s to 1 h; default 10 s, as in the
    /// KCL (`failoverTimeMillis`). All workers of an application must use the same value.
    pub lease_duration: Duration,
    /// How long a processor may take to finish when its shard moves to another worker. Up to 15 min; default 30 s, as in the
    /// KCL (`gracefulLeaseHandoffTimeoutMillis`). A worker announces its value, and our leader waits for that long; a Java
    /// leader waits for its own time.
    pub handoff_time: Duration,
    /// How often checkpoints are written by [`run`](crate::Consumer::run) and [`run_records`](crate::Consumer::run_records), in
    /// addition to those at the end. From 100 ms to 1 h; default 1 s. A checkpoint also renews the lease: a longer interval
    /// saves writes only up to a third of the lease duration.
    pub checkpoint_every: Duration,
    /// The bytes that all shards of this worker together may have read and not yet processed. At least 24 MiB (one response of
    /// the largest size, with its base64 text); default 128 MiB. Counted are the data of the records and the overhead kept for
    /// each. When stalled processors hold all of it, the other shards wait.
    pub max_buffered_bytes: u64,
    /// The most shards that this worker takes, at least 1. Default: no limit. Shards beyond the limits of all workers are not
    /// read.
    pub max_leases: usize,
    /// The longest pause between two reads of a shard that has no new records. From 200 ms (the service allows five calls a
    /// second) to 1 min; default 1 s, where the KCL waits 1.5 s. A shorter pause sees the first record after an idle time
    /// sooner. A longer one leaves more of the shard's five calls a second to other applications.
    pub max_idle_poll: Duration,
    /// `true` if [`run`](crate::Consumer::run) and [`run_records`](crate::Consumer::run_records) end with
    /// [`RunError::Read`](crate::RunError::Read) when a shard cannot be read. Default: `false`. Then the shard's lease is
    /// released, the other shards go on, and [`findings`](crate::ConsumerHandle::findings) lists the shard until it is readable
    /// again.
    pub end_at_unreadable_shard: bool,
}

/// Where to start a shard that has no checkpoint. Child shards of a split or a merge always start with their oldest record, so
/// that nothing is missed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StartAt {
    /// With the oldest record.
    #[default]
    TrimHorizon,
    /// After the newest record at the moment of the shard's first read. Records put before that moment are not delivered, even
    /// if they were put after the application started. If the first worker crashes before it has checkpointed anything, records
    /// put until another worker's first read are not delivered either.
    Latest,
    /// With the first record that arrived at this time or later, by the service's clock. A time in the future or before 1970 is
    /// refused.
    At(SystemTime),
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            start_at: StartAt::default(),
            worker_id: None,
            lease_duration: Duration::from_secs(10),
            handoff_time: Duration::from_secs(30),
            checkpoint_every: Duration::from_secs(1),
            max_buffered_bytes: 128 << 20,
            max_leases: usize::MAX,
            max_idle_poll: Duration::from_secs(1),
            end_at_unreadable_shard: false,
        }
    }
}

impl Settings {
    /// Checks every setting against its limits; `now` is the time by the SDK client's clock.
    pub(crate) fn validate(&self, now: SystemTime) -> Result<(), SettingError> {
        let Self {
            start_at,
            worker_id,
            lease_duration,
            handoff_time,
            checkpoint_every,
            max_buffered_bytes,
            max_leases,
            max_idle_poll,
            end_at_unreadable_shard: _,
        } = self;
        if let StartAt::At(time) = start_at {
            let before = SystemTime::UNIX_EPOCH.duration_since(*time).unwrap_or_default();
            let value = format_args!("{before:?} before 1970");
            check("start_at", before.is_zero(), value, "must not lie before 1970: the service refuses such a time")?;
            let ahead = time.duration_since(now).unwrap_or_default();
            check("start_at", ahead.is_zero(), format_args!("{ahead:?} ahead"), "must not lie in the future")?;
        }
        if let Some(id) = worker_id {
            check_worker_id(id)?;
        }
        let within = |duration: &Duration, min: Duration, max: Duration| (min..=max).contains(duration);
        let (second, hour) = (Duration::from_secs(1), Duration::from_secs(3600));
        check(
            "lease_duration",
            within(lease_duration, second, hour),
            format_args!("{lease_duration:?}"),
            "must be from 1 s to 1 h",
        )?;
        check(
            "handoff_time",
            *handoff_time <= hour / 4,
            format_args!("{handoff_time:?}"),
            "must not be more than 15 min",
        )?;
        check(
            "checkpoint_every",
            within(checkpoint_every, second / 10, hour),
            format_args!("{checkpoint_every:?}"),
            "must be from 100 ms to 1 h",
        )?;
        check(
            "max_buffered_bytes",
            *max_buffered_bytes >= 24 << 20,
            format_args!("{max_buffered_bytes}"),
            "must be at least 25165824 (24 MiB)",
        )?;
        check("max_leases", *max_leases >= 1, format_args!("{max_leases}"), "must be at least 1")?;
        check(
            "max_idle_poll",
            within(max_idle_poll, second / 5, hour / 60),
            format_args!("{max_idle_poll:?}"),
            "must be from 200 ms to 1 min",
        )
    }
}

/// Checks a worker ID, which is a key in the lease table beside shard IDs and the names of other rows.
fn check_worker_id(id: &str) -> Result<(), SettingError> {
    let length_fits = (1..=LONGEST_WORKER_ID).contains(&id.len());
    check("worker_id", length_fits, format_args!("{id:?}"), "must have 1 to 256 bytes")?;
    let is_free = !id.starts_with("shardId-") && !["Leader", "Migration3.0", "TableMigration3.5"].contains(&id);
    check("worker_id", is_free, format_args!("{id:?}"), "must not be the key of another row of a lease table")
}

pub(crate) fn check(
    setting: &'static str,
    holds: bool,
    value: fmt::Arguments<'_>,
    limit: &'static str,
) -> Result<(), SettingError> {
    if holds { Ok(()) } else { Err(SettingError::new(setting, value.to_string(), limit)) }
}

/// A setting is out of its limits. Nothing was done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{setting} is {value} and {limit}")]
#[non_exhaustive]
pub struct SettingError {
    /// The setting's name.
    pub setting: &'static str,
    /// Its value.
    pub value: String,
    /// The limit, in words.
    pub limit: &'static str,
}

impl SettingError {
    /// Creates an error for a lease store of your own that has settings of its own.
    pub fn new(setting: &'static str, value: impl Into<String>, limit: &'static str) -> Self {
        Self { setting, value: value.into(), limit }
    }
}

/// DynamoDB allows 2048 bytes; log lines do not.
const LONGEST_WORKER_ID: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: SystemTime = SystemTime::UNIX_EPOCH;

    fn refused(change: impl FnOnce(&mut Settings)) -> String {
        let mut settings = Settings::default();
        change(&mut settings);
        settings.validate(NOW).expect_err("out of limits").to_string()
    }

    #[test]
    fn the_defaults_are_within_the_limits() {
        assert_eq!(Settings::default().validate(NOW), Ok(()));
    }

    #[test]
    fn a_refusal_names_the_setting_its_value_and_the_limit() {
        let ms = Duration::from_millis;
        assert_eq!(refused(|s| s.lease_duration = ms(999)), "lease_duration is 999ms and must be from 1 s to 1 h");
        assert_eq!(
            refused(|s| s.handoff_time = ms(900_001)),
            "handoff_time is 900.001s and must not be more than 15 min"
        );
        assert_eq!(refused(|s| s.checkpoint_every = ms(99)), "checkpoint_every is 99ms and must be from 100 ms to 1 h");
        assert_eq!(
            refused(|s| s.max_buffered_bytes = 25_165_823),
            "max_buffered_bytes is 25165823 and must be at least 25165824 (24 MiB)"
        );
        assert_eq!(refused(|s| s.max_leases = 0), "max_leases is 0 and must be at least 1");
        assert_eq!(refused(|s| s.max_idle_poll = ms(199)), "max_idle_poll is 199ms and must be from 200 ms to 1 min");
        // S141
        assert_eq!(
            refused(|s| s.start_at = StartAt::At(NOW + ms(1500))),
            "start_at is 1.5s ahead and must not lie in the future"
        );
        assert_eq!(
            refused(|s| s.start_at = StartAt::At(NOW - ms(1))),
            "start_at is 1ms before 1970 and must not lie before 1970: the service refuses such a time"
        );
        assert_eq!(refused(|s| s.worker_id = Some(String::new())), "worker_id is \"\" and must have 1 to 256 bytes");
        assert_eq!(
            refused(|s| s.worker_id = Some("Leader".to_owned())),
            "worker_id is \"Leader\" and must not be the key of another row of a lease table"
        );
    }
}
