use kinesis_testkit::{Cloud, Fault, Limits};

use super::*;
use crate::shard::ShardId;

async fn discover(cloud: &Cloud, stream: &str) -> Discover {
    let client = cloud.connect("worker").await.kinesis;
    Discover::new(Stream::new(&client, stream), fastrand::Rng::with_seed(1))
}

fn ids(shards: &[ListedShard]) -> Vec<String> {
    shards.iter().map(|shard| shard.id.to_string()).collect()
}

#[tokio::test(start_paused = true)]
async fn reads_all_pages() {
    // S163
    let cloud = Cloud::new();
    cloud.create_stream("clicks", 2500).await;
    let shards = discover(&cloud, "clicks").await.list(ListFilter::All).await.expect("a listing");
    assert_eq!(shards.len(), 2500);
    assert_eq!(shards.iter().map(|shard| &shard.id).collect::<std::collections::BTreeSet<_>>().len(), 2500);
    assert_eq!(cloud.calls("worker").count("ListShards"), 3);
}

#[tokio::test(start_paused = true)]
async fn a_page_that_fails_does_not_cost_those_read_before() {
    let cloud = Cloud::new();
    cloud.create_stream("clicks", 2500).await;
    let discover = discover(&cloud, "clicks").await;
    for fault in [Fault::Throttle, Fault::ServerError, Fault::LoseResponse, Fault::LoseRequest] {
        cloud.faults("worker").next("ListShards", fault);
    }
    cloud.faults("worker").next_n("ListShards", 1, Fault::Unavailable);
    assert_eq!(discover.list(ListFilter::All).await.expect("a listing").len(), 2500);
    assert_eq!(cloud.calls("worker").count("ListShards"), 5 + 3);
}

#[tokio::test(start_paused = true)]
async fn a_token_that_has_expired_starts_the_listing_over() {
    let mut limits = Limits::default();
    limits.token_life = Duration::from_secs(3);
    let cloud = Cloud::builder().limits(limits).build();
    cloud.create_stream("clicks", 1500).await;
    let discover = discover(&cloud, "clicks").await;
    // The first page is slow to arrive, so that its token is old when it is used.
    cloud.faults("worker").next("ListShards", Fault::DelayResponse(Duration::from_secs(4)));
    let shards = discover.list(ListFilter::All).await.expect("a listing");
    assert_eq!(shards.len(), 1500);
    assert_eq!(cloud.calls("worker").count("ListShards"), 4);
}

#[tokio::test(start_paused = true)]
async fn shows_parents_and_what_is_closed() {
    let cloud = Cloud::new();
    let stream = cloud.create_stream("clicks", 2).await;
    let [a, b] = stream.split(0).await;
    let merged = stream.merge(b.as_str(), 2_usize).await;
    let shards = discover(&cloud, &stream.arn()).await.list(ListFilter::All).await.expect("a listing");
    let parents = |id: &str| {
        let mut parents = shards.iter().find(|shard| shard.id.as_str() == id).expect("listed").parents.clone();
        parents.sort();
        parents
    };
    assert_eq!(parents(&a), [ShardId::from("shardId-000000000000")]);
    assert_eq!(parents(&merged), [ShardId::from("shardId-000000000001"), ShardId::from(b)]);
    let closed: Vec<_> = shards.iter().filter(|shard| shard.is_closed()).map(|shard| shard.id.to_string()).collect();
    assert_eq!(closed, ["shardId-000000000000", "shardId-000000000001", "shardId-000000000003"]);
}

#[tokio::test(start_paused = true)]
async fn filters_by_what_was_open_when() {
    let cloud = Cloud::new();
    let stream = cloud.create_stream("clicks", 1).await;
    let discover = discover(&cloud, "clicks").await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    let before = DateTime::from(cloud.clock().now());
    tokio::time::sleep(Duration::from_secs(60)).await;
    let children = stream.split(0).await;
    assert_eq!(ids(&discover.list(ListFilter::AtLatest).await.expect("a listing")), children);
    for filter in [ListFilter::AtTrimHorizon, ListFilter::AtTimestamp(before)] {
        assert_eq!(ids(&discover.list(filter).await.expect("a listing")), ["shardId-000000000000"]);
    }
}

#[tokio::test(start_paused = true)]
async fn gives_up_after_half_a_minute_of_failures() {
    let cloud = Cloud::new();
    cloud.create_stream("clicks", 1).await;
    let discover = discover(&cloud, "clicks").await;
    cloud.faults("worker").always(Fault::Throttle);
    let before = cloud.clock().elapsed();
    let error = discover.list(ListFilter::All).await.expect_err("throttled for ever");
    assert!(error.is_retryable(), "{error:?}");
    let (spent, calls) = (cloud.clock().elapsed() - before, cloud.calls("worker").count("ListShards"));
    assert!((20..=30).contains(&spent.as_secs()) && (8..30).contains(&calls), "{spent:?}, {calls} calls");
    let text = error.to_string();
    let begins = format!("ListShards of the stream clicks in us-east-1 at http://cloud.test failed {calls} times in ");
    assert!(text.starts_with(&begins) && text.ends_with(" with LimitExceededException"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_call_without_an_answer_ends() {
    let cloud = Cloud::new();
    cloud.create_stream("clicks", 1).await;
    let discover = discover(&cloud, "clicks").await;
    cloud.faults("worker").next("ListShards", Fault::BlackHole);
    assert_eq!(discover.list(ListFilter::All).await.expect("a listing").len(), 1);
    assert_eq!(cloud.calls("worker").count("ListShards"), 2);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_not_there_is_said_at_once() {
    let cloud = Cloud::new();
    let discover = discover(&cloud, "clicks").await;
    for result in [discover.wait_until_active().await.map(drop), discover.list(ListFilter::All).await.map(drop)] {
        let error = result.expect_err("no such stream");
        assert!(matches!(&error, DiscoverError::NoStream { stream, .. } if stream == "clicks"), "{error:?}");
        assert_eq!(error.to_string(), "the stream clicks does not exist in us-east-1 at http://cloud.test");
    }
    assert_eq!(cloud.calls("worker").len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_being_made_is_waited_for() {
    let mut limits = Limits::default();
    limits.creating = Duration::from_secs(20);
    let cloud = Cloud::builder().limits(limits).build();
    let discover = discover(&cloud, "clicks").await;
    let client = cloud.outside().kinesis;
    client.create_stream().stream_name("clicks").shard_count(1).send().await.expect("created");
    discover.wait_until_active().await.expect("active");
    assert!(cloud.clock().elapsed() >= Duration::from_secs(20));
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_going_away_is_refused() {
    let cloud = Cloud::new();
    cloud.create_stream("clicks", 1).await;
    let discover = discover(&cloud, "clicks").await;
    cloud.outside().kinesis.delete_stream().stream_name("clicks").send().await.expect("deleting");
    let error = discover.wait_until_active().await.expect_err("deleting");
    assert!(matches!(&error, DiscoverError::NotActive { status, .. } if status == "DELETING"), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn missing_credentials_are_said_within_a_second_or_so() {
    let cloud = Cloud::new();
    cloud.create_stream("clicks", 1).await;
    let config = cloud.connect("worker").await.kinesis_config().region(None).build();
    let client = aws_sdk_kinesis::Client::from_conf(config);
    let discover = Discover::new(Stream::new(&client, "clicks"), fastrand::Rng::with_seed(1));
    let before = cloud.clock().elapsed();
    let error = discover.wait_until_active().await.expect_err("no region");
    assert!(matches!(error, DiscoverError::Unsent { .. }), "{error:?}");
    assert!(cloud.clock().elapsed() - before < Duration::from_secs(1));
}

/// Rule `who waits`: a start waits for what somebody can mend; a leader of a worker that runs goes on with its other duties.
#[tokio::test(start_paused = true)]
async fn what_somebody_can_mend_is_waited_for_until_the_start_ends() {
    let cloud = Cloud::new();
    cloud.create_stream("clicks", 1).await;
    let patience = StartPatience::new();
    let discover = discover(&cloud, "clicks").await.starting(&patience);
    let now = cloud.clock().elapsed();
    let refused = || Fault::refuse("ExpiredTokenException");
    cloud.faults("worker").during(now..now + Duration::from_secs(10), refused());
    discover.wait_until_active().await.expect("the token is renewed");
    assert!(cloud.clock().elapsed() - now >= Duration::from_secs(10));
    let now = cloud.clock().elapsed();
    cloud.faults("worker").during(now..now + Duration::from_secs(6), refused());
    assert_eq!(discover.list(ListFilter::All).await.expect("a listing").len(), 1);
    patience.end();

    cloud.faults("worker").always(refused());
    let now = cloud.clock().elapsed();
    let error = discover.list(ListFilter::All).await.expect_err("refused");
    assert!(matches!(&error, DiscoverError::Refused { .. }), "{error:?}");
    assert!(cloud.clock().elapsed() - now < Duration::from_secs(1));
    assert!(error.to_string().ends_with(" failed with ExpiredTokenException"), "{error}");
}

/// A policy without DescribeStreamSummary: whether there is a stream is seen by its shards.
#[tokio::test(start_paused = true)]
async fn a_stream_that_may_not_be_described_is_looked_for_by_its_shards() {
    let cloud = Cloud::new();
    let discover = discover(&cloud, "clicks").await;
    cloud.faults("worker").always_for("DescribeStreamSummary", Fault::refuse("AccessDeniedException"));
    let error = discover.wait_until_active().await.expect_err("no such stream");
    assert!(matches!(&error, DiscoverError::NoStream { .. }), "{error:?}");
    cloud.create_stream("clicks", 1).await;
    discover.wait_until_active().await.expect("there is one");
}

/// Q28: the throttled page is asked for again, and no other.
#[tokio::test(start_paused = true)]
async fn pages_are_kept_while_a_later_one_is_throttled() {
    let cloud = Cloud::new();
    cloud.create_stream("clicks", 2500).await;
    let discover = discover(&cloud, "clicks").await;
    let now = cloud.clock().elapsed();
    let throttled =
        cloud.faults("worker").during_for("ListShards", now..now + Duration::from_secs(10), Fault::ThrottlePage(3));
    assert_eq!(discover.list(ListFilter::All).await.expect("a listing").len(), 2500);
    assert!(throttled.struck() > 3);
    assert_eq!(cloud.calls("worker").count("ListShards"), 3 + throttled.struck());
}
