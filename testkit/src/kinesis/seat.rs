//! One consumer's place at one shard, which one subscription at a time may hold.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use super::bucket::Bucket;
use crate::clock::Tick;
use crate::limits::Limits;

/// Outlives its subscriptions: the rates are those of consumer and shard.
#[derive(Debug, Clone)]
pub(crate) struct Seat {
    pub(crate) calls: Bucket,
    pub(crate) bytes: Bucket,
    /// When a SubscribeToShard call succeeded last.
    pub(crate) taken_at: Option<Tick>,
    /// The subscription that holds it; `None` when that has ended.
    pub(crate) holder: Option<Holder>,
}

/// What the account knows of a running subscription.
#[derive(Debug, Clone)]
pub(crate) struct Holder {
    /// No other subscription of the account has it.
    pub(crate) id: u64,
    pub(crate) bell: Bell,
    /// The shard as the subscription was last woken for.
    pub(crate) seen: Option<Sight>,
}

/// What of a stream and a shard makes a subscription look again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sight {
    pub(crate) last_counter: u64,
    pub(crate) shards: usize,
    pub(crate) takes_calls: bool,
    /// When the stream changes by itself.
    pub(crate) due: Option<Tick>,
}

impl Seat {
    pub(crate) fn new(limits: &Limits, now: Tick) -> Self {
        Self {
            calls: Bucket::full(limits.subscribe_per_second, now),
            bytes: Bucket::full(limits.subscription_bytes_per_second, now),
            taken_at: None,
            holder: None,
        }
    }

    pub(crate) fn is_held_by(&self, subscription: u64) -> bool {
        self.holder.as_ref().is_some_and(|holder| holder.id == subscription)
    }

    /// Whether the last subscription is too young to be taken over.
    pub(crate) fn is_fresh(&self, now: Tick, takeover: Duration) -> bool {
        self.taken_at.is_some_and(|at| now < at + takeover)
    }
}

/// Wakes the body of a subscription. Rings when it is dropped, too: whatever removes a holder (a takeover, the end of
/// consumer or stream) wakes the body that lost its seat.
#[derive(Debug, Clone)]
pub(crate) struct Bell(pub(crate) Arc<Notify>);

impl Bell {
    pub(crate) fn ring(&self) {
        // Kept for a body that is not waiting just now.
        self.0.notify_one();
    }
}

impl Drop for Bell {
    fn drop(&mut self) {
        self.ring();
    }
}
