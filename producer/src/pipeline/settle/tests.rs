use std::sync::Mutex;
use std::task::{Context, Poll, Wake, Waker};
use std::{future::Future, pin::Pin};

use super::*;
use crate::contents::Route;
use crate::delivery::Delivery;
use crate::pipeline::collect::Request;
use crate::pipeline::fixture::{accounts, at, queue};
use crate::record::Record;

/// Records how many batches of the queue have no answer yet when the delivery is woken. It takes the queue's lock, like
/// a waker that puts.
struct Watcher {
    queue: Arc<ShardQueue>,
    in_flight: Mutex<Option<usize>>,
}

impl Wake for Watcher {
    fn wake(self: Arc<Self>) {
        let in_flight = self.queue.state().in_flight();
        *self.in_flight.lock().expect("not poisoned") = Some(in_flight);
    }
}

/// A record that was put and is in flight, with its queue.
fn sent() -> (Arc<ShardQueue>, Delivery, Entry) {
    let queue = queue(0, 0, u128::MAX);
    let mut state = queue.state();
    let put = state.put(&Record::new("k", "x"), &Route::keyed("k", None), || at(0), &accounts(), true);
    assert!(state.advance(at(0)).is_empty());
    let batch = state.pop_ready(at(0), |_| true).expect("a lone record is sent at once");
    drop(state);
    let mut request = Request::default();
    request.push(&queue, batch);
    let mut entry = request.into_entries().pop().expect("one");
    entry.begin(at(0));
    (queue, put.delivery, entry)
}

#[test]
fn the_queue_knows_of_an_answer_before_a_delivery_resolves() {
    let (queue, mut delivery, entry) = sent();
    let watcher = Arc::new(Watcher { queue: Arc::clone(&queue), in_flight: Mutex::default() });
    let waker = Waker::from(Arc::clone(&watcher));
    assert!(Pin::new(&mut delivery).poll(&mut Context::from_waker(&waker)).is_pending());
    assert_eq!(queue.state().in_flight(), 1);
    let map = ShardMap::unrouted(Arc::clone(&queue), None);
    let answer = Answer::Written { shard: "shard-0".into(), sequence_number: "1".into() };
    let mut completed = Completed::default();
    completed.answered(&Rules { map: &map, now: at(5), fail_fast: false }, entry, answer, false);
    assert_eq!(*watcher.in_flight.lock().expect("not poisoned"), Some(0));
    assert!(matches!(Pin::new(&mut delivery).poll(&mut Context::from_waker(&waker)), Poll::Ready(Ok(_))));
}

#[test]
fn the_queue_knows_of_a_failed_attempt_and_of_a_request_that_was_not_sent() {
    let (queue, _delivery, entry) = sent();
    let map = ShardMap::unrouted(Arc::clone(&queue), None);
    let failed = Failed { class: Class::Throttled, code: "X".into(), message: "".into(), outcome: Outcome::NotWritten };
    let mut completed = Completed::default();
    completed.answered(&Rules { map: &map, now: at(5), fail_fast: false }, entry, Answer::Failed(failed), false);
    assert_eq!(completed.returned.iter().map(|returned| returned.cause).collect::<Vec<_>>(), [Cause::Throttled]);
    assert_eq!(queue.state().in_flight(), 0);

    let (queue, _delivery, entry) = sent();
    assert_eq!(Completed::unsent(vec![entry]).returned.len(), 1);
    assert_eq!(queue.state().in_flight(), 0);
}
