//! Code that is not ours and runs inside of the producer: wakers, what a client is made of, and a log. What panics there stops nothing here (docs/rules.md,
//! *Whose code runs where*).

use std::fmt;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Poll, Wake, Waker};

/// Each by itself: one that panics stops no other, and changes nothing about what it was woken for.
pub(crate) fn wake(waker: Waker) {
    if catch_unwind(AssertUnwindSafe(|| waker.wake())).is_err() {
        log(|| tracing::error!("a task that waited for the producer panicked when it was woken"));
    }
}

/// Writes a line of the log. A subscriber may panic, as one does that prints where nobody reads any more; there is no other place to say so.
pub(crate) fn log(line: impl FnOnce()) {
    let _ = catch_unwind(AssertUnwindSafe(line));
}

/// Waits for one of tokio's primitives. These wake several in one go and leave out the rest when one of them panics, and the panic is
/// raised in the task that wakes. So they are given a waker that does not panic.
///
/// It allocates: not for what is ready at once.
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

/// A call of the user's client, in which credentials, an HTTP client and interceptors of the user's run.
pub(crate) async fn caught<F: Future>(call: F) -> Result<F::Output, Panicked> {
    let mut call = pin!(call);
    poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| call.as_mut().poll(context))) {
        Ok(Poll::Pending) => Poll::Pending,
        Ok(Poll::Ready(output)) => Poll::Ready(Ok(output)),
        Err(_) => Poll::Ready(Err(Panicked)),
    })
    .await
}

/// What the client is made of panicked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Panicked;

impl fmt::Display for Panicked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the client panicked: its credentials, its HTTP client or one of its interceptors")
    }
}

impl std::error::Error for Panicked {}
