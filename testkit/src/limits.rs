//! What the services allow, as inputs.

use std::collections::BTreeMap;
use std::time::Duration;

/// Limits and times of the Kinesis model. The defaults are the service's own, as its API reference and its page on
/// quotas give them.
///
/// Rates are per shard where nothing else is said, and hold one second's worth in reserve. `u64::MAX` means without limit.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Bytes of keys and data that a shard takes in a second: 1 MiB.
    pub write_bytes_per_second: u64,
    /// Records that a shard takes in a second: 1000.
    pub write_records_per_second: u64,
    /// Bytes that a shard gives to GetRecords in a second: 2 MiB.
    pub read_bytes_per_second: u64,
    /// GetRecords calls that a shard answers in a second: 5.
    pub get_records_per_second: u64,
    /// GetShardIterator calls that a shard answers in a second: 5.
    pub get_shard_iterator_per_second: u64,
    /// Calls a second that an operation of the control plane answers, by its name: those of the page on quotas, for
    /// example 5 of CreateStream per account, 1000 of ListShards per stream. What is not in the map has no rate.
    pub control_calls_per_second: BTreeMap<String, u64>,
    /// Calls with `DryRun` that a stream answers in a second, all operations together: 1.
    pub dry_runs_per_second: u64,
    /// Records in one PutRecords call: 500.
    pub put_records_entries: usize,
    /// Bytes of keys and data in one PutRecords call: 10 MiB.
    pub put_records_bytes: usize,
    /// Largest record (data and key) of a new stream, in KiB: 1024. CreateStream and UpdateMaxRecordSize may ask for up to
    /// 10 240.
    pub max_record_size_kib: u32,
    /// Bytes of keys and data in one GetRecords answer: 10 MiB.
    pub get_records_bytes: usize,
    /// Records in one GetRecords answer, and the largest `Limit`: 10 000.
    pub get_records_entries: usize,
    /// How long a shard iterator and a ListShards token live: 5 minutes.
    pub token_life: Duration,
    /// How long a new stream keeps a record: 24 hours.
    pub retention: Duration,
    /// Open shards of the account's provisioned streams: 20 000 (the quota of us-east-1).
    pub open_shards: usize,
    /// Shards of one stream that UpdateShardCount may reach: 10 000.
    pub shards_per_stream: usize,
    /// UpdateShardCount calls per stream in 24 hours: 10.
    pub shard_count_updates_per_day: usize,
    /// StartStreamEncryption calls per stream in 24 hours, and StopStreamEncryption calls: 25 of each.
    pub encryption_changes_per_day: usize,
    /// On-demand streams of the account: 50.
    pub on_demand_streams: usize,
    /// Switches between the capacity modes per stream in 24 hours: 2.
    pub mode_switches_per_day: usize,
    /// Bytes a second from which a shard of an on-demand stream is split: 500 000. The service's developer guide names this
    /// mark.
    pub on_demand_split_bytes_per_second: u64,
    /// Records a second from which a shard of an on-demand stream is split: 500, half of what it takes.
    pub on_demand_split_records_per_second: u64,
    /// How long an on-demand stream's traffic is averaged before shards are split. The service splits within 15 minutes;
    /// here after one.
    pub on_demand_window: Duration,
    /// Streams in CREATING at one time: 5.
    pub streams_creating: usize,
    /// How long CreateStream leaves a stream in CREATING. The service takes some ten seconds; here 300 ms.
    pub creating: Duration,
    /// How long a split, a merge, a change of mode or of encryption leaves a stream in UPDATING. UpdateShardCount makes
    /// several splits and merges, one after the other. The service takes some ten seconds; here 300 ms.
    pub updating: Duration,
    /// Consumers that can be registered with one stream: 20.
    pub consumers_per_stream: usize,
    /// The same of an on-demand stream while the account has its commitment to a minimum of throughput, "On-demand
    /// Advantage": 50.
    pub consumers_per_advantage_stream: usize,
    /// Consumers in CREATING at one time: 5.
    pub consumers_creating: usize,
    /// How long RegisterStreamConsumer leaves a consumer in CREATING. The service takes some seconds; here 300 ms.
    pub consumer_creating: Duration,
    /// How long DeregisterStreamConsumer leaves a consumer in DELETING: 300 ms here.
    pub consumer_deleting: Duration,
    /// SubscribeToShard calls for one consumer and shard in a second: 1.
    pub subscribe_per_second: u64,
    /// Bytes that a shard gives to one consumer's subscriptions in a second: 2 MiB. What is more waits.
    pub subscription_bytes_per_second: u64,
    /// Bytes of keys and data in one event of a subscription, except for a single record that is larger. The service
    /// does not say how much it sends at once; here 1 MiB.
    pub subscription_event_bytes: usize,
    /// How long a subscription lasts: 5 minutes.
    pub subscription_life: Duration,
    /// How long after a SubscribeToShard call the next one for the same consumer and shard is refused; later ones take the
    /// subscription over: 5 s.
    pub subscription_takeover: Duration,
    /// How long a subscription is silent before an event without records. The service does not say; here 5 s, well below
    /// the 30 s after which the Java SDK's HTTP client gives a silent connection up.
    pub subscription_heartbeat: Duration,
    /// How long DeleteStream leaves a stream in DELETING: 300 ms here.
    pub deleting: Duration,
}

impl Limits {
    /// The service's limits with all rates lifted, those of 24 hours as well. Sizes, lifetimes and state times stay.
    pub fn without_rates() -> Self {
        Self {
            write_bytes_per_second: u64::MAX,
            write_records_per_second: u64::MAX,
            read_bytes_per_second: u64::MAX,
            get_records_per_second: u64::MAX,
            get_shard_iterator_per_second: u64::MAX,
            control_calls_per_second: BTreeMap::new(),
            dry_runs_per_second: u64::MAX,
            shard_count_updates_per_day: usize::MAX,
            subscribe_per_second: u64::MAX,
            subscription_bytes_per_second: u64::MAX,
            mode_switches_per_day: usize::MAX,
            encryption_changes_per_day: usize::MAX,
            ..Self::default()
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            write_bytes_per_second: 1 << 20,
            write_records_per_second: 1000,
            read_bytes_per_second: 2 << 20,
            get_records_per_second: 5,
            get_shard_iterator_per_second: 5,
            control_calls_per_second: control_calls_per_second(),
            dry_runs_per_second: 1,
            put_records_entries: 500,
            put_records_bytes: 10 << 20,
            max_record_size_kib: 1024,
            get_records_bytes: 10 << 20,
            get_records_entries: 10_000,
            token_life: Duration::from_secs(300),
            retention: Duration::from_secs(24 * 3600),
            open_shards: 20_000,
            shards_per_stream: 10_000,
            shard_count_updates_per_day: 10,
            encryption_changes_per_day: 25,
            on_demand_streams: 50,
            mode_switches_per_day: 2,
            on_demand_split_bytes_per_second: 500_000,
            on_demand_split_records_per_second: 500,
            on_demand_window: Duration::from_secs(60),
            streams_creating: 5,
            creating: Duration::from_millis(300),
            updating: Duration::from_millis(300),
            consumers_per_stream: 20,
            consumers_per_advantage_stream: 50,
            consumers_creating: 5,
            consumer_creating: Duration::from_millis(300),
            consumer_deleting: Duration::from_millis(300),
            subscribe_per_second: 1,
            subscription_bytes_per_second: 2 << 20,
            subscription_event_bytes: 1 << 20,
            subscription_life: Duration::from_secs(300),
            subscription_takeover: Duration::from_secs(5),
            subscription_heartbeat: Duration::from_secs(5),
            deleting: Duration::from_millis(300),
        }
    }
}

/// The page on quotas, but for UpdateShardCount, whose 10 calls a second the API reference names.
fn control_calls_per_second() -> BTreeMap<String, u64> {
    let five = [
        "AddTagsToStream",
        "CreateStream",
        "DecreaseStreamRetentionPeriod",
        "DeleteResourcePolicy",
        "DeleteStream",
        "DeregisterStreamConsumer",
        "DescribeAccountSettings",
        "DisableEnhancedMonitoring",
        "EnableEnhancedMonitoring",
        "GetResourcePolicy",
        "IncreaseStreamRetentionPeriod",
        "ListStreamConsumers",
        "ListStreams",
        "ListTagsForStream",
        "MergeShards",
        "PutResourcePolicy",
        "RegisterStreamConsumer",
        "RemoveTagsFromStream",
        "SplitShard",
        "UpdateAccountSettings",
        "UpdateStreamWarmThroughput",
    ];
    let others = [
        ("DescribeLimits", 1),
        ("DescribeStream", 10),
        ("DescribeStreamConsumer", 20),
        ("DescribeStreamSummary", 20),
        ("ListShards", 1000),
        ("UpdateShardCount", 10),
    ];
    five.map(|operation| (operation, 5)).into_iter().chain(others).map(|(name, rate)| (name.to_owned(), rate)).collect()
}
