use super::*;
use crate::contents::Plain;
use crate::pipeline::fixture::{accounts, at, queue};

fn batch(data_len: usize, key_len: usize) -> Batch {
    let plain = Plain {
        partition_key: Some("k".repeat(key_len).into()),
        explicit_hash_key: None,
        keyless_to: None,
        data: vec![0; data_len].into(),
    };
    Batch::plain(&accounts(), plain, at(0), false)
}

fn fill(batches: impl IntoIterator<Item = Batch>) -> usize {
    let queue = queue(0, 0, u128::MAX);
    let mut request = Request::default();
    for batch in batches {
        if !request.has_room(&batch) {
            break;
        }
        request.push(&queue, batch);
    }
    request.into_entries().len()
}

#[test]
fn no_more_than_500_entries() {
    assert_eq!(fill((0..600).map(|_| batch(1, 1))), 500);
}

/// S185: the partition keys count.
#[test]
fn no_more_than_5_mib_of_data_and_keys() {
    assert_eq!(fill((0..600).map(|_| batch((1 << 20) - 1, 1))), 5);
    assert_eq!(fill((0..600).map(|_| batch(1 << 20, 1))), 4);
    assert_eq!(fill((0..600).map(|_| batch(21_000, 256))), (5 << 20) / 21_256);
}

#[test]
fn a_record_over_the_limit_goes_by_itself() {
    assert_eq!(fill([batch(10 << 20, 1), batch(1, 1)]), 1);
    assert_eq!(fill([batch(1, 1), batch(10 << 20, 1)]), 1);
}

#[test]
fn a_batch_that_must_be_alone_shares_no_request() {
    let alone = || {
        let mut batch = batch(1, 1);
        batch.alone = true;
        batch
    };
    assert_eq!(fill([alone(), batch(1, 1)]), 1);
    assert_eq!(fill([batch(1, 1), alone()]), 1);
    assert_eq!(fill([alone(), alone()]), 1);
}
