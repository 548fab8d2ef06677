//! The only thing about a signature that is looked at: its time.

use std::time::Duration;

use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;
use http::HeaderMap;

use crate::clock::Tick;
use crate::refusal::Refusal;

/// Kept beside a request whose sender goes by the cloud's clock, or by one that a test has set wrong. Programs on a socket have a
/// clock of their own, and the cloud may have another date.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ChecksSignatureTime;

/// Refuses a signature whose time is more than five minutes off, as the service does. A request that is not signed passes.
pub(crate) fn check_time(headers: &HeaderMap, now: Tick) -> Result<(), Refusal> {
    let Some((text, signed)) = headers.get("x-amz-date").and_then(|date| signed_at(date.to_str().ok()?)) else {
        return Ok(());
    };
    let wrong = |how: String| Err(Refusal::invalid_signature(how));
    if signed.saturating_add(TOLERANCE) < now {
        let (oldest, now) = (basic(now.saturating_sub(TOLERANCE)), basic(now));
        return wrong(format!("Signature expired: {text} is now earlier than {oldest} ({now} - 5 min.)"));
    }
    if now.saturating_add(TOLERANCE) < signed {
        let (newest, now) = (basic(now.saturating_add(TOLERANCE)), basic(now));
        return wrong(format!("Signature not yet current: {text} is still later than {newest} ({now} + 5 min.)"));
    }
    Ok(())
}

/// `20260101T000000Z`, and the time that it means.
fn signed_at(text: &str) -> Option<(&str, Tick)> {
    let part = |range| text.get(range);
    let [year, month, day] = [part(0..4)?, part(4..6)?, part(6..8)?];
    let [hour, minute, second] = [part(9..11)?, part(11..13)?, part(13..15)?];
    let iso = format!("{year}-{month}-{day}T{hour}:{minute}:{second}Z");
    let date = DateTime::from_str(&iso, Format::DateTime).ok()?;
    Some((text, Duration::from_secs(u64::try_from(date.secs()).ok()?)))
}

fn basic(at: Tick) -> String {
    let date = DateTime::from_secs(i64::try_from(at.as_secs()).unwrap_or(i64::MAX));
    date.fmt(Format::DateTime).map(|iso| iso.replace(['-', ':'], "")).unwrap_or_default()
}

/// Of Signature Version 4, either way.
const TOLERANCE: Duration = Duration::from_secs(5 * 60);

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    /// 2026-01-01T00:10:00Z
    const NOW: Tick = Duration::from_secs(1_767_225_600 + 600);

    fn signed(text: &'static str) -> Result<(), String> {
        let headers = [("x-amz-date".parse().expect("a name"), HeaderValue::from_static(text))];
        check_time(&HeaderMap::from_iter(headers), NOW).map_err(|refusal| refusal.message)
    }

    #[test]
    fn five_minutes_either_way_pass() {
        for text in ["20260101T000500Z", "20260101T001000Z", "20260101T001500Z", "no date", ""] {
            assert_eq!(signed(text), Ok(()), "{text}");
        }
        assert_eq!(check_time(&HeaderMap::new(), NOW).map_err(|refusal| refusal.message), Ok(()));
        let old =
            "Signature expired: 20260101T000459Z is now earlier than 20260101T000500Z (20260101T001000Z - 5 min.)";
        assert_eq!(signed("20260101T000459Z"), Err(old.to_owned()));
        let new = "Signature not yet current: 20260101T001501Z is still later than 20260101T001500Z (20260101T001000Z + 5 min.)";
        assert_eq!(signed("20260101T001501Z"), Err(new.to_owned()));
    }
}
