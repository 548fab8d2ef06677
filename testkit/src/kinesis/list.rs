//! ListShards: filters and paging.

use serde::{Deserialize, Serialize};

use super::account::Account;
use super::names::stream_not_found;
use super::shard::{Shard, parse_shard_id, shard_id};
use super::stream::{Status, Stream};
use super::token::{Filter, ListToken};
use crate::clock::Tick;
use crate::faults::ModelFaults;
use crate::refusal::Refusal;
use crate::wire::Timestamp;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ListShards {
    stream_name: Option<String>,
    #[serde(rename = "StreamARN")]
    stream_arn: Option<String>,
    stream_creation_timestamp: Option<Timestamp>,
    next_token: Option<String>,
    exclusive_start_shard_id: Option<String>,
    max_results: Option<i64>,
    shard_filter: Option<FilterRequest>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct FilterRequest {
    r#type: Option<String>,
    shard_id: Option<String>,
    timestamp: Option<Timestamp>,
}

impl Account {
    pub(crate) fn list_shards(
        &mut self,
        request: ListShards,
        faults: &ModelFaults,
        now: Tick,
    ) -> Result<impl Serialize, Refusal> {
        let limit = page_size("maxResults", request.max_results, 1000)?;
        let page = self.page(&request, now)?;
        if faults.throttles_page(page.number) {
            return Err(Refusal::limit_exceeded(format!("Rate exceeded for stream {}.", page.stream)));
        }
        let at = self.listed_at(&page.stream, faults, now);
        let stream = self.stream(Some(&page.stream), None)?;
        if stream.status == Status::Creating || stream.status == Status::Deleting {
            return Err(Refusal::in_use(format!("Stream {} is in the {} state.", stream.name, stream.status.as_str())));
        }
        if page.created.is_some_and(|created| created.as_millis() != stream.created.as_millis()) {
            return Err(stream_not_found(&stream.name));
        }
        let mut rest = stream
            .shards_listed_at(at, faults, now)
            .filter(|shard| page.after.is_none_or(|after| shard.index > after))
            .filter(|shard| page.filter.is_none_or(|filter| filter.takes(shard, at)));
        let shards: Vec<ShardDescription> =
            rest.by_ref().take(limit).map(|shard| ShardDescription::of(shard, at)).collect();
        let last = shards.last().and_then(|shard| parse_shard_id(&shard.shard_id));
        let next_token = if rest.next().is_some() {
            let (created, number) = (Some(stream.created), page.number + 1);
            Some(ListToken { after: last, created, number, issued: now, ..page }.to_text())
        } else {
            None
        };
        Ok(ListShardsAnswer { shards, next_token })
    }

    /// What to list and from where: as the token says, or as the request says.
    fn page(&mut self, request: &ListShards, now: Tick) -> Result<ListToken, Refusal> {
        let named = request.stream_name.is_some() || request.stream_arn.is_some();
        let Some(token) = &request.next_token else {
            if named {
                return self.first_page(request, now);
            }
            return Err(Refusal::invalid_argument("Either NextToken or StreamName should be provided."));
        };
        if named || request.stream_creation_timestamp.is_some() {
            return Err(Refusal::invalid_argument("NextToken and StreamName cannot be provided together."));
        }
        if request.exclusive_start_shard_id.is_some() {
            return Err(Refusal::invalid_argument("NextToken and ExclusiveStartShardId cannot be provided together."));
        }
        if request.shard_filter.is_some() {
            return Err(Refusal::invalid_argument("NextToken and ShardFilter cannot be provided together."));
        }
        let page = ListToken::parse(token).ok_or_else(|| Refusal::invalid_argument("NextToken is invalid."))?;
        if page.issued.saturating_add(self.limits.token_life) < now {
            return Err(Refusal::expired_token("The pagination token has expired.".to_owned()));
        }
        Ok(page)
    }

    fn first_page(&mut self, request: &ListShards, now: Tick) -> Result<ListToken, Refusal> {
        let stream = self.stream(request.stream_name.as_deref(), request.stream_arn.as_deref())?;
        let after = match request.exclusive_start_shard_id.as_deref() {
            None => None,
            Some(id) => Some(parse_shard_id(id).ok_or_else(|| bad_shard_id(id, "exclusiveStartShardId"))?),
        };
        Ok(ListToken {
            stream: stream.name.clone(),
            created: request.stream_creation_timestamp.map(|at| at.0),
            after,
            filter: request.shard_filter.as_ref().map(|filter| filter.parse(stream, now)).transpose()?,
            number: 1,
            issued: now,
        })
    }
}

/// How many items a page has: what was asked for, at most `most`. Up to 10 000 may be asked for.
pub(crate) fn page_size(member: &str, asked: Option<i64>, most: usize) -> Result<usize, Refusal> {
    let Some(asked) = asked else { return Ok(most) };
    match usize::try_from(asked) {
        Ok(n @ 1..=10_000) => Ok(n.min(most)),
        Ok(10_001..) => Err(Refusal::constraint(asked, member, "Member must have value less than or equal to 10000")),
        _ => Err(Refusal::constraint(asked, member, "Member must have value greater than or equal to 1")),
    }
}

impl FilterRequest {
    fn parse(&self, stream: &Stream, now: Tick) -> Result<Filter, Refusal> {
        let kind = self.r#type.as_deref().ok_or_else(|| Refusal::missing("shardFilter.type"))?;
        let trim_horizon = stream.trim_horizon(now);
        let misplaced = [
            ("ShardId", self.shard_id.is_some() && kind != "AFTER_SHARD_ID"),
            ("Timestamp", self.timestamp.is_some() && !matches!(kind, "AT_TIMESTAMP" | "FROM_TIMESTAMP")),
        ];
        if let Some((member, _)) = misplaced.into_iter().find(|(_, is_misplaced)| *is_misplaced) {
            let refusal = format!("{member} cannot be specified for ShardFilter type {kind}.");
            return Err(Refusal::invalid_argument(refusal));
        }
        let with_time = |make: fn(Tick) -> Filter| match self.timestamp {
            // What has been trimmed does not count: a time before the trim horizon means the trim horizon.
            Some(Timestamp(at)) if at.as_millis() <= now.as_millis() => Ok(make(at.max(trim_horizon))),
            Some(Timestamp(at)) => Err(future_timestamp(at, now)),
            None => Err(Refusal::invalid_argument(format!("Timestamp must be specified for ShardFilter type {kind}."))),
        };
        match kind {
            "AFTER_SHARD_ID" => {
                let id = self.shard_id.as_deref();
                let id = id.ok_or_else(|| {
                    Refusal::invalid_argument("ShardId must be specified for ShardFilter type AFTER_SHARD_ID.")
                })?;
                Ok(Filter::AfterShard(parse_shard_id(id).ok_or_else(|| bad_shard_id(id, "shardFilter.shardId"))?))
            }
            "AT_LATEST" => Ok(Filter::Latest),
            "AT_TRIM_HORIZON" => Ok(Filter::At(trim_horizon)),
            "FROM_TRIM_HORIZON" => Ok(Filter::From(trim_horizon)),
            "AT_TIMESTAMP" => with_time(Filter::At),
            "FROM_TIMESTAMP" => with_time(Filter::From),
            other => Err(Refusal::constraint(
                other,
                "shardFilter.type",
                "Member must satisfy enum value set: [AFTER_SHARD_ID, AT_TRIM_HORIZON, FROM_TRIM_HORIZON, AT_LATEST, \
                 AT_TIMESTAMP, FROM_TIMESTAMP]",
            )),
        }
    }
}

impl Filter {
    /// `seen_at` is when the shards looked as they are listed.
    fn takes(self, shard: &Shard, seen_at: Tick) -> bool {
        // In whole milliseconds, as times travel.
        let closed = shard.closed_at(seen_at);
        let ends_before = |at: Tick| closed.is_some_and(|closed| closed.at.as_millis() < at.as_millis());
        match self {
            Self::AfterShard(index) => shard.index > index,
            Self::Latest => closed.is_none(),
            Self::At(at) => shard.opened.as_millis() <= at.as_millis() && !ends_before(at),
            Self::From(at) => !ends_before(at),
        }
    }
}

pub(crate) fn future_timestamp(at: Tick, now: Tick) -> Refusal {
    Refusal::invalid_argument(format!(
        "The timestampInMillis parameter cannot be greater than the currentTimestampInMillis. \
         timestampInMillis: {}, currentTimestampInMillis: {}",
        at.as_millis(),
        now.as_millis()
    ))
}

pub(crate) fn bad_shard_id(id: &str, member: &str) -> Refusal {
    Refusal::constraint(id, member, "Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+")
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ListShardsAnswer {
    shards: Vec<ShardDescription>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ShardDescription {
    shard_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_shard_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    adjacent_parent_shard_id: Option<String>,
    hash_key_range: HashKeyRange,
    sequence_number_range: SequenceNumberRange,
}

impl ShardDescription {
    /// As the shard was at `at`.
    pub(crate) fn of(shard: &Shard, at: Tick) -> Self {
        Self {
            shard_id: shard.id(),
            parent_shard_id: shard.parent.map(shard_id),
            adjacent_parent_shard_id: shard.adjacent_parent.map(shard_id),
            hash_key_range: HashKeyRange::of(shard.range),
            sequence_number_range: SequenceNumberRange {
                starting_sequence_number: shard.starting.to_string(),
                ending_sequence_number: shard.closed_at(at).map(|closed| closed.ending.to_string()),
            },
        }
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct HashKeyRange {
    starting_hash_key: String,
    ending_hash_key: String,
}

impl HashKeyRange {
    pub(crate) fn of((first, last): (u128, u128)) -> Self {
        Self { starting_hash_key: first.to_string(), ending_hash_key: last.to_string() }
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct SequenceNumberRange {
    starting_sequence_number: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    ending_sequence_number: Option<String>,
}
