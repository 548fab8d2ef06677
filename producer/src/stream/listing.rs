//! The shards of a stream, as ListShards returns them.

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

/// A complete listing of a stream's shards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listing {
    /// Open and closed shards.
    pub(crate) all: Vec<(Arc<str>, HashKeyRange)>,
    /// Open shards in order of their ranges, which cover the hash-key space exactly once.
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

/// A listing in progress. If a page fails, the pages before it are kept, and the next try continues after them.
#[derive(Debug)]
pub(crate) struct Pages {
    filter: Option<ShardFilter>,
    shards: Vec<Shard>,
    token: Option<String>,
    pages: usize,
}

impl Pages {
    /// Lists the open shards. Nothing was sent yet, so no answer can name another shard.
    pub(crate) fn open() -> Self {
        Self::new(ShardFilter::builder().r#type(ShardFilterType::AtLatest).build().ok())
    }

    /// Lists the open shards, and those that were open at this time or later. An answer may still name those, and their
    /// ranges are needed when shards were split twice during a request. With `None`, lists all shards that the service
    /// knows.
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

    /// Fetches the remaining pages. Returns the listing. After an error it can be called again.
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
                        Some(Kind::Expired) => self.begin_again(),
                        // The service rejects the filter, for example because of a wrong clock. Then all shards are
                        // listed.
                        Some(Kind::Argument) => {
                            self.filter = None;
                            self.begin_again();
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
                self.begin_again();
                return listing;
            };
            if token.is_empty() || self.token.as_ref() == Some(&token) || self.pages == MAX_PAGES {
                let pages = self.pages;
                self.begin_again();
                return Err(ShardMapError::Endless { pages });
            }
            self.token = Some(token);
        }
    }

    /// Fetches one page. The service requires that the pages after the first carry only the token.
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

    fn begin_again(&mut self) {
        self.shards.clear();
        self.token = None;
        self.pages = 0;
    }
}

/// A page has a thousand shards by default, so this is more than an account can have.
const MAX_PAGES: usize = 1000;
