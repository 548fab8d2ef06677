//! The table of cases `shard-end` in `docs/rules.md`: one test for each row, by the row's number.

use super::*;

/// The response to a call with the iterator, or to the request for a new one.
#[derive(Clone, Copy)]
enum Came {
    /// No next iterator.
    NoIterator,
    NotFound,
}

/// Returns the reader of shard `b` after that response.
fn after(came: Came) -> Polling {
    let mut polling = reading();
    match came {
        Came::NoIterator => {
            let answer = Answered { next: None, ..answer() };
            assert_eq!(polling.answered(at(0), at(0), answer), Ok(()));
        }
        Came::NotFound => {
            polling.records_failed(at(0), Failure::NotFound, MS);
            assert_eq!(polling.step(), Step::Confirm(at(0)));
            polling.confirmed();
        }
    }
    polling
}

/// Returns shard `b` while it is open.
fn open() -> ListedShard {
    shard("b", &[], 1, false)
}

fn closed() -> ListedShard {
    shard("b", &[], 1, true)
}

fn child(id: &str) -> ListedShard {
    shard(id, &["b"], 9, false)
}

fn ends(polling: &Polling) -> Option<usize> {
    match polling.step() {
        Step::End(children) => Some(children.len()),
        _ => None,
    }
}

/// Applies listings of these seconds. Returns when the shard ends, and with how many children.
fn listed(mut polling: Polling, is_ours: bool, listings: &[(u64, &[ListedShard])]) -> Option<(u64, usize)> {
    for (second, listing) in listings {
        assert_eq!(ends(&polling), None, "it ended before {second} s");
        // The same call is refused again.
        if !matches!(polling.step(), Step::List) {
            polling.iterator_failed(at(second * 1000), Failure::NotFound, false, MS);
            polling.confirmed();
        }
        assert_eq!(polling.listed(&ShardId::from("b"), listing, is_ours, at(second * 1000), MS), Ok(()));
        if let Some(children) = ends(&polling) {
            return Some((*second, children));
        }
    }
    None
}

/// Q53: the children in the response do not reach the state (`fetch/read.rs: what_an_answer_says_of_the_end_is_looked_up`).
#[test]
fn row_1_no_iterator_is_no_end_by_itself() {
    assert_eq!(after(Came::NoIterator).step(), Step::List);
}

#[test]
fn row_2_no_iterator_and_the_listing_has_an_end_and_all_children_is_the_end() {
    let polling = after(Came::NoIterator);
    assert_eq!(polling.step(), Step::List);
    assert_eq!(listed(polling, false, &[(0, &[closed(), child("c"), child("d")])]), Some((0, 2)));
}

#[test]
fn row_3_no_iterator_and_the_listing_has_an_end_but_not_all_children_is_the_end_after_a_while() {
    let mut polling = after(Came::NoIterator);
    for _ in 0..MAX_INCOMPLETE {
        assert_eq!(polling.listed(&ShardId::from("b"), &[closed(), child("c")], true, at(0), MS), Ok(()));
        assert_eq!(polling.step(), Step::List);
    }
    assert_eq!(listed(polling, false, &[(0, &[closed(), child("c")])]), Some((0, 1)));
}

#[test]
fn row_4_no_iterator_and_the_listing_has_it_open_is_no_end() {
    let polling = after(Came::NoIterator);
    assert_eq!(listed(polling, true, &[(0, &[open()]), (60, &[open()]), (3600, &[open()])]), None);
}

#[test]
fn row_5_not_known_but_listed_is_no_end() {
    for listing in [[open()], [closed()]] {
        let mut polling = after(Came::NotFound);
        assert_eq!(polling.listed(&ShardId::from("b"), &listing, true, at(0), MS), Ok(()));
        assert_eq!(polling.step(), Step::GetIterator(StartPosition::After(number(10))));
    }
}

/// Q3: a child just named by GetRecords is not yet known to the listing or GetShardIterator.
#[test]
fn row_6_not_listed_and_newer_than_the_listing_is_no_end() {
    let older = [shard("a", &[], 1, true)];
    for came in [Came::NotFound, Came::NoIterator] {
        let polling = after(came);
        assert_eq!(listed(polling, true, &[(0, &older), (31, &older), (3600, &older), (7200, &[])]), None);
    }
}

/// Q1: absence from one listing proves nothing.
#[test]
fn row_7_lacked_by_one_listing_is_no_end() {
    let later = [shard("x", &[], 9, false)];
    for came in [Came::NotFound, Came::NoIterator] {
        assert_eq!(listed(after(came), true, &[(0, &later), (29, &later)]), None);
    }
}

#[test]
fn row_8_lacked_by_two_listings_half_a_minute_apart_has_expired() {
    let later = [shard("x", &[], 9, false)];
    for came in [Came::NotFound, Came::NoIterator] {
        assert_eq!(listed(after(came), true, &[(0, &later), (12, &later), (30, &later)]), Some((30, 0)));
    }
}

#[test]
fn row_9_lacked_and_listed_again_counts_anew() {
    let later = [shard("x", &[], 9, false)];
    let torn: &[(u64, &[ListedShard])] =
        &[(0, &later), (15, &[open(), later[0].clone()]), (31, &later), (60, &later), (61, &later)];
    assert_eq!(listed(after(Came::NotFound), true, torn), Some((61, 0)));
}

/// Q1, Q4: the table may be another stream's.
#[test]
fn row_10_lacked_by_a_stream_that_may_not_be_the_table_s_is_no_end() {
    let later = [shard("x", &[], 9, false)];
    assert_eq!(listed(after(Came::NotFound), false, &[(0, &later), (31, &later), (3600, &later)]), None);
}

#[test]
fn row_11_a_listing_that_failed_says_nothing() {
    let mut polling = after(Came::NotFound);
    for second in [0, 31, 62] {
        polling.listing_failed(at(second * 1000), MS);
        assert_eq!(polling.step(), Step::List);
    }
}

/// Q4: the reader fails before it sends any call to the other stream (`fetch/read.rs: confirm`).
#[test]
fn row_12_until_the_stream_is_known_to_be_the_same_nothing_is_listed() {
    let mut polling = reading();
    polling.records_failed(at(5), Failure::NotFound, MS);
    for second in [0, 31, 62] {
        assert_eq!(polling.step(), Step::Confirm(at(5)));
        polling.listing_failed(at(second * 1000), MS);
    }
}

#[test]
fn row_13_no_iterator_and_lacked_by_a_listing_that_has_all_children_is_the_end() {
    let expired: &[(u64, &[ListedShard])] = &[(0, &[child("c")]), (1, &[child("c"), child("d")])];
    assert_eq!(listed(after(Came::NoIterator), true, expired), None);
    assert_eq!(listed(after(Came::NoIterator), true, &expired[1..]), Some((1, 2)));
    assert_eq!(listed(after(Came::NotFound), true, &expired[1..]), None);
}
