//! What became of a fault that a test asked for.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A fault that was asked for, to be asked in turn whether it happened. It goes on counting when it has been healed; it may
/// be dropped.
///
/// ```
/// # use kinesis_testkit::{Cloud, Fault};
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// # let cloud = Cloud::new();
/// # cloud.create_stream("clicks", 1).await;
/// # let a = cloud.connect("a").await;
/// let lost = cloud.faults("a").next("PutRecord", Fault::LoseResponse);
/// # let put = a.kinesis.put_record().stream_name("clicks").partition_key("user-7").data(b"hello".as_slice().into());
/// put.send().await.expect("the SDK tries again");
/// assert_eq!(lost.struck(), 1);
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Injection(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    what: String,
    struck: AtomicUsize,
}

impl Injection {
    pub(crate) fn new(what: String) -> Self {
        Self(Arc::new(Inner { what, struck: AtomicUsize::new(0) }))
    }

    /// How many calls it has struck. An answer is struck when it would have come, entries of PutRecords when one of them
    /// fails, a subscription when it breaks or falls silent; all else when the call is made.
    pub fn struck(&self) -> usize {
        self.0.struck.load(Ordering::Relaxed)
    }

    pub(crate) fn strike(&self) {
        self.0.struck.fetch_add(1, Ordering::Relaxed);
    }
}

/// What was asked for: `next PutRecords: LoseResponse`.
impl fmt::Display for Injection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.what)
    }
}
