//! The row of the leader's lock.

use std::time::Duration;

use crate::lease::table::dynamodb::item::{
    Item, LOCK_DURATION, LOCK_OWNER, LOCK_RELEASED, LOCK_VERSION, Malformed, malformed, required, text,
};
use crate::lease::{LeaderLock, WorkerId};
use crate::text::escaped;

/// The lock in the row with its key, as far as it can be made out: whatever else is wrong with it, its version moves while somebody
/// holds it. `None`: a row without a version, which nobody can hold.
pub(in crate::lease::table::dynamodb) fn lock(item: &Item) -> Option<LeaderLock> {
    let version = text(item, LOCK_VERSION).ok().flatten()?.to_owned();
    let owner = text(item, LOCK_OWNER).ok().flatten().unwrap_or("(nobody)");
    let millis = text(item, LOCK_DURATION).ok().flatten().and_then(|millis| millis.parse().ok());
    let duration = millis.map_or(LONGEST_LOCK, Duration::from_millis).min(LONGEST_LOCK);
    let released = matches!(text(item, LOCK_RELEASED), Ok(Some("1")));
    Some(LeaderLock { owner: WorkerId::from(owner), duration, version, released })
}

/// What is wrong with the row of the lock, if it is not what a lock client writes.
pub(super) fn check_lock(item: &Item) -> Result<LeaderLock, Malformed> {
    required(LOCK_OWNER, text(item, LOCK_OWNER)?)?;
    required(LOCK_VERSION, text(item, LOCK_VERSION)?)?;
    let text = required(LOCK_DURATION, text(item, LOCK_DURATION)?)?;
    let millis: u64 =
        text.parse().map_err(|e| malformed(LOCK_DURATION, format!("is {}, which is no number: {e}", escaped(text))))?;
    if Duration::from_millis(millis) > LONGEST_LOCK {
        return Err(malformed(LOCK_DURATION, format!("is {millis} ms; counted as {} ms", LONGEST_LOCK.as_millis())));
    }
    lock(item).ok_or_else(|| malformed(LOCK_VERSION, "is missing".to_owned()))
}

/// The KCL's lock lasts 120 s. One that claims more would keep everybody from leading, for ever if it is large enough.
const LONGEST_LOCK: Duration = Duration::from_secs(5 * 60);
