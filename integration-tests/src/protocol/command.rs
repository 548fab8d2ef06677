//! The words of a script.

use std::time::Duration;

use kinesis_testkit::Fault;

use super::dates::Jump;
use super::expect::{Condition, Expectation};
use super::operator::Act;
use super::user_code::Habit;
use super::workers::Profile;

#[derive(Debug, Clone)]
pub(super) enum Command {
    /// `stream 4`: makes a stream of so many shards.
    Stream(i32),
    /// `worker a`, with settings behind: starts a worker.
    Worker(String, Profile),
    /// `crash a`: it dies without a word.
    Crash(String),
    /// `restart a`: it dies and comes again under its id.
    Restart(String),
    /// `shutdown a`, `shutdown a within 5s`: it leaves in good order.
    Shutdown(String, Duration),
    /// `freeze a`, `freeze a for 20s`: it stands still; the script goes on.
    Freeze(String, Option<Duration>),
    /// `thaw a`
    Thaw(String),
    /// `user code of a takes 2s`, `… fails`, `… hangs`, `… hangs at 0`, `… is well`
    UserCode(String, Habit),
    /// `lose answer of a's next UpdateItem`, `lose request …`, `delay answer … by 2s`, `throttle a's next 3 GetRecords`
    Next { worker: String, operation: String, calls: usize, fault: Fault },
    /// `cut a from table`, `cut a from stream`, `cut a`: no call gets through until it is healed.
    Cut(String, Side),
    /// `heal a`
    Heal(String),
    /// `throttle table to 5`: units a second. `throttle table to all`: without end.
    ThrottleTable(Option<u64>),
    /// `put 10`, `put 10 to 2`: puts numbered records, in order over the open shards or all to one.
    Put(usize, Option<usize>),
    /// `load 4`: puts that many each second from now on; `load 0` stops.
    Load(usize),
    /// `producer without aggregation`, `producer with ttl 5s`: before the first put.
    Producer(ProducerProfile),
    /// `wait 12s`
    Wait(Duration),
    /// `split 0`
    Split(usize),
    /// `merge 0 1`
    Merge(usize, usize),
    /// `reshard to 300`: UpdateShardCount.
    Reshard(u32),
    /// `delete lease 0`
    DeleteLease(usize),
    /// `row 0 endingHashKey 7`, `other-stream 3 shards`, `listing lags 8s`, …: what happens behind the workers' backs.
    Act(Act),
    /// `stream made anew with 2 shards`: it is deleted, and made again under its name. All that was put has to be done by then.
    MadeAnew(i32),
    /// `set clock of a back 10min`, `… ahead …`: the date that its SDK clients see, `producer` for the producer's.
    SetClock(String, Jump),
    /// `show leases`: whole rows, where it matters.
    ShowLeases,
    /// `expect all done once within 22s`
    Expect(Expectation),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Table,
    Stream,
    Both,
}

#[derive(Debug, Clone, Copy, Default)]
pub(super) struct ProducerProfile {
    pub(super) plain: bool,
    pub(super) ttl: Option<Duration>,
}

impl Command {
    pub(super) fn parse(words: &[&str]) -> Result<Self, String> {
        Ok(match words {
            ["stream", shards] => Self::Stream(number(shards)?),
            ["worker", name, settings @ ..] => Self::Worker((*name).to_owned(), Profile::parse(settings)?),
            ["crash", name] => Self::Crash((*name).to_owned()),
            ["restart", name] => Self::Restart((*name).to_owned()),
            ["shutdown", name] => Self::Shutdown((*name).to_owned(), Duration::from_secs(30)),
            ["shutdown", name, "within", time] => Self::Shutdown((*name).to_owned(), duration(time)?),
            ["freeze", name] => Self::Freeze((*name).to_owned(), None),
            ["freeze", name, "for", time] => Self::Freeze((*name).to_owned(), Some(duration(time)?)),
            ["thaw", name] => Self::Thaw((*name).to_owned()),
            ["user", "code", "of", name, habit @ ..] => Self::UserCode((*name).to_owned(), Habit::parse(habit)?),
            ["lose", "answer", "of", next @ ..] => next_calls(next, Fault::LoseResponse)?,
            ["lose", "request", "of", next @ ..] => next_calls(next, Fault::LoseRequest)?,
            ["delay", "answer", "of", next @ .., "by", time] => {
                next_calls(next, Fault::DelayResponse(duration(time)?))?
            }
            ["delay", "request", "of", next @ .., "by", time] => {
                next_calls(next, Fault::DelayRequest(duration(time)?))?
            }
            ["throttle", "table", "to", "all"] => Self::ThrottleTable(None),
            ["throttle", "table", "to", units] => Self::ThrottleTable(Some(number(units)?)),
            ["throttle", next @ ..] => next_calls(next, Fault::Throttle)?,
            ["expire", "iterator", "of", next @ ..] => next_calls(next, Fault::ExpireIterator)?,
            ["cut", name] => Self::Cut((*name).to_owned(), Side::Both),
            ["cut", name, "from", "table"] => Self::Cut((*name).to_owned(), Side::Table),
            ["cut", name, "from", "stream"] => Self::Cut((*name).to_owned(), Side::Stream),
            ["heal", name] => Self::Heal((*name).to_owned()),
            ["put", records] => Self::Put(number(records)?, None),
            ["put", records, "to", shard] => Self::Put(number(records)?, Some(number(shard)?)),
            ["load", records] => Self::Load(number(records)?),
            ["producer", "without", "aggregation"] => Self::Producer(ProducerProfile { plain: true, ttl: None }),
            ["producer", "with", "ttl", time] => {
                Self::Producer(ProducerProfile { plain: false, ttl: Some(duration(time)?) })
            }
            ["wait", time] => Self::Wait(duration(time)?),
            ["split", shard] => Self::Split(number(shard)?),
            ["merge", shard, adjacent] => Self::Merge(number(shard)?, number(adjacent)?),
            ["reshard", "to", shards] => Self::Reshard(number(shards)?),
            ["delete", "lease", shard] => Self::DeleteLease(number(shard)?),
            ["stream", "made", "anew", "with", shards, "shards"] => Self::MadeAnew(number(shards)?),
            ["set", "clock", "of", name, "back", time] => {
                Self::SetClock((*name).to_owned(), Jump::Back(duration(time)?))
            }
            ["set", "clock", "of", name, "ahead", time] => {
                Self::SetClock((*name).to_owned(), Jump::Ahead(duration(time)?))
            }
            ["show", "leases"] => Self::ShowLeases,
            ["expect", condition @ .., "within", time] => {
                Self::Expect(Expectation { condition: Condition::parse(condition)?, within: duration(time)? })
            }
            ["expect", condition @ ..] => {
                Self::Expect(Expectation { condition: Condition::parse(condition)?, within: Duration::ZERO })
            }
            words => Self::Act(Act::parse(words)?.ok_or("no such command")?),
        })
    }
}

impl Command {
    /// Nothing goes wrong by it: who is there goes on without a loss.
    pub(super) const fn is_orderly(&self) -> bool {
        // A second process under one id is a mistake.
        matches!(self, Self::Worker(_, profile) if profile.id.is_none())
            || matches!(self, Self::Act(act) if act.is_harmless())
            || matches!(
                self,
                Self::Shutdown(..) | Self::Split(_) | Self::Merge(..) | Self::Reshard(_) | Self::SetClock(..)
            )
    }
}

/// `a's next UpdateItem`, `a's next 3 UpdateItem`
fn next_calls(words: &[&str], fault: Fault) -> Result<Command, String> {
    let (worker, calls, operation) = match words {
        [whose, "next", operation] => (whose, 1, operation),
        [whose, "next", calls, operation] => (whose, number(calls)?, operation),
        _ => return Err("of whose next calls?".to_owned()),
    };
    let worker = worker.strip_suffix("'s").ok_or("whose calls?")?.to_owned();
    Ok(Command::Next { worker, operation: (*operation).to_owned(), calls, fault })
}

pub(super) fn number<T: std::str::FromStr>(word: &str) -> Result<T, String> {
    word.parse().map_err(|_| format!("{word} is no number that fits"))
}

/// `500ms`, `12s`, `5min`
pub(super) fn duration(word: &str) -> Result<Duration, String> {
    let digits = word.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let count = number(digits)?;
    match &word[digits.len()..] {
        "ms" => Ok(Duration::from_millis(count)),
        "s" => Ok(Duration::from_secs(count)),
        "min" => Ok(Duration::from_secs(60 * count)),
        _ => Err(format!("{word} is no time")),
    }
}

/// `0`, `3-5`
pub(super) fn shards(words: &[&str]) -> Result<Vec<usize>, String> {
    let mut shards = Vec::new();
    for word in words {
        match word.split_once('-') {
            Some((first, last)) => shards.extend(number::<usize>(first)?..=number(last)?),
            None => shards.push(number(word)?),
        }
    }
    Ok(shards)
}

/// The service's name of a shard.
pub(super) fn shard_id(shard: usize) -> String {
    format!("shardId-{shard:012}")
}
