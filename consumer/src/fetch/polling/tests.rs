use kinesis_aggregation::HashKeyRange;

use super::*;

const MS: Duration = Duration::from_millis(1);

fn at(millis: u64) -> Tick {
    Tick::new(Duration::from_millis(millis))
}

fn number(number: u64) -> SequenceNumber {
    number.to_string().parse().expect("a number")
}

fn shard(id: &str, parents: &[&str], starting: u64, closed: bool) -> ListedShard {
    ListedShard {
        id: ShardId::from(id),
        parents: parents.iter().map(|id| ShardId::from(*id)).collect(),
        range: HashKeyRange::FULL,
        starting: number(starting),
        ending: closed.then(|| number(0)),
    }
}

fn own() -> ShardId {
    ShardId::from("own")
}

/// Returns a reader that has an iterator and continues after number 10.
fn reading() -> Polling {
    Polling { iterator: Some("i1".to_owned()), ..Polling::starting(StartPosition::After(number(10)), 1000 * MS, at(0)) }
}

fn answer() -> Answered {
    Answered { first: None, last: None, behind_latest: Some(Duration::ZERO), next: Some("i2".to_owned()) }
}

fn records(last: u64) -> Answered {
    Answered { first: Some(number(last)), last: Some(number(last)), ..answer() }
}

#[test]
fn gets_an_iterator_then_records() {
    let mut polling = Polling::starting(StartPosition::TrimHorizon, 1000 * MS, at(5));
    assert_eq!((polling.step(), polling.ready()), (Step::GetIterator(StartPosition::TrimHorizon), at(5)));
    polling.iterator("i1".to_owned(), SystemTime::UNIX_EPOCH);
    // The first response can be as large as any.
    assert_eq!(polling.step(), Step::GetRecords { iterator: "i1".to_owned(), expected: LARGEST_ANSWER });
    assert_eq!(polling.answered(at(5), at(25), records(11)), Ok(()));
    assert_eq!(
        polling,
        Polling {
            place: StartPosition::After(number(11)),
            iterator: Some("i2".to_owned()),
            ready: at(225),
            expected: A_SECOND_OF_WRITES * 122 / 100,
            ..Polling::starting(StartPosition::TrimHorizon, 1000 * MS, at(0))
        }
    );
}

#[test]
fn polls_at_once_while_behind_and_never_more_than_five_times_a_second() {
    let mut polling = reading();
    let behind = |answer: Answered| Answered { behind_latest: Some(MS), ..answer };
    assert_eq!(polling.answered(at(1000), at(1050), behind(records(11))), Ok(()));
    assert_eq!(polling.ready(), at(1200));
    // A slow response is followed by the next call at once, with records or without.
    assert_eq!(polling.answered(at(1200), at(1900), behind(records(12))), Ok(()));
    assert_eq!(polling.ready(), at(1900));
    assert_eq!(polling.answered(at(1900), at(2500), behind(answer())), Ok(()));
    assert_eq!(polling.ready(), at(2500));
}

#[test]
fn waits_longer_and_longer_while_there_is_nothing() {
    let mut polling = reading();
    let mut now = 0;
    let mut pauses = Vec::new();
    for _ in 0..5 {
        assert_eq!(polling.answered(at(now), at(now + 10), answer()), Ok(()));
        let ready = u64::try_from(polling.ready().since_start().as_millis()).expect("small");
        pauses.push(ready - now - 10);
        now = ready;
    }
    assert_eq!(pauses, [200, 400, 800, 1000, 1000]);
    assert_eq!(polling.answered(at(now), at(now + 10), records(11)), Ok(()));
    assert_eq!(polling.ready(), at(now + 210));
    assert_eq!(polling.idle, SPACING);
}

#[test]
fn a_service_that_does_not_say_how_far_behind_is_asked_again_at_once_after_records() {
    let mut polling = reading();
    assert_eq!(polling.answered(at(0), at(500), Answered { behind_latest: None, ..records(11) }), Ok(()));
    assert_eq!(polling.ready(), at(500));
    assert_eq!(polling.answered(at(500), at(600), Answered { behind_latest: None, ..answer() }), Ok(()));
    assert_eq!(polling.ready(), at(800));
}

/// C9: the bytes that were left behind by the last response, plus those that can have been written since.
#[test]
fn an_answer_can_hold_what_was_written_since_the_last_one() {
    let mut polling = reading();
    assert_eq!(polling.answered(at(0), at(50), records(11)), Ok(()));
    assert_eq!(polling.expected, A_SECOND_OF_WRITES * 5 / 4);
    let behind = |seconds: u64| Answered { behind_latest: Some(Duration::from_secs(seconds)), ..records(12) };
    assert_eq!(polling.answered(at(0), at(1000), behind(3)), Ok(()));
    assert_eq!(polling.expected, 5 * A_SECOND_OF_WRITES);
    assert_eq!(polling.answered(at(0), at(1000), behind(3600)), Ok(()));
    assert_eq!(polling.expected, LARGEST_ANSWER);
    assert_eq!(polling.answered(at(0), at(0), Answered { behind_latest: None, ..records(13) }), Ok(()));
    assert_eq!(polling.expected, LARGEST_ANSWER);
}

#[test]
fn an_expired_iterator_is_replaced_behind_the_last_record() {
    for failure in [Failure::Expired, Failure::InvalidArgument] {
        let mut polling = reading();
        polling.records_failed(at(100), failure, 30 * MS);
        polling.confirmed();
        assert_eq!((polling.step(), polling.ready()), (Step::GetIterator(StartPosition::After(number(10))), at(130)));
    }
}

#[test]
fn a_throttled_call_is_repeated_with_the_same_iterator() {
    for failure in [Failure::Throttled, Failure::Transient, Failure::Denied] {
        let mut polling = reading();
        polling.records_failed(at(100), failure, 30 * MS);
        assert_eq!(polling, Polling { ready: at(300), ..reading() });
        polling.records_failed(at(100), failure, 900 * MS);
        assert_eq!(polling, Polling { ready: at(1000), ..reading() });
    }
}

#[test]
fn latest_stays_at_the_moment_when_it_was_first_asked_for() {
    let mut polling = Polling::starting(StartPosition::Latest, 1000 * MS, at(0));
    let asked = SystemTime::UNIX_EPOCH + 77 * MS;
    polling.iterator("i1".to_owned(), asked);
    polling.records_failed(at(400_000), Failure::Expired, MS);
    assert_eq!(polling.step(), Step::GetIterator(StartPosition::Since(asked)));
}

#[test]
fn a_missing_iterator_is_looked_into_at_once() {
    // S155
    let mut polling = reading();
    assert_eq!(polling.answered(at(0), at(9), Answered { next: None, ..records(11) }), Ok(()));
    assert_eq!((polling.step(), polling.ready()), (Step::List, at(9)));
}

#[test]
fn the_listing_ends_a_closed_shard_with_its_children() {
    let listing = [
        shard("own", &[], 1, true),
        shard("a", &["own"], 9, false),
        shard("b", &["own"], 9, false),
        shard("c", &["a"], 9, false),
    ];
    let mut polling = Polling { iterator: None, unconfirmed: Some(Unconfirmed::End), ..reading() };
    assert_eq!(polling.listed(&own(), &listing, true, at(3), 70 * MS), Ok(()));
    assert_eq!((polling.step(), polling.ready()), (Step::End(listing[1..3].to_vec()), at(3)));
}

#[test]
fn a_merge_ends_with_its_one_child() {
    let listing = [shard("own", &[], 1, true), shard("m", &["own", "other"], 9, false)];
    let mut polling = Polling { iterator: None, unconfirmed: Some(Unconfirmed::End), ..reading() };
    assert_eq!(polling.listed(&own(), &listing, true, at(0), MS), Ok(()));
    assert_eq!(polling.step(), Step::End(listing[1..].to_vec()));
}

#[test]
fn children_that_the_listing_does_not_know_yet_are_waited_for() {
    let listing = [shard("own", &[], 1, true), shard("a", &["own"], 9, false)];
    let mut polling = Polling { iterator: None, unconfirmed: Some(Unconfirmed::End), ..reading() };
    for _ in 0..MAX_INCOMPLETE {
        assert_eq!(polling.listed(&own(), &listing, true, at(0), 70 * MS), Ok(()));
        assert_eq!((polling.step(), polling.ready()), (Step::List, at(70)));
    }
    assert_eq!(polling.listed(&own(), &listing, true, at(0), MS), Ok(()));
    assert_eq!(polling.step(), Step::End(listing[1..].to_vec()));
}

#[test]
fn an_open_shard_is_not_at_its_end_whatever_the_service_says() {
    // S97
    let listing = [shard("own", &[], 1, false)];
    let mut polling = Polling { iterator: None, unconfirmed: Some(Unconfirmed::End), ..reading() };
    assert_eq!(polling.listed(&own(), &listing, true, at(0), 70 * MS), Ok(()));
    assert_eq!(polling, Polling { iterator: None, ready: at(200), idle: 400 * MS, opens: 1, ..reading() });
    assert_eq!(polling.step(), Step::GetIterator(StartPosition::After(number(10))));
    // Later and later, like the pauses of a shard without records.
    for (asked, ready) in [(1000, 1400), (2000, 2800), (3000, 4000), (5000, 6000)] {
        polling.unconfirmed = Some(Unconfirmed::End);
        assert_eq!(polling.listed(&own(), &listing, true, at(asked), 70 * MS), Ok(()));
        assert_eq!(polling.ready(), at(ready));
    }
}

/// A reader whose iterator was refused first confirms the stream.
#[test]
fn what_was_refused_is_asked_of_no_other_stream() {
    for failure in [Failure::NotFound, Failure::InvalidArgument] {
        let mut polling = reading();
        polling.records_failed(at(7), failure, MS);
        assert_eq!(polling.step(), Step::Confirm(at(7)), "{failure:?}");
        polling.confirmed();
        assert!(matches!(polling.step(), Step::List | Step::GetIterator(_)));
    }
    // An iterator expires, and a call fails, while the stream is unchanged.
    for failure in [Failure::Expired, Failure::Throttled, Failure::Transient] {
        let mut polling = reading();
        polling.records_failed(at(7), failure, MS);
        assert!(!matches!(polling.step(), Step::Confirm(_)), "{failure:?}");
    }
}

#[test]
fn a_shard_that_is_listed_exists_and_a_listing_that_failed_says_nothing() {
    let mut polling = reading();
    polling.records_failed(at(0), Failure::NotFound, MS);
    polling.confirmed();
    polling.listing_failed(at(0), 80 * MS);
    assert_eq!((polling.step(), polling.ready()), (Step::List, at(80)));
    assert_eq!(polling.listed(&own(), &[shard("own", &[], 1, true)], true, at(100), MS), Ok(()));
    assert_eq!(polling.step(), Step::GetIterator(StartPosition::After(number(10))));
}

#[test]
fn a_number_below_the_shard_is_of_another_stream() {
    let mut polling = Polling::starting(StartPosition::At(number(10)), 1000 * MS, at(0));
    polling.iterator_failed(at(0), Failure::InvalidArgument, false, MS);
    polling.confirmed();
    assert_eq!(polling.step(), Step::List);
    let listing = [shard("own", &[], 11, false)];
    let foreign = Box::new(Foreign { place: number(10), starting: number(11) });
    assert_eq!(polling.listed(&own(), &listing, true, at(0), MS), Err(foreign.clone()));
    // The result stays the same.
    assert_eq!(polling.listed(&own(), &listing, true, at(0), MS), Err(foreign));
}

#[test]
fn a_number_that_has_expired_is_followed_by_the_oldest_record() {
    // S157
    let mut polling = Polling::starting(StartPosition::At(number(10)), 1000 * MS, at(0));
    polling.iterator_failed(at(0), Failure::InvalidArgument, false, MS);
    polling.confirmed();
    assert_eq!(polling.listed(&own(), &[shard("own", &[], 10, false)], true, at(0), MS), Ok(()));
    assert_eq!(polling.step(), Step::GetIterator(StartPosition::TrimHorizon));
    polling.iterator("i1".to_owned(), SystemTime::UNIX_EPOCH);
    assert_eq!(polling.answered(at(0), at(0), answer()), Ok(()));
    assert_eq!(polling.answered(at(0), at(0), records(11)), Ok(()));
    assert_eq!(polling.expired, None);
}

#[test]
fn a_number_beyond_what_the_shard_holds_is_of_another_stream() {
    // S133: checkpoints of one stream, used on another one that is younger or older, must not hide its records.
    let mut polling = Polling::starting(StartPosition::At(number(1000)), 1000 * MS, at(0));
    polling.iterator_failed(at(0), Failure::InvalidArgument, false, MS);
    polling.confirmed();
    assert_eq!(polling.listed(&own(), &[shard("own", &[], 10, false)], true, at(0), MS), Ok(()));
    polling.iterator("i1".to_owned(), SystemTime::UNIX_EPOCH);
    assert_eq!(
        polling.answered(at(0), at(0), records(11)),
        Err(Box::new(Foreign { place: number(1000), starting: number(11) }))
    );
}

#[test]
fn a_refused_time_is_asked_for_again() {
    let place = StartPosition::Since(SystemTime::UNIX_EPOCH);
    let mut polling = Polling::starting(place.clone(), 1000 * MS, at(0));
    polling.iterator_failed(at(0), Failure::InvalidArgument, false, 50 * MS);
    assert_eq!((polling.step(), polling.ready()), (Step::GetIterator(place), at(50)));
}

#[test]
fn a_number_that_the_service_calls_foreign_is_of_another_stream() {
    let mut polling = Polling::starting(StartPosition::At(number(1000)), 1000 * MS, at(0));
    polling.iterator_failed(at(0), Failure::InvalidArgument, true, MS);
    polling.confirmed();
    let foreign = Box::new(Foreign { place: number(1000), starting: number(10) });
    assert_eq!(polling.listed(&own(), &[shard("own", &[], 10, false)], true, at(0), MS), Err(foreign));
}

mod shard_end;
