//! Refusals by code, and signatures whose time is wrong.

use std::time::Duration;

use aws_sdk_kinesis::error::ProvideErrorMetadata;
use kinesis_testkit::{Cloud, Fault, Outcome, Weather};

use crate::{clicks, code, refusal, sleep, without_retries, without_retries_of_dynamodb};

const MINUTE: Duration = Duration::from_secs(60);

#[tokio::test(start_paused = true)]
async fn any_code_can_be_answered_for_a_time_by_both_services() {
    let (cloud, stream, a) = clicks(1).await;
    let table = without_retries_of_dynamodb(&cloud.connect("a").await);
    let now = cloud.clock().elapsed();
    let expired = cloud.faults("a").during(now..now + Duration::from_secs(3), Fault::refuse("ExpiredTokenException"));
    let put = || a.put_record().stream_name("clicks").partition_key("k").data(b"x".as_slice().into()).send();
    let words = "The security token included in the request is expired".to_owned();
    assert_eq!(refusal(put().await), ("ExpiredTokenException".to_owned(), words.clone()));
    assert_eq!(refusal(table.list_tables().send().await), ("ExpiredTokenException".to_owned(), words));
    assert_eq!(stream.records(), []);
    assert_eq!(cloud.calls("a").iter().next().unwrap().outcome, Outcome::Refused("ExpiredTokenException".to_owned()));
    sleep(3000).await;
    put().await.unwrap();
    table.list_tables().send().await.unwrap();
    assert_eq!(expired.struck(), 2);
}

#[tokio::test(start_paused = true)]
async fn one_operation_alone_can_be_refused_for_a_time() {
    let (cloud, _stream, a) = clicks(1).await;
    let now = cloud.clock().elapsed();
    let denied = Fault::refuse("AccessDeniedException");
    let injection = cloud.faults("a").during_for("ListShards", now..now + MINUTE, denied);
    let (code_, message) = refusal(a.list_shards().stream_name("clicks").send().await);
    assert_eq!(code_, "AccessDeniedException");
    assert!(message.contains("is not authorized to perform: kinesis:ListShards on resource"), "{message}");
    a.describe_stream_summary().stream_name("clicks").send().await.unwrap();
    sleep(60_000).await;
    a.list_shards().stream_name("clicks").send().await.unwrap();
    assert_eq!(injection.struck(), 1);
    assert!(injection.to_string().starts_with("during "), "{injection}");
}

#[tokio::test(start_paused = true)]
async fn a_refusal_has_the_status_and_the_words_that_it_was_given() {
    let (cloud, _stream, a) = clicks(1).await;
    let list = || a.list_streams().send();
    for (code, status) in
        [("InternalFailureException", 500), ("ServiceUnavailable", 503), ("KMSDisabledException", 400)]
    {
        cloud.faults("a").next("ListStreams", Fault::refuse_saying(code, "as told"));
        let error = list().await.unwrap_err();
        assert_eq!(error.raw_response().unwrap().status().as_u16(), status, "{code}");
        assert_eq!((error.code(), error.message()), (Some(code), Some("as told")));
    }
    cloud.faults("a").next("ListStreams", Fault::refuse("SomethingNew"));
    assert_eq!(refusal(list().await), ("SomethingNew".to_owned(), "SomethingNew".to_owned()));
    cloud.faults("a").random(7, Weather::calm().chance(1.0, Fault::refuse("OptInRequired")));
    assert_eq!(code(list().await), "OptInRequired");
    assert_eq!(cloud.unused_faults(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn every_answer_has_the_cloud_s_date() {
    let (cloud, _stream, a) = clicks(1).await;
    cloud.faults("a").next("ListStreams", Fault::refuse("OptInRequired"));
    let error = a.list_streams().send().await.unwrap_err();
    assert_eq!(error.raw_response().unwrap().headers().get("date"), Some("Thu, 01 Jan 2026 00:00:00 GMT"));
    sleep(61_000).await;
    let error = a.describe_stream().stream_name("orders").send().await.unwrap_err();
    assert_eq!(error.raw_response().unwrap().headers().get("date"), Some("Thu, 01 Jan 2026 00:01:01 GMT"));
}

#[tokio::test(start_paused = true)]
async fn a_client_with_a_wrong_clock_is_refused_once_and_has_learnt_the_time() {
    for ahead in [true, false] {
        let (cloud, _stream, a) = clicks(1).await;
        let table = without_retries_of_dynamodb(&cloud.connect("a").await);
        let off = |by: Duration| match ahead {
            true => cloud.clock_ahead("a", by),
            false => cloud.clock_behind("a", by),
        };
        a.list_streams().send().await.unwrap();
        for step in [10 * MINUTE, 3 * MINUTE, 300 * MINUTE] {
            off(step);
            let (code, message) = refusal(a.list_streams().send().await);
            assert_eq!(code, "InvalidSignatureException");
            let words =
                if ahead == (step != 3 * MINUTE) { "Signature not yet current: " } else { "Signature expired: " };
            assert!(message.starts_with(words), "{message}");
            a.list_streams().send().await.expect("it knows the time from the refusal");
            assert_eq!(code_of(&table).await, Some("InvalidSignatureException".to_owned()), "another client");
            assert_eq!(code_of(&table).await, None);
        }
        off(Duration::ZERO);
        assert_eq!(code(a.list_streams().send().await), "InvalidSignatureException", "what it learnt is wrong now");
        a.list_streams().send().await.unwrap();
    }
}

async fn code_of(table: &aws_sdk_dynamodb::Client) -> Option<String> {
    match table.list_tables().send().await {
        Ok(_) => None,
        Err(error) => error.code().map(str::to_owned),
    }
}

#[tokio::test(start_paused = true)]
async fn the_sdk_s_own_retries_get_over_a_wrong_clock() {
    let (cloud, _stream, _) = clicks(1).await;
    let a = cloud.connect("b").await;
    cloud.clock_behind("b", 10 * MINUTE);
    a.kinesis.list_streams().send().await.unwrap();
    a.dynamodb.list_tables().send().await.unwrap();
    assert_eq!((cloud.calls("b").count("ListStreams"), cloud.calls("b").count("ListTables")), (2, 2));
    let date = cloud.clock().now().duration_since(a.clock().now()).unwrap();
    assert_eq!(date, 10 * MINUTE);
}

#[tokio::test(start_paused = true)]
async fn a_few_minutes_off_are_not_noticed() {
    let cloud = Cloud::new();
    for by in [4 * MINUTE, Duration::ZERO] {
        // New clients, which have learnt nothing.
        cloud.clock_ahead("a", by);
        without_retries(&cloud.connect("a").await).list_streams().send().await.unwrap();
        cloud.clock_behind("a", by);
        without_retries(&cloud.connect("a").await).list_streams().send().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_late_by_more_than_five_minutes_is_too_old() {
    let (cloud, stream, a) = clicks(1).await;
    let put = || a.put_record().stream_name("clicks").partition_key("k").data(b"x".as_slice().into()).send();
    cloud.faults("a").next("PutRecord", Fault::DelayRequest(6 * MINUTE));
    assert_eq!(code(put().await), "InvalidSignatureException");
    assert_eq!(stream.records(), []);
    cloud.faults("a").next("PutRecord", Fault::DelayRequest(4 * MINUTE));
    without_retries(&cloud.connect("a").await)
        .put_record()
        .stream_name("clicks")
        .partition_key("k")
        .data(b"x".as_slice().into())
        .send()
        .await
        .unwrap();
    assert_eq!(stream.records().len(), 1);
}
