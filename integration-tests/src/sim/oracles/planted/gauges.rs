//! What is measured: how long two workers were at a shard together, what buffers hold, how many tasks there are.

use super::*;

#[test]
fn two_workers_at_one_shard() {
    let mut history = sound();
    let ended = of_call(&history, 1, false);
    let ended = history.events.remove(ended);
    let at = of_call(&history, 3, true);
    history.events.insert(at, Event { at: Duration::from_secs(8), ..ended });
    assert_eq!(longest_overlap(&history), Duration::from_secs(1));
    assert!(judge(&history).iter().any(|violation| violation.promise == "C7"));
    // All the same while it stands still, and until it has left the call that it was in.
    let life = history.events[at].worker.clone();
    let frozen = |from, until, begins: Option<u64>| {
        let of_life = |millis, what| Event { at: Duration::from_millis(millis), ..event(0, &life, "", what) };
        let mut history = history.clone();
        let again = begins.into_iter().flat_map(|millis| {
            let begins = Event { at: Duration::from_millis(millis), ..begin(0, &life, 1, 6, &[1]) };
            [begins, Event { shard: PARENT.to_owned(), ..of_life(millis, What::Done(6)) }]
        });
        let meanwhile = of_call(&history, 2, false);
        let stands_still = [of_life(from, What::Frozen), of_life(until, What::Thawed)];
        history.events.splice(meanwhile..meanwhile, stands_still.into_iter().chain(again));
        longest_overlap(&history).as_millis()
    };
    assert_eq!(frozen(5500, 6900, None), 0);
    assert_eq!(frozen(6400, 6500, None), 400, "it did not stand still yet");
    assert_eq!(frozen(5500, 6900, Some(6950)), 100, "it went on");
    assert_eq!(frozen(5500, 6900, Some(6900)), 100, "it went on as it woke");
    assert_eq!(frozen(1000, 2000, None), 1000, "long ago");
    // One that never comes back from its call.
    let hung = broken(|history| _ = history.events.remove(of_call(history, 1, false)));
    assert!(hung.contains(&"C7"), "{hung:?}");
}

#[test]
fn buffers_that_hold_more_than_they_may_are_caught() {
    let holds = |of: &str, bytes| {
        broken(|history| {
            (history.shape.buffered_bytes, history.shape.read_bytes) = (2_000_000, 30_000_000);
            history.events.insert(2, event(1, of, "", What::Holds { bytes }));
        })
    };
    assert_eq!(holds("producer", 2_000_000), [""; 0]);
    assert_eq!(holds("producer", 2_000_001), ["P6"]);
    assert_eq!(holds("w0.0", 30_000_000), [""; 0]);
    assert_eq!(holds("w0.0", 30_000_001), ["C9"]);
}

#[test]
fn a_task_without_a_worker_or_a_lease_is_caught() {
    let tasks = |of_workers, tasks| {
        broken(|history| history.events.push(event(19, "", "", What::Tasks { workers: of_workers, tasks })))
    };
    // Four of each worker, three of the child's lease, one of the finished one.
    assert_eq!(tasks(2, 12), [""; 0]);
    assert_eq!(tasks(2, 13), ["C9"]);
    assert_eq!(tasks(1, 12), ["C9"]);
    let not_at_rest = |history: &mut History| {
        history.events.retain(|event| event.what != What::Converged);
        history.events.push(event(19, "", "", What::Tasks { workers: 2, tasks: 13 }));
    };
    assert!(!broken(not_at_rest).contains(&"C9"), "who knows what they are doing");
}
