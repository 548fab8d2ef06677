//! Subscriptions stepped by hand.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use tokio::sync::Notify;

use super::*;
use crate::faults::ModelFaults;
use crate::kinesis::create::CreateStream;
use crate::kinesis::entry::{Entry, Place};
use crate::kinesis::put::Pace;
use crate::limits::Limits;
use crate::wire::Wire;

const fn secs(n: u64) -> Tick {
    Duration::from_secs(n)
}

/// An account with the stream "clicks" of two shards, and a subscription to the first from its latest record.
fn subscribed() -> (Account, Subscription, Arc<Notify>) {
    let mut account = Account::new(Limits::default(), 0);
    account.create_stream(CreateStream::provisioned("clicks", 2), secs(0)).unwrap();
    account.settle(secs(1));
    let arn = account.streams["clicks"].arn.clone();
    let register = format!(r#"{{"StreamARN": "{arn}", "ConsumerName": "app"}}"#);
    let register = Wire::Json11.parse(register.as_bytes()).unwrap();
    account.register_stream_consumer(register, secs(1)).map(drop).unwrap();
    account.settle(secs(2));
    let subscribe = format!(
        r#"{{"ConsumerARN": "{arn}/consumer/app:1", "ShardId": "shardId-000000000000",
             "StartingPosition": {{"Type": "LATEST"}}}}"#
    );
    let subscribe = Wire::Json11.parse(subscribe.as_bytes()).unwrap();
    let (subscription, bell) = account.subscribe_to_shard(&subscribe, &ModelFaults::default(), secs(2)).unwrap();
    account.ring();
    assert!(bell.notified().now_or_never().is_some(), "once, to look for the first time");
    (account, subscription, bell)
}

fn put(account: &mut Account, hash: u128, now: Tick) {
    let entry = Entry::from_parts(Place::Alone, "x".into(), "k".to_owned(), Some(hash.to_string())).unwrap();
    account.write("clicks", entry, Pace::Unlimited, now).map(drop).unwrap();
    account.ring();
}

#[test]
fn an_idle_subscription_is_asked_twice_for_each_event() {
    let (mut account, mut subscription, _bell) = subscribed();
    let (mut now, mut asked, mut events) = (secs(2), 0, 0);
    loop {
        asked += 1;
        match subscription.step(&mut account, now) {
            Step::Emit(_) => events += 1,
            Step::Wait(until) => {
                assert!(until > now);
                now = until;
            }
            Step::End => break,
            Step::Fail(refusal) => panic!("{refusal:?}"),
        }
    }
    assert_eq!((now, events, asked), (secs(302), 59, 2 * 59 + 2));
    assert!(matches!(subscription.step(&mut account, now), Step::End));
}

#[test]
fn only_what_concerns_a_subscription_wakes_it() {
    let (mut account, mut subscription, bell) = subscribed();
    assert!(matches!(subscription.step(&mut account, secs(2)), Step::Wait(until) if until == secs(7)));
    put(&mut account, u128::MAX, secs(3));
    assert!(bell.notified().now_or_never().is_none(), "another shard");
    put(&mut account, 0, secs(3));
    assert!(bell.notified().now_or_never().is_some());
    assert!(matches!(subscription.step(&mut account, secs(3)), Step::Emit(event) if event.records.len() == 1));
    account.ring();
    assert!(bell.notified().now_or_never().is_none(), "nothing has happened");
    account.streams.remove("clicks");
    assert!(bell.notified().now_or_never().is_some(), "the stream is gone");
    assert!(matches!(subscription.step(&mut account, secs(3)), Step::Fail(refusal) if refusal.status == 400));
}

#[test]
fn a_subscription_that_leaves_gives_its_seat_back_and_no_other_one_s() {
    let (mut account, subscription, _bell) = subscribed();
    let held = |account: &Account| account.streams["clicks"].consumers.by_name["app"].seats[&0].holder.is_some();
    Subscription { id: subscription.id + 1, ..subscription.clone() }.leave(&mut account);
    assert!(held(&account));
    subscription.leave(&mut account);
    assert!(!held(&account));
}
