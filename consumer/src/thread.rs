//! The thread on which a worker's leases are kept, so that user code cannot delay their renewal (Q32).
//!
//! A tokio runtime has one driver for its timers and sockets. A thread on which user code blocks can take the driver along
//! ([tokio #4730](https://github.com/tokio-rs/tokio/issues/4730)): then all timers of that runtime stop, those of renewals
//! included. So the tasks that keep leases run on a runtime of one thread, which runs nothing else.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::runtime::{Builder, Handle};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// Where the tasks of a worker run: on its own thread, or on the caller's runtime. Clones refer to the same place.
#[derive(Clone, Debug, Default)]
pub(crate) struct Home(Option<Handle>);

impl Home {
    /// Spawns a task there.
    pub(crate) fn spawn<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        match &self.0 {
            Some(thread) => thread.spawn(future),
            None => tokio::spawn(future),
        }
    }

    /// Runs a future there and returns its output, or `None` when the worker and its thread have ended.
    ///
    /// Cancel safe in that the future is then dropped too, a moment later if it is on another thread.
    pub(crate) fn run<T: Send + 'static>(
        &self,
        future: impl Future<Output = T> + Send + 'static,
    ) -> impl Future<Output = Option<T>> + Send {
        // The type is erased: the futures called here are large and deep, and would make those of user code so.
        let future: Pin<Box<dyn Future<Output = T> + Send>> = Box::pin(future);
        async move {
            let Some(thread) = &self.0 else { return Some(future.await) };
            let mut task = AbortOnDrop(thread.spawn(future));
            match (&mut task.0).await {
                Ok(output) => Some(output),
                Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
                Err(_) => None,
            }
        }
    }
}

/// A task that is aborted when this value is dropped.
#[derive(Debug)]
pub(crate) struct AbortOnDrop<T = ()>(pub(crate) JoinHandle<T>);

impl AbortOnDrop {
    /// Waits until the task has ended.
    pub(crate) async fn join(&mut self) {
        if let Err(error) = (&mut self.0).await
            && error.is_panic()
        {
            tracing::error!(%error, "a task of the worker panicked");
        }
    }
}

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The thread of one worker. It ends when this is dropped.
#[derive(Debug)]
pub(crate) struct LeaseThread {
    home: Home,
    _alive: oneshot::Sender<()>,
    ended: Ended,
}

/// The end of a thread. Any number of callers can wait for it.
#[derive(Clone, Debug)]
pub(crate) struct Ended {
    ended: watch::Receiver<bool>,
    thread: Arc<Mutex<Option<std::thread::JoinHandle<()>>>>,
}

impl LeaseThread {
    /// Starts a thread, or returns `None` if the clock of the caller's runtime is paused. Then everything must run on that
    /// runtime: its clock advances only when all its tasks are idle.
    pub(crate) fn start() -> io::Result<Option<Self>> {
        if is_paused() {
            return Ok(None);
        }
        let runtime = Builder::new_current_thread().enable_all().thread_name(NAME).build()?;
        let home = Home(Some(runtime.handle().clone()));
        let (alive, gone) = oneshot::channel();
        let (said, ended) = watch::channel(false);
        let thread = std::thread::Builder::new().name(NAME.to_owned()).spawn(move || {
            // Nothing is ever sent. The sender is dropped after the worker's last task, or instead of it.
            let _dropped = runtime.block_on(gone);
            // Does not wait for a name look-up that hangs.
            runtime.shutdown_background();
            said.send_replace(true);
        })?;
        let thread = Arc::new(Mutex::new(Some(thread)));
        Ok(Some(Self { home, _alive: alive, ended: Ended { ended, thread } }))
    }

    pub(crate) fn home(&self) -> Home {
        self.home.clone()
    }

    pub(crate) fn ended(&self) -> Ended {
        self.ended.clone()
    }
}

impl Ended {
    /// Resolves when the thread has ended. Cancel safe.
    pub(crate) async fn wait(&self) {
        // An error means that the thread panicked, which is an end as well.
        let mut ended = self.ended.clone();
        drop(ended.wait_for(|ended| *ended).await);
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        // Does not block the caller: signalling the end is the thread's last action.
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the thread of the leases panicked");
        }
    }
}

/// Returns `true` if the clock of this runtime is paused, as in a test in virtual time. Tokio has no API for this. But a paused
/// clock stands still while a task of its runtime runs, and the machine's clock advances.
fn is_paused() -> bool {
    let before = Instant::now();
    let machine = machine_now();
    while machine_now() == machine {
        std::hint::spin_loop();
    }
    Instant::now() == before
}

#[expect(clippy::disallowed_methods, reason = "what tokio's clock is compared with")]
fn machine_now() -> std::time::Instant {
    std::time::Instant::now()
}

/// Linux shows 15 bytes of a thread's name.
const NAME: &str = "kinesis-leases";

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn in_paused_time_there_is_no_thread() {
        for _ in 0..100 {
            assert!(LeaseThread::start().expect("nothing to fail").is_none());
            tokio::time::sleep(Duration::from_nanos(1)).await;
        }
        tokio::time::resume();
        assert!(LeaseThread::start().expect("a thread").is_some());
    }

    #[tokio::test]
    async fn in_real_time_tasks_run_on_the_thread_until_it_is_dropped() {
        let thread = LeaseThread::start().expect("a thread").expect("time is real");
        let (home, ended) = (thread.home(), thread.ended());
        let name = || std::thread::current().name().map(ToOwned::to_owned);
        assert_eq!(home.run(async move { name() }).await, Some(Some(NAME.to_owned())));
        assert_eq!(Home::default().run(async move { name() }).await, Some(name()));
        let waits = home.spawn(std::future::pending::<()>());
        drop(thread);
        ended.wait().await;
        assert!(waits.await.is_err_and(|error| error.is_cancelled()), "its tasks are gone");
        assert_eq!(home.run(async {}).await, None);
        ended.wait().await;
    }

    #[tokio::test]
    #[should_panic(expected = "in there")]
    async fn a_panic_on_the_thread_is_the_caller_s() {
        let thread = LeaseThread::start().expect("a thread").expect("time is real");
        thread.home().run(async { panic!("in there") }).await;
    }
}
