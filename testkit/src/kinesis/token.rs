//! What the service hands out to be given back: shard iterators, tokens of ListShards and ListStreamConsumers.
//!
//! Opaque to callers: base64 of `|`-separated fields, the last a checksum.

use std::fmt::Write as _;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::clock::Tick;

/// A place in a shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ShardIterator {
    pub(crate) stream: String,
    pub(crate) shard: u32,
    /// The mark of the shard's generation: an iterator does not survive a stream made again under its name.
    pub(crate) opened: u64,
    /// Records from this counter on are still to be read.
    pub(crate) from: u64,
    pub(crate) issued: Tick,
}

impl ShardIterator {
    pub(crate) fn to_text(&self) -> String {
        let issued = self.issued.as_millis();
        seal(format!("I|{}|{}|{}|{}|{issued}", self.stream, self.shard, self.opened, self.from))
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        let plain = unseal(text)?;
        let mut fields = plain.strip_prefix("I|")?.split('|');
        Some(Self {
            stream: fields.next()?.to_owned(),
            shard: fields.next()?.parse().ok()?,
            opened: fields.next()?.parse().ok()?,
            from: fields.next()?.parse().ok()?,
            issued: millis(fields.next()?)?,
        })
    }
}

/// Which shards are asked for. All but `Latest` and `AfterShard` speak of a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Filter {
    /// Numbers above this one.
    AfterShard(u32),
    /// Open now.
    Latest,
    /// Open at this time.
    At(Tick),
    /// Open at this time or later.
    From(Tick),
}

/// Where a listing of shards goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ListToken {
    pub(crate) stream: String,
    /// Creation time of the stream that is meant, in whole milliseconds.
    pub(crate) created: Option<Tick>,
    /// Shards up to this one were shown.
    pub(crate) after: Option<u32>,
    /// Of the next page, from 1.
    pub(crate) number: usize,
    pub(crate) filter: Option<Filter>,
    pub(crate) issued: Tick,
}

impl ListToken {
    pub(crate) fn to_text(&self) -> String {
        let mut text = format!("L|{}|{}|{}|", self.stream, self.number, self.issued.as_millis());
        if let Some(created) = self.created {
            let _ = write!(text, "{}", created.as_millis());
        }
        text.push('|');
        if let Some(after) = self.after {
            let _ = write!(text, "{after}");
        }
        let _ = match self.filter {
            None => write!(text, "|-|0"),
            Some(Filter::AfterShard(index)) => write!(text, "|after|{index}"),
            Some(Filter::Latest) => write!(text, "|latest|0"),
            Some(Filter::At(at)) => write!(text, "|at|{}", at.as_nanos()),
            Some(Filter::From(at)) => write!(text, "|from|{}", at.as_nanos()),
        };
        seal(text)
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        let plain = unseal(text)?;
        let fields: Vec<&str> = plain.strip_prefix("L|")?.split('|').collect();
        let &[stream, number, issued, created, after, kind, value] = fields.as_slice() else { return None };
        let at = || value.parse().ok().map(Duration::from_nanos);
        Some(Self {
            stream: stream.to_owned(),
            number: number.parse().ok()?,
            issued: millis(issued)?,
            created: if created.is_empty() { None } else { Some(millis(created)?) },
            after: if after.is_empty() { None } else { Some(after.parse().ok()?) },
            filter: match kind {
                "-" => None,
                "after" => Some(Filter::AfterShard(value.parse().ok()?)),
                "latest" => Some(Filter::Latest),
                "at" => Some(Filter::At(at()?)),
                "from" => Some(Filter::From(at()?)),
                _ => return None,
            },
        })
    }
}

/// Where a listing of consumers goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ConsumersToken {
    pub(crate) stream: String,
    /// Creation time of the stream that is meant, in whole milliseconds.
    pub(crate) created: Tick,
    /// Consumers up to this name were shown.
    pub(crate) after: String,
    pub(crate) issued: Tick,
}

impl ConsumersToken {
    pub(crate) fn to_text(&self) -> String {
        let (created, issued) = (self.created.as_millis(), self.issued.as_millis());
        seal(format!("C|{}|{created}|{}|{issued}", self.stream, self.after))
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        let plain = unseal(text)?;
        let fields: Vec<&str> = plain.strip_prefix("C|")?.split('|').collect();
        let &[stream, created, after, issued] = fields.as_slice() else { return None };
        let (stream, after) = (stream.to_owned(), after.to_owned());
        Some(Self { stream, created: millis(created)?, after, issued: millis(issued)? })
    }
}

fn millis(text: &str) -> Option<Tick> {
    text.parse().ok().map(Duration::from_millis)
}

fn seal(mut text: String) -> String {
    let sum = checksum(&text);
    let _ = write!(text, "|{sum}");
    URL_SAFE_NO_PAD.encode(text)
}

fn unseal(text: &str) -> Option<String> {
    let mut plain = String::from_utf8(URL_SAFE_NO_PAD.decode(text).ok()?).ok()?;
    let at = plain.rfind('|')?;
    let intact = plain[at + 1..] == checksum(&plain[..at]).to_string();
    plain.truncate(at);
    intact.then_some(plain)
}

/// FNV-1a, 32 bits: enough to tell a damaged token from a whole one.
fn checksum(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_come_back_as_they_were() {
        let iterator = ShardIterator {
            stream: "clicks".into(),
            shard: 3,
            opened: 1,
            from: u64::MAX,
            issued: Duration::from_millis(7),
        };
        assert_eq!(ShardIterator::parse(&iterator.to_text()), Some(iterator));
        let (created, issued) = (Duration::from_millis(7), Duration::from_millis(9));
        let token = ConsumersToken { stream: "clicks".into(), created, after: "a.b-c_d".into(), issued };
        assert_eq!(ConsumersToken::parse(&token.to_text()), Some(token));
        let at = Duration::from_nanos(1_767_225_600_123_456_789);
        for filter in
            [None, Some(Filter::AfterShard(9)), Some(Filter::Latest), Some(Filter::At(at)), Some(Filter::From(at))]
        {
            for after in [None, Some(7)] {
                let token = ListToken { stream: "a.b-c_d".into(), created: None, after, number: 2, filter, issued };
                assert_eq!(ListToken::parse(&token.to_text()), Some(token));
            }
        }
    }

    #[test]
    fn a_damaged_or_foreign_token_is_refused() {
        let token = ListToken {
            stream: "s".into(),
            created: None,
            after: None,
            number: 1,
            filter: None,
            issued: Duration::ZERO,
        };
        let text = token.to_text();
        assert_eq!(ShardIterator::parse(&text), None);
        assert_eq!(ConsumersToken::parse(&text), None);
        for bad in ["", "x", "AAAA", &text[1..], &text[..text.len() - 2], &format!("{text}AAAA"), "💥"] {
            assert_eq!(ListToken::parse(bad), None, "{bad}");
        }
    }
}
