//! The account's limits and settings, warm throughput, enhanced monitoring, resource policies.

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::types::{
    MetricsName, MinimumThroughputBillingCommitmentInput as Input,
    MinimumThroughputBillingCommitmentInputStatus as Wish, MinimumThroughputBillingCommitmentOutputStatus as Status,
    StreamMode, StreamModeDetails,
};
use kinesis_testkit::Limits;

use crate::on_demand::on_demand;
use crate::{clicks, code, refusal, sleep};

const DAY: u64 = 24 * 3_600_000;

#[tokio::test(start_paused = true)]
async fn the_account_s_limits() {
    let (cloud, _stream, a) = clicks(3).await;
    let mode = StreamModeDetails::builder().stream_mode(StreamMode::OnDemand).build().unwrap();
    a.create_stream().stream_name("d").stream_mode_details(mode).send().await.unwrap();
    cloud.create_stream("other", 2).await;
    let limits = a.describe_limits().send().await.unwrap();
    assert_eq!((limits.shard_limit, limits.open_shard_count), (20_000, 9));
    assert_eq!((limits.on_demand_stream_count, limits.on_demand_stream_count_limit), (1, 50));
}

async fn commit(a: &Client, wish: Wish) -> Result<Status, String> {
    let input = Input::builder().status(wish).build().unwrap();
    let call = a.update_account_settings().minimum_throughput_billing_commitment(input).send().await;
    if call.is_err() {
        return Err(code(call));
    }
    let answer = call.unwrap().minimum_throughput_billing_commitment.unwrap();
    let described = a.describe_account_settings().send().await.unwrap();
    assert_eq!(described.minimum_throughput_billing_commitment.as_ref(), Some(&answer));
    Ok(answer.status)
}

#[tokio::test(start_paused = true)]
async fn a_commitment_of_a_day() {
    let (_cloud, _stream, a) = clicks(1).await;
    let described = async || {
        let answer = a.describe_account_settings().send().await.unwrap();
        answer.minimum_throughput_billing_commitment.unwrap()
    };
    assert_eq!(described().await.status, Status::Disabled);
    assert_eq!(commit(&a, Wish::Enabled).await, Ok(Status::Enabled));
    let enabled = described().await;
    let day = enabled.earliest_allowed_end_at.unwrap().secs() - enabled.started_at.unwrap().secs();
    assert_eq!((day, enabled.ended_at), (24 * 3600, None));
    assert_eq!(commit(&a, Wish::Disabled).await, Ok(Status::EnabledUntilEarliestAllowedEnd));
    sleep(DAY).await;
    let ended = described().await;
    assert_eq!((ended.status, ended.ended_at), (Status::Disabled, enabled.earliest_allowed_end_at));
    assert_eq!(commit(&a, Wish::from("MAYBE")).await, Err("ValidationException".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn warm_throughput_has_its_shards_before_the_traffic() {
    let (_cloud, stream, a) = on_demand(Limits::default()).await;
    let warm = async |mib: i32| {
        let call = a.update_stream_warm_throughput().stream_arn(stream.arn()).warm_throughput_mibps(mib).send().await;
        if call.is_err() {
            return Err(code(call));
        }
        let answer = call.unwrap();
        assert_eq!(answer.stream_name.as_deref(), Some("clicks"));
        let warm = answer.warm_throughput.unwrap();
        Ok((warm.target_mibps.unwrap(), warm.current_mibps.unwrap()))
    };
    assert_eq!(warm(7).await, Err("InvalidArgumentException".to_owned()), "not without the commitment");
    commit(&a, Wish::Enabled).await.unwrap();
    assert_eq!(warm(-1).await, Err("ValidationException".to_owned()));
    assert_eq!(warm(10_241).await, Err("LimitExceededException".to_owned()));
    assert_eq!(warm(7).await, Ok((7, 4)));
    assert_eq!(warm(8).await, Err("ResourceInUseException".to_owned()));
    sleep(5000).await;
    let summary = a.describe_stream_summary().stream_name("clicks").send().await.unwrap();
    let summary = summary.stream_description_summary.unwrap().warm_throughput.unwrap();
    assert_eq!((summary.target_mibps, summary.current_mibps), (Some(7), Some(7)));
    assert_eq!(stream.open_shards().len(), 7);
    assert_eq!(commit(&a, Wish::Disabled).await, Err("InvalidArgumentException".to_owned()));
    assert_eq!(warm(0).await, Ok((0, 7)), "gives them back");
    sleep(5000).await;
    assert_eq!(stream.open_shards().len(), 4);
    commit(&a, Wish::Disabled).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_stream_may_be_created_warm() {
    let (cloud, _stream, a) = on_demand(Limits::default()).await;
    let create = |name: &str, mode| {
        let mode = StreamModeDetails::builder().stream_mode(mode).build().unwrap();
        a.create_stream().stream_name(name).stream_mode_details(mode).warm_throughput_mibps(9)
    };
    assert_eq!(code(create("w", StreamMode::OnDemand).send().await), "InvalidArgumentException");
    commit(&a, Wish::Enabled).await.unwrap();
    let provisioned = create("w", StreamMode::Provisioned).shard_count(1).send().await;
    assert_eq!(code(provisioned), "InvalidArgumentException");
    create("w", StreamMode::OnDemand).send().await.unwrap();
    sleep(300).await;
    assert_eq!(cloud.stream("w").open_shards().len(), 9);
    cloud.create_stream("p", 1).await;
    let call = a.update_stream_warm_throughput().stream_name("p").warm_throughput_mibps(9).send().await;
    assert_eq!(code(call), "InvalidArgumentException");
    let switch = |mode| {
        let mode = StreamModeDetails::builder().stream_mode(mode).build().unwrap();
        a.update_stream_mode().stream_arn(cloud.stream("p").arn()).stream_mode_details(mode).warm_throughput_mibps(6)
    };
    assert_eq!(code(switch(StreamMode::Provisioned).send().await), "InvalidArgumentException");
    switch(StreamMode::OnDemand).send().await.unwrap();
    sleep(5000).await;
    assert_eq!(cloud.stream("p").open_shards().len(), 6);
}

#[tokio::test(start_paused = true)]
async fn metrics_are_switched_on_and_off() {
    let (_cloud, stream, a) = clicks(1).await;
    let described = async || {
        let stream = a.describe_stream().stream_name("clicks").send().await.unwrap().stream_description.unwrap();
        stream.enhanced_monitoring[0].shard_level_metrics().to_vec()
    };
    assert!(described().await.is_empty());
    let (bytes, records) = (MetricsName::IncomingBytes, MetricsName::IncomingRecords);
    let on = a.enable_enhanced_monitoring().stream_name("clicks").shard_level_metrics(records.clone());
    let on = on.shard_level_metrics(bytes.clone()).send().await.unwrap();
    assert!(on.current_shard_level_metrics().is_empty());
    assert_eq!(on.desired_shard_level_metrics(), [bytes.clone(), records.clone()]);
    assert_eq!(on.stream_arn, Some(stream.arn()));
    assert_eq!(described().await, [bytes.clone(), records.clone()]);
    let off = a.disable_enhanced_monitoring().stream_arn(stream.arn()).shard_level_metrics(bytes.clone());
    let off = off.send().await.unwrap();
    assert_eq!((off.current_shard_level_metrics().len(), off.desired_shard_level_metrics()), (2, &[records][..]));
    a.enable_enhanced_monitoring().stream_name("clicks").shard_level_metrics(MetricsName::All).send().await.unwrap();
    assert_eq!(described().await.len(), 7);
    a.disable_enhanced_monitoring().stream_name("clicks").shard_level_metrics(MetricsName::All).send().await.unwrap();
    assert!(described().await.is_empty());

    let enable = || a.enable_enhanced_monitoring().stream_name("clicks");
    let unknown = enable().shard_level_metrics(MetricsName::from("Sunshine")).send().await;
    assert_eq!(code(unknown), "ValidationException");
    assert_eq!(code(enable().set_shard_level_metrics(Some(vec![])).send().await), "ValidationException");
    assert_eq!(code(enable().set_shard_level_metrics(Some(vec![bytes; 8])).send().await), "ValidationException");
}

#[tokio::test(start_paused = true)]
async fn a_resource_policy_is_kept() {
    let (_cloud, stream, a) = clicks(1).await;
    let arn = stream.arn();
    let policy = r#"{"Version":"2012-10-17","Statement":[]}"#;
    let get = || a.get_resource_policy().resource_arn(&arn).send();
    let put = |policy: &str| a.put_resource_policy().resource_arn(&arn).policy(policy).send();
    assert_eq!(get().await.unwrap().policy, "{}");
    put(policy).await.unwrap();
    assert_eq!(get().await.unwrap().policy, policy);
    for bad in ["", "policy", "[]", "{"] {
        assert_eq!(code(put(bad).await), "InvalidArgumentException", "{bad}");
    }
    a.delete_resource_policy().resource_arn(&arn).send().await.unwrap();
    assert_eq!(get().await.unwrap().policy, "{}");
    let (code_, message) = refusal(a.delete_resource_policy().resource_arn(&arn).send().await);
    assert_eq!(code_, "ResourceNotFoundException");
    assert_eq!(message, format!("No resource policy found for resource ARN {arn}."));
    let other = arn.replace("clicks", "other");
    assert_eq!(code(a.get_resource_policy().resource_arn(other).send().await), "ResourceNotFoundException");
}

#[tokio::test(start_paused = true)]
async fn an_on_demand_stream_has_fifty_consumers_while_the_commitment_holds() {
    let mut limits = Limits::without_rates();
    limits.consumers_creating = usize::MAX;
    let (cloud, stream, a) = on_demand(limits).await;
    let provisioned = cloud.create_stream("provisioned", 1).await;
    /// Registers as many more as it gets, named by `prefix`, and says how many consumers the refusal counts.
    async fn fill(a: &Client, arn: String, prefix: &str) -> String {
        for n in 0.. {
            let name = format!("{prefix}{n}");
            let call = a.register_stream_consumer().stream_arn(&arn).consumer_name(name).send().await;
            if call.is_err() {
                let (code, message) = refusal(call);
                assert_eq!(code, "LimitExceededException");
                return message;
            }
        }
        unreachable!("names do not end")
    }
    let message = fill(&a, stream.arn(), "before").await;
    assert!(message.contains("has 20 consumers"), "{message}");
    assert_eq!(commit(&a, Wish::Enabled).await, Ok(Status::Enabled));
    let message = fill(&a, stream.arn(), "advantage").await;
    assert!(message.contains("has 50 consumers"), "{message}");
    let message = fill(&a, provisioned.arn(), "provisioned").await;
    assert!(message.contains("has 20 consumers"), "{message}");

    commit(&a, Wish::Disabled).await.expect("it ends in a day");
    sleep(DAY).await;
    a.deregister_stream_consumer()
        .stream_arn(stream.arn())
        .consumer_name("before0")
        .send()
        .await
        .expect("it was there");
    sleep(1000).await;
    let message = fill(&a, stream.arn(), "after").await;
    assert!(message.contains("has 49 consumers"), "those that were there stay: {message}");
}
