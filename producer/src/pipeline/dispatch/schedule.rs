//! Decides which queue the dispatcher looks at next, and when.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::clock::Tick;
use crate::pipeline::collect::Request;
use crate::pipeline::settle;
use crate::pipeline::shard_queue::ShardQueue;

/// The queues with batches to send now, and the queues with something to do later.
#[derive(Default)]
pub(super) struct Schedule {
    /// When to refresh which queue. A queue has at most one place here, the alarm in its state.
    alarms: BTreeMap<(Tick, u64), Arc<ShardQueue>>,
    /// Queues with batches to send, each at most once. They take turns.
    ready: VecDeque<Arc<ShardQueue>>,
}

impl Schedule {
    /// Refreshes every queue whose alarm has come.
    pub(super) fn refresh_due(&mut self, now: Tick) {
        while let Some(alarm) = self.alarms.first_entry()
            && alarm.key().0 <= now
        {
            let queue = alarm.remove();
            queue.state().alarm = None;
            self.refresh(&queue, now);
        }
    }

    /// Brings a queue up to now, settles its expired batches, sets its alarm, and lists it as ready if it has a batch
    /// to send.
    pub(super) fn refresh(&mut self, queue: &Arc<ShardQueue>, now: Tick) {
        let mut state = queue.state();
        state.in_wake_list = false;
        let expired = state.advance(now);
        let joins = state.is_ready(now) && !std::mem::replace(&mut state.in_ready, true);
        let wake_at = state.wake_at(now);
        let alarm = std::mem::replace(&mut state.alarm, wake_at);
        drop(state);
        settle::expired(expired);
        if joins {
            self.ready.push_back(Arc::clone(queue));
        }
        if alarm != wake_at {
            if let Some(at) = alarm {
                self.alarms.remove(&(at, queue.serial()));
            }
            if let Some(at) = wake_at {
                self.alarms.insert((at, queue.serial()), Arc::clone(queue));
            }
        }
    }

    /// Fills a request from the ready queues. The request is empty if no queue is ready.
    pub(super) fn collect(&mut self, now: Tick) -> Request {
        let mut request = Request::default();
        while let Some(queue) = self.ready.pop_front() {
            let had_others = !request.is_empty();
            let mut state = queue.state();
            while let Some(batch) = state.pop_ready(now, |batch| request.has_room(batch)) {
                request.push(&queue, batch);
            }
            let is_full = state.is_ready(now);
            state.in_ready = is_full;
            drop(state);
            if !is_full {
                self.refresh(&queue, now);
                continue;
            }
            // The request is full. If this queue alone filled it, the queue goes last. Otherwise it goes first in the
            // next request.
            if had_others {
                self.ready.push_front(queue);
            } else {
                self.ready.push_back(queue);
            }
            break;
        }
        request
    }

    pub(super) fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Returns when to refresh the next queue.
    pub(super) fn next_alarm(&self) -> Option<Tick> {
        self.alarms.first_key_value().map(|((at, _), _)| *at)
    }
}
