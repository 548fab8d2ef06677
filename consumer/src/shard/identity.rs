//! Which stream a stream is.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_kinesis::primitives::DateTime;

/// A stream, told from every other one, and from those that had or will have its name.
///
/// What counts is the account, the name and the time of creation. The partition and the region do not: endpoints are
/// renamed, emulators name the region that the caller is configured with, and no stream moves from one to another. As
/// text, in the lease table and in errors: the ARN, and the seconds since 1970 with milliseconds.
#[derive(Clone)]
pub(crate) struct StreamIdentity {
    arn: Arc<str>,
    /// Since 1970.
    created: Duration,
}

impl StreamIdentity {
    /// From what the service says; `None` where it does not say which stream this is.
    pub(crate) fn new(arn: &str, created: DateTime) -> Option<Self> {
        // In JSON the time is a fraction of a second, and comes out some nanoseconds off.
        let millis = created.as_nanos().checked_add(500_000)?.checked_div(1_000_000)?;
        let created = Duration::from_millis(u64::try_from(millis).ok().filter(|millis| *millis > 0)?);
        parts(arn)?;
        Some(Self { arn: Arc::from(arn), created })
    }

    /// Whether they are one stream.
    pub(crate) fn is(&self, other: &Self) -> bool {
        parts(&self.arn) == parts(&other.arn) && is_same_time(self.created, other.created)
    }

    /// Whether the stream has that name, or the name in that ARN.
    pub(crate) fn is_named(&self, name_or_arn: &str) -> bool {
        parts(&self.arn).is_some_and(|own| match parts(name_or_arn) {
            Some(other) => own == other,
            None => own.name == name_or_arn,
        })
    }
}

/// The service may give one answer with milliseconds and another without.
fn is_same_time(a: Duration, b: Duration) -> bool {
    let is_whole = |time: Duration| time.subsec_nanos() == 0;
    a == b || (a.as_secs() == b.as_secs() && (is_whole(a) || is_whole(b)))
}

#[derive(PartialEq, Eq)]
struct Parts<'a> {
    account: &'a str,
    name: &'a str,
}

fn parts(arn: &str) -> Option<Parts<'_>> {
    let mut fields = arn.splitn(6, ':');
    let (arn, _partition, service, _region) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
    let (account, name) = (fields.next()?, fields.next()?.strip_prefix("stream/")?);
    (arn == "arn" && service == "kinesis" && !name.is_empty()).then_some(Parts { account, name })
}

impl fmt::Display for StreamIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}.{:03}", self.arn, self.created.as_secs(), self.created.subsec_millis())
    }
}

impl fmt::Debug for StreamIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for StreamIdentity {
    type Err = NoStreamIdentity;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parse = || {
            let (arn, created) = text.split_once(' ')?;
            let (seconds, millis) = created.split_once('.')?;
            let is_decimal = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            (is_decimal(seconds) && is_decimal(millis) && millis.len() == 3).then_some(())?;
            let created = Duration::new(seconds.parse().ok()?, millis.parse::<u32>().ok()? * 1_000_000);
            parts(arn)?;
            Some(Self { arn: Arc::from(arn), created })
        };
        parse().ok_or(NoStreamIdentity)
    }
}

/// A text that names no stream by its ARN and time of creation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is no ARN of a stream with a time of creation")]
pub(crate) struct NoStreamIdentity;

#[cfg(test)]
mod tests {
    use super::*;

    const CLICKS: &str = "arn:aws:kinesis:us-east-1:123456789012:stream/clicks 1764522000.123";

    fn stream(text: &str) -> StreamIdentity {
        text.parse().expect("a stream")
    }

    #[test]
    fn reads_what_it_writes() {
        assert_eq!(stream(CLICKS).to_string(), CLICKS);
        let made = StreamIdentity::new(
            "arn:aws:kinesis:us-east-1:123456789012:stream/clicks",
            DateTime::from_secs_and_nanos(1_764_522_000, 122_999_999),
        );
        assert_eq!(made.expect("a stream").to_string(), CLICKS);
        for text in
            ["", "clicks", "arn:aws:kinesis:us-east-1:1:stream/clicks", "arn:aws:kinesis:us-east-1:1:stream/clicks 1.5"]
        {
            assert!(text.parse::<StreamIdentity>().is_err(), "{text}");
        }
        assert!(StreamIdentity::new("", DateTime::from_secs(5)).is_none());
        assert!(StreamIdentity::new("arn:aws:kinesis:us-east-1:1:stream/clicks", DateTime::from_secs(0)).is_none());
    }

    /// Rule `which-stream`: account, name and time of creation.
    #[test]
    fn account_name_and_creation_tell_streams_apart() {
        for (text, same) in [
            (CLICKS, true),
            ("arn:aws:kinesis:eu-west-1:123456789012:stream/clicks 1764522000.123", true),
            ("arn:aws-cn:kinesis:us-east-1:123456789012:stream/clicks 1764522000.123", true),
            // Without milliseconds it may be any of that second.
            ("arn:aws:kinesis:us-east-1:123456789012:stream/clicks 1764522000.000", true),
            ("arn:aws:kinesis:us-east-1:123456789012:stream/clicks 1764522000.124", false),
            ("arn:aws:kinesis:us-east-1:123456789012:stream/clicks 1764522001.123", false),
            ("arn:aws:kinesis:us-east-1:123456789012:stream/orders 1764522000.123", false),
            ("arn:aws:kinesis:us-east-1:123456789013:stream/clicks 1764522000.123", false),
        ] {
            assert_eq!(stream(CLICKS).is(&stream(text)), same, "{text}");
        }
    }

    #[test]
    fn is_known_by_its_name_and_by_its_arn() {
        let clicks = stream(CLICKS);
        assert!(clicks.is_named("clicks") && clicks.is_named("arn:aws:kinesis:eu-west-1:123456789012:stream/clicks"));
        assert!(!clicks.is_named("orders") && !clicks.is_named("arn:aws:kinesis:us-east-1:1:stream/clicks"));
    }
}
