use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Wake;

use super::*;

#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

struct Watched {
    delivery: Delivery,
    wakes: Arc<Count>,
}

impl Watched {
    fn new(completion: &Arc<Completion>, index: u32) -> Self {
        Self { delivery: Delivery::new(Arc::clone(completion), index), wakes: Arc::default() }
    }

    fn poll(&mut self) -> Poll<u64> {
        let waker = Waker::from(Arc::clone(&self.wakes));
        let polled = Pin::new(&mut self.delivery).poll(&mut Context::from_waker(&waker));
        polled.map(|result| result.expect("written").sub_sequence)
    }

    fn wakes(&self) -> usize {
        self.wakes.0.load(Ordering::Relaxed)
    }
}

fn written() -> Written {
    Written { shard: "shardId-0".into(), sequence_number: "7".into(), attempts: 2 }
}

#[test]
fn all_deliveries_of_a_batch_end_at_once_and_each_with_its_own_index() {
    let completion = Completion::new();
    let mut first = Watched::new(&completion, 0);
    let mut third = Watched::new(&completion, 2);
    let mut unawaited = Watched::new(&completion, 1);
    assert_eq!((first.poll(), third.poll()), (Poll::Pending, Poll::Pending));
    assert_eq!(third.poll(), Poll::Pending, "polling again does not register twice");
    completion.written(written());
    assert_eq!((first.wakes(), third.wakes(), unawaited.wakes()), (1, 1, 0));
    assert_eq!((first.poll(), third.poll(), unawaited.poll()), (Poll::Ready(0), Poll::Ready(2), Poll::Ready(1)));
}

#[test]
fn a_forwarded_delivery_is_woken_by_the_batch_its_record_went_to() {
    let parent = Completion::new();
    let (low, high) = (Completion::new(), Completion::new());
    let mut waiting = Watched::new(&parent, 0);
    let mut other = Watched::new(&parent, 1);
    let mut late = Watched::new(&parent, 2);
    assert_eq!((waiting.poll(), other.poll()), (Poll::Pending, Poll::Pending));
    parent.forwarded([(Arc::clone(&high), 0), (Arc::clone(&low), 0), (Arc::clone(&high), 1)].into());
    assert_eq!((waiting.wakes(), other.wakes()), (0, 0), "nothing has happened yet that is worth a poll");
    high.written(written());
    assert_eq!((waiting.wakes(), other.wakes()), (1, 0));
    assert_eq!((waiting.poll(), other.poll(), late.poll()), (Poll::Ready(0), Poll::Pending, Poll::Ready(1)));
    low.written(written());
    assert_eq!((other.wakes(), other.poll()), (1, Poll::Ready(0)));
}
