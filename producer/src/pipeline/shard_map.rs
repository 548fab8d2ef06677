//! Which shard holds a hash key, as far as is known.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::config::http::HttpResponse;
use aws_sdk_kinesis::error::SdkError;
use aws_sdk_kinesis::operation::list_shards::{ListShardsError, ListShardsOutput};
use aws_sdk_kinesis::primitives::DateTime;
use aws_sdk_kinesis::types::{Shard, ShardFilter, ShardFilterType};
use kinesis_aggregation::{HashKey, HashKeyRange};
use kinesis_service_errors::{Address, Kind};

use super::send::Stream;
use super::shard_queue::ShardQueue;
use crate::clock::Tick;
use crate::error::{CallError, ShardMapError};

/// The shards of the stream at one time. Never changed: a newer one takes its place whole, and until it does this one serves.
pub(crate) struct ShardMap {
    /// The upper ends of the open shards, in order; apart from the queues, so that a look-up stays in few cache lines.
    ends: Box<[HashKey]>,
    queues: Box<[Arc<ShardQueue>]>,
    /// All shards whose ranges are known, by id, to judge late answers by.
    known: HashMap<Arc<str>, Known>,
    /// Whether we route the records; if not, the service does, and there is one queue for all.
    routed: bool,
}

#[derive(Clone, Copy, Debug)]
struct Known {
    range: HashKeyRange,
    last_listed: Tick,
}

impl ShardMap {
    /// A map for a service that distributes the records itself. What was sent while we did may still be answered: its shards stay known.
    pub(crate) fn unrouted(queue: Arc<ShardQueue>, previous: Option<&Self>) -> Self {
        let known = previous.map(|map| map.known.clone()).unwrap_or_default();
        Self { ends: [HashKey::MAX].into(), queues: [queue].into(), known, routed: false }
    }

    /// The same map, which knows these shards too.
    pub(crate) fn knowing(&self, listing: Listing, now: Tick) -> Self {
        let mut known = self.known.clone();
        known.extend(listing.all.into_iter().map(|(id, range)| (id, Known { range, last_listed: now })));
        Self { ends: self.ends.clone(), queues: self.queues.clone(), known, routed: self.routed }
    }

    /// The map after `previous`. Shards that stay keep their queues; the queues of those that do not come back beside the map.
    ///
    /// Shards that are listed no more are remembered for `remember`: an answer may still name them.
    pub(crate) fn next(
        previous: Option<&Self>,
        listing: Listing,
        now: Tick,
        remember: Duration,
        mut new_queue: impl FnMut(Arc<str>, HashKeyRange) -> Arc<ShardQueue>,
    ) -> (Self, Vec<Arc<ShardQueue>>) {
        let mut known: HashMap<Arc<str>, Known> = previous.map(|map| map.known.clone()).unwrap_or_default();
        known.retain(|_, shard| now.since(shard.last_listed) <= remember);
        known.extend(listing.all.into_iter().map(|(id, range)| (id, Known { range, last_listed: now })));

        let by_id: HashMap<&str, &Arc<ShardQueue>> =
            previous.iter().flat_map(|map| &map.queues).filter_map(|queue| Some((queue.shard()?, queue))).collect();
        let queues: Box<[Arc<ShardQueue>]> = listing
            .open
            .into_iter()
            .map(|(id, range)| match by_id.get(&*id) {
                // An id with another range is another shard: the stream was deleted and made again.
                Some(queue) if queue.range() == range => Arc::clone(queue),
                _ => new_queue(id, range),
            })
            .collect();
        let ends = queues.iter().map(|queue| queue.range().end).collect();
        let map = Self { ends, queues, known, routed: true };
        let retired = previous.iter().flat_map(|map| &map.queues).filter(|queue| !map.has(queue)).cloned().collect();
        (map, retired)
    }

    /// The queue of the shard that holds the hash key.
    pub(crate) fn queue(&self, hash_key: HashKey) -> &Arc<ShardQueue> {
        &self.queues[self.ends.partition_point(|end| *end < hash_key)]
    }

    pub(crate) fn queues(&self) -> &[Arc<ShardQueue>] {
        &self.queues
    }

    /// Whether we route the records; if not, the service does.
    pub(crate) const fn is_routed(&self) -> bool {
        self.routed
    }

    /// Whether the queue's shard is open as far as this map knows.
    pub(crate) fn has(&self, queue: &Arc<ShardQueue>) -> bool {
        Arc::ptr_eq(self.queue(queue.range().start), queue)
    }

    /// The range of an open or a closed shard.
    pub(crate) fn range_of(&self, shard: &str) -> Option<HashKeyRange> {
        self.known.get(shard).map(|known| known.range)
    }
}

/// A whole listing of a stream's shards that makes sense.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listing {
    /// Open and closed.
    all: Vec<(Arc<str>, HashKeyRange)>,
    /// In order of their ranges, which cover the hash-key space once and whole.
    open: Vec<(Arc<str>, HashKeyRange)>,
}

impl Listing {
    pub(super) fn read(shards: &[Shard]) -> Result<Self, ShardMapError> {
        let mut all = Vec::with_capacity(shards.len());
        let mut open = Vec::new();
        for shard in shards {
            let (start, end) =
                shard.hash_key_range().map_or(("", ""), |range| (range.starting_hash_key(), range.ending_hash_key()));
            let range = HashKeyRange::parse(start, end).map_err(|_| ShardMapError::Unreadable {
                shard: shard.shard_id().to_owned(),
                start: start.to_owned(),
                end: end.to_owned(),
            })?;
            let id: Arc<str> = shard.shard_id().into();
            if shard.sequence_number_range().is_none_or(|numbers| numbers.ending_sequence_number().is_none()) {
                open.push((Arc::clone(&id), range));
            }
            all.push((id, range));
        }
        open.sort_by_key(|(_, range)| range.start);
        let ends_meet = open.windows(2).all(|pair| pair[0].1.is_followed_by(&pair[1].1));
        let whole = open.first().is_some_and(|(_, range)| range.start == HashKey::MIN)
            && open.last().is_some_and(|(_, range)| range.end == HashKey::MAX);
        if ends_meet && whole { Ok(Self { all, open }) } else { Err(ShardMapError::Torn { open: open.len() }) }
    }
}

/// The pages of a listing under way. Those that came stay when one fails, and the next try goes on behind them.
#[derive(Debug)]
pub(crate) struct Pages {
    filter: Option<ShardFilter>,
    shards: Vec<Shard>,
    token: Option<String>,
    pages: usize,
}

impl Pages {
    /// The open shards: nothing was sent yet, so no answer can name another.
    pub(crate) fn open() -> Self {
        Self::new(ShardFilter::builder().r#type(ShardFilterType::AtLatest).build().ok())
    }

    /// The open shards, and those that were open at this time or later: an answer may still name them, and their ranges are needed when
    /// shards were split twice within a request. `None`: all that the service knows.
    pub(crate) fn since(time: Option<SystemTime>) -> Self {
        let from = |time| {
            let filter = ShardFilter::builder().r#type(ShardFilterType::FromTimestamp);
            filter.timestamp(DateTime::from(time)).build().ok()
        };
        Self::new(time.and_then(from))
    }

    const fn new(filter: Option<ShardFilter>) -> Self {
        Self { filter, shards: Vec::new(), token: None, pages: 0 }
    }

    /// The rest of the pages, and what they say together. To be called again after an error.
    pub(crate) async fn fetch(
        &mut self,
        client: &Client,
        stream: &Stream,
        address: &Address,
    ) -> Result<Listing, ShardMapError> {
        loop {
            let page = match self.next(client, stream, address).await {
                Ok(page) => page,
                Err(error) => {
                    match Kind::of_error(&error) {
                        Some(Kind::Expired) => self.begin_anew(),
                        // A filter that the service does not take, as of a clock that goes wrong: then all shards.
                        Some(Kind::Argument) => {
                            self.filter = None;
                            self.begin_anew();
                        }
                        _ => {}
                    }
                    return Err(ShardMapError::ListShards(CallError::new(error)));
                }
            };
            self.pages += 1;
            self.shards.extend(page.shards.unwrap_or_default());
            let Some(token) = page.next_token else {
                let listing = Listing::read(&self.shards);
                self.begin_anew();
                return listing;
            };
            if token.is_empty() || self.token.as_ref() == Some(&token) || self.pages == MOST_PAGES {
                let pages = self.pages;
                self.begin_anew();
                return Err(ShardMapError::Endless { pages });
            }
            self.token = Some(token);
        }
    }

    /// The following pages carry the token and nothing else: that is how the service wants it.
    async fn next(
        &self,
        client: &Client,
        stream: &Stream,
        address: &Address,
    ) -> Result<ListShardsOutput, SdkError<ListShardsError, HttpResponse>> {
        let first = self.token.is_none();
        client
            .list_shards()
            .set_stream_name(stream.name().filter(|_| first))
            .set_stream_arn(stream.arn().filter(|_| first))
            .set_shard_filter(self.filter.clone().filter(|_| first))
            .set_next_token(self.token.clone())
            .customize()
            .interceptor(address.clone())
            .send()
            .await
    }

    fn begin_anew(&mut self) {
        self.shards.clear();
        self.token = None;
        self.pages = 0;
    }
}

/// Of a thousand shards each, by default: more than an account gets.
const MOST_PAGES: usize = 1000;

#[cfg(test)]
mod tests;
