//! Guards against code of the user that runs inside the producer: wakers, parts of a client, and the log. A panic there
//! stops nothing here (docs/rules.md, *Whose code runs where*).

use std::fmt;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Poll, Wake, Waker};

/// Wakes one waker by itself. A waker that panics stops no other, and changes nothing about the event.
pub(crate) fn wake(waker: Waker) {
    if catch_unwind(AssertUnwindSafe(|| waker.wake())).is_err() {
        log(|| tracing::error!("a task that waited for the producer panicked when it was woken"));
    }
}

/// Writes a line to the log. A subscriber may panic, for example one that writes to a closed pipe. There is no other
/// place to report that.
pub(crate) fn log(line: impl FnOnce()) {
    let _ = catch_unwind(AssertUnwindSafe(line));
}

/// Waits for one of tokio's primitives, with a waker that cannot panic.
///
/// Such a primitive wakes several tasks in one loop. If a waker panics, the loop stops, the other tasks are not woken,
/// and the panic appears in the task that wakes.
///
/// This allocates, so it is not for a future that is ready at once.
pub(crate) async fn guarded<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let mut guard: Option<Arc<Guard>> = None;
    poll_fn(move |context| {
        let guard = match &mut guard {
            Some(guard) if guard.0.will_wake(context.waker()) => guard,
            guard => guard.insert(Arc::new(Guard(context.waker().clone()))),
        };
        let waker = Waker::from(Arc::clone(guard));
        future.as_mut().poll(&mut std::task::Context::from_waker(&waker))
    })
    .await
}

struct Guard(Waker);

impl Wake for Guard {
    fn wake(self: Arc<Self>) {
        wake(self.0.clone());
    }
}

/// Polls a call of the user's client and catches its panics. Credentials, the HTTP client and interceptors run in it.
pub(crate) async fn caught<F: Future>(call: F) -> Result<F::Output, Panicked> {
    let mut call = pin!(call);
    poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| call.as_mut().poll(context))) {
        Ok(Poll::Pending) => Poll::Pending,
        Ok(Poll::Ready(output)) => Poll::Ready(Ok(output)),
        Err(_) => Poll::Ready(Err(Panicked)),
    })
    .await
}

/// A part of the client panicked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Panicked;

impl fmt::Display for Panicked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the client panicked: its credentials, its HTTP client or one of its interceptors")
    }
}

impl std::error::Error for Panicked {}
