use std::pin::pin;
use std::sync::Mutex;
use std::task::{Context, Wake, Waker};

use kinesis_aggregation::Aggregator;

use super::*;
use crate::pipeline::fixture::{accounts, at, rules};

const HALF: u128 = 1 << 127;

fn two_shards() -> Router {
    let shard = |id: &str, start, end| (id.into(), HashKeyRange::new(HashKey::new(start), HashKey::new(end)));
    let shards = vec![shard("shard-0", 0, HALF - 1), shard("shard-1", HALF, u128::MAX)];
    Router::new(Some(Listing { all: shards.clone(), open: shards }), rules(), at(0), 7)
}

/// Records whether a queue is locked when it is woken.
struct Watcher {
    queues: Vec<Arc<ShardQueue>>,
    found_locked: Mutex<Option<bool>>,
}

impl Wake for Watcher {
    fn wake(self: Arc<Self>) {
        let is_locked = self.queues.iter().any(|queue| queue.is_locked());
        *self.found_locked.lock().expect("not poisoned") = Some(is_locked);
    }
}

/// The hash key of the lower shard is shorter, so the move returns some room. A waker that puts into this queue would
/// wait for itself.
#[test]
fn no_queue_is_locked_when_the_move_of_a_keyless_batch_gives_room_back() {
    let (router, accounts) = (two_shards(), accounts());
    let queues = router.map().queues().to_vec();
    let mut batch = Batch::open(&accounts, Box::new(Aggregator::new(50_000)), at(0), true);
    let _deliveries = ["a", "b"].map(|data| {
        let route = Route::keyless(queues[1].range().start);
        batch.try_add(&Record::keyless(data), &route).expect("there is room")
    });
    batch.build();
    let watcher = Arc::new(Watcher { queues: queues.clone(), found_locked: Mutex::default() });
    let waker = Waker::from(Arc::clone(&watcher));
    let free = accounts.budget.total() - accounts.budget.held();
    let mut room = pin!(accounts.budget.reserve(free + 1));
    assert!(room.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());

    let returned = Returned { queue: Arc::clone(&queues[1]), batch, cause: Cause::Throttled };
    let changed = router.take_back(returned, at(1));
    assert!(Arc::ptr_eq(&changed[0], &queues[0]));
    assert_eq!(*watcher.found_locked.lock().expect("not poisoned"), Some(false));
}
