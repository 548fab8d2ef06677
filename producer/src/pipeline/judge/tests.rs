use kinesis_aggregation::HashKey;
use proptest::prelude::*;

use super::*;

const PARENT: &str = "shardId-0";
const LOW: &str = "shardId-1";
const HIGH: &str = "shardId-2";

fn range(start: u128, end: u128) -> HashKeyRange {
    HashKeyRange::new(HashKey::new(start), HashKey::new(end))
}

/// A parent of 0..=99 that was split at 50. The map may not know the children yet.
fn known(shard: &str) -> Option<HashKeyRange> {
    match shard {
        PARENT => Some(range(0, 99)),
        LOW => Some(range(0, 49)),
        HIGH => Some(range(50, 99)),
        _ => None,
    }
}

fn written(shard: &str) -> Answer {
    Answer::Written { shard: shard.into(), sequence_number: "1".into() }
}

fn failed(class: Class) -> Answer {
    let outcome = Outcome::NotWritten;
    Answer::Failed(Failed { class, code: "Code".into(), message: "".into(), outcome })
}

#[test]
fn every_answer_has_its_verdict() {
    use Verdict::*;
    let all = range(10, 90);
    let low = range(10, 49);
    let one = range(70, 70);
    let table = [
        // Written on the expected shard, whatever the map says by now.
        (written(PARENT), Some(PARENT), all, true, Done),
        // Written on a child: done if the child holds all hash keys, and otherwise sent again whole.
        (written(LOW), Some(PARENT), low, true, Done),
        (written(LOW), Some(PARENT), all, true, Misrouted),
        (written(HIGH), Some(PARENT), all, true, Misrouted),
        // Built for the children, written on the parent, which was still there.
        (written(PARENT), Some(LOW), low, true, Done),
        // A shard that the map does not know.
        (written("shardId-9"), Some(PARENT), all, true, AskMap),
        // A single hash key cannot be misrouted, whatever is known of the shard.
        (written("shardId-9"), Some(PARENT), one, true, Done),
        (written(LOW), Some(PARENT), one, true, Done),
        // The service distributes the records itself.
        (written("shardId-9"), None, all, true, Done),
        // Failures.
        (failed(Class::Throttled), Some(PARENT), all, true, Again),
        (failed(Class::Transient), Some(PARENT), all, true, Again),
        (failed(Class::Transient), None, all, false, Again),
        (failed(Class::NeedsAction), Some(PARENT), all, true, Again),
        // One invalid entry must not fail the others.
        (failed(Class::Invalid), Some(PARENT), all, true, Alone),
        (failed(Class::Invalid), Some(PARENT), all, false, Refused),
    ];
    for (answer, predicted, hash_keys, had_others, expected) in table {
        let sent = Sent { predicted, hash_keys, had_others, fail_fast: false };
        assert_eq!(judge(&answer, &sent, known), expected, "{answer:?} of {sent:?}");
        // With `fail_fast` only a refusal that an operator can end is judged differently.
        let impatient = judge(&answer, &Sent { fail_fast: true, ..sent }, known);
        let needs_action = answer == failed(Class::NeedsAction);
        assert_eq!(impatient, if needs_action { NeedsAction } else { expected }, "{answer:?}");
    }
}

#[test]
fn only_another_shard_than_predicted_shows_a_stale_map() {
    assert!(shows_stale_map(&written(LOW), Some(PARENT)));
    assert!(!shows_stale_map(&written(PARENT), Some(PARENT)));
    assert!(!shows_stale_map(&written(PARENT), None));
    assert!(!shows_stale_map(&failed(Class::Throttled), Some(PARENT)));
}

proptest! {
    /// P2: a batch is done only where a consumer that filters by hash-key range delivers all of it, whatever the map
    /// knows.
    #[test]
    fn done_means_that_a_filtering_consumer_delivers_all(
        (start, end) in (0u128..1000, 0u128..1000).prop_map(|(a, b)| (a.min(b), a.max(b))),
        boundaries in prop::collection::btree_set(1u128..1000, 0..8),
        landed in 0usize..8,
        predicted in 0usize..8,
        map_knows in any::<bool>(),
    ) {
        let starts: Vec<u128> = [0].into_iter().chain(boundaries).collect();
        let shards: Vec<HashKeyRange> =
            starts.iter().enumerate().map(|(i, s)| range(*s, starts.get(i + 1).map_or(1000, |next| next - 1))).collect();
        // The service routes by the first hash key, which can be any of those inside.
        let landed = landed % shards.len();
        let hash_keys = range(start, end);
        prop_assume!(shards[landed].overlaps(&hash_keys));
        let name = |shard: usize| format!("shard-{shard}");
        let predicted = name(predicted % shards.len());
        // A prediction comes from a map in which that shard held all these hash keys.
        prop_assume!(predicted != name(landed) || shards[landed].covers(&hash_keys));
        let sent = Sent { predicted: Some(&predicted), hash_keys, had_others: false, fail_fast: false };
        let verdict = judge(&written(&name(landed)), &sent, |_| map_knows.then_some(shards[landed]));
        let delivered = shards[landed].covers(&hash_keys);
        match verdict {
            Verdict::Done => prop_assert!(delivered),
            Verdict::Misrouted => prop_assert!(!delivered),
            Verdict::AskMap => prop_assert!(!map_knows),
            other => prop_assert!(false, "{other:?}"),
        }
    }
}
