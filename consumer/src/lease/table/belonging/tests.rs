use std::time::Duration;

use kinesis_testkit::Cloud;

use super::*;
use crate::lease::MemoryLeaseStore;
use crate::shard::stream::Stream;
use crate::thread::LeaseThread;

/// Rule *one closure that blocks*: a reader's question does not hold up those who keep leases when user code blocks the reader's thread.
#[tokio::test]
async fn a_question_about_the_stream_is_asked_where_leases_are_kept() {
    let thread = LeaseThread::start().expect("a thread can be started").expect("the clock is not paused");
    let cloud = Cloud::builder().latency(Duration::from_millis(50)).build();
    cloud.create_stream("clicks", 1).await;
    let stream = Stream::new(&cloud.connect("w").await.kinesis, "clicks");
    let discover = Arc::new(Discover::new(stream, fastrand::Rng::with_seed(1)));
    let (identity, clock) = (discover.identity().await, Arc::new(Clock::start()));
    let findings = Findings::new(Arc::clone(&clock), "w");
    let store = Arc::new(MemoryLeaseStore::new());
    let belonging =
        Belonging::new("app".to_owned(), store, discover, Arc::clone(&clock), findings, "clicks".to_owned(), identity);
    let belonging = Arc::new(belonging.asking_at(&thread.home()));
    let (asked, since) = (Arc::clone(&belonging), clock.now() + Duration::from_millis(1));
    let asking = tokio::spawn(async move { asked.confirm(since).await });
    tokio::task::yield_now().await;
    block_this_thread();
    assert!(belonging.turn.try_acquire().is_ok(), "the question is answered by now");
    assert_eq!(asking.await.expect("no panic"), Confirmed::Same);
}

/// As a closure does that waits for a database. Far longer than the answer takes.
#[expect(clippy::disallowed_methods, reason = "blocking is what is tested")]
fn block_this_thread() {
    std::thread::sleep(Duration::from_secs(1));
}
