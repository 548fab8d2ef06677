//! The shards of a stream, as ListShards tells them.

use std::sync::Arc;
use std::time::SystemTime;

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::config::http::HttpResponse;
use aws_sdk_kinesis::error::SdkError;
use aws_sdk_kinesis::operation::list_shards::{ListShardsError, ListShardsOutput};
use aws_sdk_kinesis::primitives::DateTime;
use aws_sdk_kinesis::types::{Shard, ShardFilter, ShardFilterType};
use kinesis_aggregation::{HashKey, HashKeyRange};
use kinesis_service_errors::{Address, Kind};

use super::Stream;
use crate::error::{CallError, ShardMapError};

/// A whole listing of a stream's shards that makes sense.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listing {
    /// Open and closed.
    pub(crate) all: Vec<(Arc<str>, HashKeyRange)>,
    /// In order of their ranges, which cover the hash-key space once and whole.
    pub(crate) open: Vec<(Arc<str>, HashKeyRange)>,
}

impl Listing {
    pub(crate) fn read(shards: &[Shard]) -> Result<Self, ShardMapError> {
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
