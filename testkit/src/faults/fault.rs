//! What can go wrong with a call.

use std::ops::RangeInclusive;
use std::time::Duration;

/// One thing that goes wrong with a call.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// The request vanishes: no effect, no answer. Whoever set no timeout waits for ever.
    BlackHole,
    /// The request vanishes: no effect, no answer. Unlike in a [`BlackHole`](Self::BlackHole) the answer of a call that is
    /// under way gets through: a network that is cut in one direction.
    SilentRequest,
    /// The call takes effect, the answer vanishes: the caller waits until its own timeout.
    SilentAnswer,
    /// The connection breaks before the service has the request: no effect, an error at once.
    LoseRequest,
    /// The connection breaks before the answer arrives: the effect is there, the caller gets an error at once.
    LoseResponse,
    /// The request arrives this much later. It takes effect then, even if the caller gave up meanwhile.
    DelayRequest(Duration),
    /// The answer arrives this much later; the effect is there already. So does each event of a subscription, in order.
    DelayResponse(Duration),
    /// Request and answer are each later by a time from this range, drawn from the worker's own seed for each call. The
    /// events of a subscription are late by the time of its answer.
    Latency(RangeInclusive<Duration>),
    /// The service answers 500 `InternalFailureException` (DynamoDB: `InternalServerError`): no effect.
    ServerError,
    /// The service answers 503 `ServiceUnavailable`: no effect.
    Unavailable,
    /// The service refuses the whole call: `ProvisionedThroughputExceededException` where data is read or written,
    /// elsewhere `LimitExceededException` (DynamoDB: `ThrottlingException`, as its developer guide has it for the control
    /// plane).
    Throttle,
    /// The service refuses the whole call with this error code: no effect. [`Fault::refuse`] makes it.
    Refuse {
        /// The code, for example `"ExpiredTokenException"`.
        code: String,
        /// What it says; none for what the service says with this code, where that is known.
        message: Option<String>,
    },
    /// The name of the service's host is not found: no effect, an error at once. Open connections are gone.
    HostNotFound,
    /// The connection is refused, as by a closed port: no effect, an error at once. Open connections are gone.
    RefuseConnection,
    /// No connection comes up: the caller waits for its connect timeout. Open connections are gone.
    HangConnection,
    /// The worker's credentials cannot be had: its calls fail before they are made. Clients keep credentials that they have, see
    /// [`Cloud::credentials_last`](crate::Cloud::credentials_last). Strikes no call: it stands ([`Faults::always`]) or has its time
    /// ([`Faults::during`]).
    ///
    /// [`Faults::always`]: crate::Faults::always
    /// [`Faults::during`]: crate::Faults::during
    FailCredentials,
    /// As [`FailCredentials`](Self::FailCredentials), but who asks for the credentials hears nothing: the SDK gives up after some seconds.
    HangCredentials,
    /// The worker is answered as though this shard did not exist: ListShards and DescribeStream lack it, GetShardIterator, GetRecords
    /// and SubscribeToShard say `ResourceNotFoundException`. So a child looks for a moment that has just been born. Other
    /// operations do not notice, nor do subscriptions that are open.
    HideShard(String),
    /// ListShards and DescribeStream show the shards as they were this long ago: those opened since are not there, those closed
    /// since are open. For the next call of ListShards alone it tears a listing between its pages. Other operations do not notice.
    StaleListing(Duration),
    /// ListShards refuses this page of each listing, from 1, with `LimitExceededException`; other pages pass. Other operations do
    /// not notice.
    ThrottlePage(usize),
    /// GetRecords answers `ExpiredIteratorException`. Other operations do not notice.
    ExpireIterator,
    /// The connection of a SubscribeToShard call breaks when so many events have come. Other operations do not notice.
    CutSubscription {
        /// Events that still come.
        after_events: usize,
    },
    /// As [`CutSubscription`](Self::CutSubscription), but half of the bytes of the next event still come.
    TearSubscription {
        /// Events that still come whole.
        after_events: usize,
    },
    /// After so many events nothing more comes of a SubscribeToShard call, not even its end. Other operations do not notice.
    SilenceSubscription {
        /// Events that still come.
        after_events: usize,
    },
    /// These entries of a PutRecords call fail, the others are written. Other operations do not notice.
    FailEntries(Entries, EntryError),
}

impl Fault {
    /// The service refuses the whole call with this error code, in its own words where they are known: no effect.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use kinesis_testkit::{Cloud, Fault};
    /// # let cloud = Cloud::new();
    /// let time = Duration::from_secs(10)..Duration::from_secs(30);
    /// cloud.faults("a").during(time.clone(), Fault::refuse("ExpiredTokenException")); // both services
    /// cloud.faults("a").during_for("PutRecords", time, Fault::refuse("KMSDisabledException"));
    /// ```
    pub fn refuse(code: impl Into<String>) -> Self {
        Self::Refuse { code: code.into(), message: None }
    }

    /// As [`refuse`](Self::refuse), in these words.
    pub fn refuse_saying(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Refuse { code: code.into(), message: Some(message.into()) }
    }

    /// The only operations that it can strike, if not all.
    pub(crate) fn operations(&self) -> Option<&'static [&'static str]> {
        match self {
            Self::ExpireIterator => Some(&["GetRecords"]),
            Self::CutSubscription { .. } | Self::TearSubscription { .. } | Self::SilenceSubscription { .. } => {
                Some(&["SubscribeToShard"])
            }
            Self::FailEntries(..) => Some(&["PutRecords"]),
            Self::HideShard(_) => {
                Some(&["ListShards", "DescribeStream", "GetShardIterator", "GetRecords", "SubscribeToShard"])
            }
            Self::StaleListing(_) => Some(&["ListShards", "DescribeStream"]),
            Self::ThrottlePage(_) => Some(&["ListShards"]),
            _ => None,
        }
    }

    /// It befalls the worker when it asks for its credentials, and no call.
    pub(crate) const fn is_of_credentials(&self) -> bool {
        matches!(self, Self::FailCredentials | Self::HangCredentials)
    }

    pub(crate) fn fits(&self, operation: &str) -> bool {
        !self.is_of_credentials() && self.operations().is_none_or(|own| own.contains(&operation))
    }

    /// What is wrong with it, whatever it is asked for.
    pub(crate) fn check(&self) -> Result<(), String> {
        match self {
            Self::FailEntries(Entries::Percent(percent), _) if *percent > 100 => {
                Err(format!("a chance is at most 100 out of a hundred, not {percent}"))
            }
            Self::ThrottlePage(0) => Err("the first page of a listing is page 1".to_owned()),
            _ => Ok(()),
        }
    }
}

/// Entries of a PutRecords call.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Entries {
    /// All of them.
    All,
    /// Those at these places in the request, from 0.
    At(Vec<usize>),
    /// Those with this partition key.
    WithKey(String),
    /// Those that would be written to this shard.
    OnShard(String),
    /// Each by itself with this chance out of a hundred, drawn from the worker's own seed. More than 100 is refused.
    Percent(u8),
}

/// How an entry of a PutRecords call fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum EntryError {
    /// `ProvisionedThroughputExceededException`.
    Throttled,
    /// `InternalFailure`.
    InternalFailure,
}
