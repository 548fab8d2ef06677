use aws_sdk_kinesis::types::{HashKeyRange as ListedRange, SequenceNumberRange, Shard};

use super::*;
use crate::pipeline::fixture::{at, queue};

const HALF: u128 = 1 << 127;

fn shard(id: &str, start: u128, end: u128, open: bool) -> Shard {
    listed(id, &start.to_string(), &end.to_string(), open)
}

fn listed(id: &str, start: &str, end: &str, open: bool) -> Shard {
    let range = ListedRange::builder().starting_hash_key(start).ending_hash_key(end).build().expect("both ends");
    let ending = (!open).then(|| "9".to_owned());
    let numbers = SequenceNumberRange::builder().starting_sequence_number("1").set_ending_sequence_number(ending);
    Shard::builder()
        .shard_id(id)
        .hash_key_range(range)
        .sequence_number_range(numbers.build().expect("a start"))
        .build()
        .expect("all that is required")
}

fn listing(shards: &[Shard]) -> Listing {
    Listing::read(shards).expect("a whole listing")
}

fn next(previous: Option<&ShardMap>, shards: &[Shard], now: u64, serial: u64) -> (ShardMap, Vec<String>) {
    let mut serials = serial..;
    let (map, retired) = ShardMap::next(previous, listing(shards), at(now), Duration::from_secs(36), |_, range| {
        queue(serials.next().unwrap_or_default(), range.start.as_u128(), range.end.as_u128())
    });
    (map, retired.iter().filter_map(|queue| queue.shard().map(str::to_owned)).collect())
}

#[test]
fn a_hash_key_finds_the_shard_that_holds_it_ends_included() {
    let shards = [
        shard("shard-1", HALF, u128::MAX - 10, true),
        shard("shard-2", u128::MAX - 9, u128::MAX, true),
        shard("shard-9", 0, u128::MAX, false),
        shard("shard-0", 0, HALF - 1, true),
    ];
    let (map, _) = next(None, &shards, 0, 0);
    for (hash_key, serial) in
        [(0, 0), (7, 0), (HALF - 1, 0), (HALF, 1), (u128::MAX - 10, 1), (u128::MAX - 9, 2), (u128::MAX, 2)]
    {
        assert_eq!(map.queue(HashKey::new(hash_key)).serial(), serial, "{hash_key}");
    }
}

#[test]
fn a_listing_that_does_not_cover_the_space_once_and_whole_is_torn() {
    let torn = |shards: &[Shard]| Listing::read(shards).expect_err("torn").to_string();
    let expected = |open| format!("the {open} open shards do not cover the hash-key space once and whole");
    assert_eq!(torn(&[]), expected(0));
    assert_eq!(torn(&[shard("a", 0, u128::MAX, false)]), expected(0));
    assert_eq!(torn(&[shard("a", 0, 5, true), shard("b", 7, u128::MAX, true)]), expected(2));
    assert_eq!(torn(&[shard("a", 0, 5, true), shard("b", 5, u128::MAX, true)]), expected(2));
    assert_eq!(torn(&[shard("a", 1, u128::MAX, true)]), expected(1));
    assert_eq!(torn(&[shard("a", 0, u128::MAX - 1, true)]), expected(1));
    assert_eq!(torn(&[listed("a", "0", "ff", true)]), r#"shard a is listed with hash keys "0"..="ff""#);
}

#[test]
fn after_a_split_the_other_shards_keep_their_queues_and_the_parent_is_remembered() {
    let low = || shard("shard-0", 0, HALF - 1, true);
    let (before, _) = next(None, &[low(), shard("shard-1", HALF, u128::MAX, true)], 0, 0);
    let children = [shard("shard-2", HALF, HALF + 9, true), shard("shard-3", HALF + 10, u128::MAX, true)];
    let [left, right] = children;
    let parent = shard("shard-1", HALF, u128::MAX, false);
    let (after, retired) = next(Some(&before), &[low(), parent, left, right], 1000, 2);
    assert_eq!(retired, ["shard-1"]);
    assert!(Arc::ptr_eq(before.queue(HashKey::MIN), after.queue(HashKey::MIN)));
    assert!(after.has(before.queue(HashKey::MIN)) && !after.has(before.queue(HashKey::MAX)));
    assert_eq!(after.range_of("shard-1"), Some(before.queue(HashKey::MAX).range()));
    assert_eq!(after.range_of("shard-2").map(|range| range.end), Some(HashKey::new(HALF + 9)));
    assert_eq!(after.range_of("shard-4"), None);
}

#[test]
fn shards_that_are_listed_no_more_are_forgotten_after_a_while() {
    let whole = |id: &str| [shard(id, 0, u128::MAX, true)];
    let (first, _) = next(None, &whole("shard-0"), 0, 0);
    let (second, retired) = next(Some(&first), &whole("shard-1"), 36_000, 1);
    assert_eq!(retired, ["shard-0"]);
    assert!(second.range_of("shard-0").is_some());
    let (third, retired) = next(Some(&second), &whole("shard-1"), 36_001, 2);
    assert!(retired.is_empty());
    assert!(third.range_of("shard-0").is_none() && third.range_of("shard-1").is_some());
}

#[test]
fn a_stream_made_again_under_its_name_has_other_shards_of_the_same_names() {
    let (one, _) = next(None, &[shard("shard-0", 0, u128::MAX, true)], 0, 0);
    let two = [shard("shard-0", 0, HALF - 1, true), shard("shard-1", HALF, u128::MAX, true)];
    let (two, retired) = next(Some(&one), &two, 1, 0);
    assert_eq!(retired, ["shard-0"]);
    assert_eq!(two.queue(HashKey::MIN).range().end, HashKey::new(HALF - 1));
}
