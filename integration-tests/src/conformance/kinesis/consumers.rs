//! Registered consumers of enhanced fan-out.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use aws_sdk_kinesis::types::{
    Consumer, ConsumerDescription, ConsumerStatus, MinimumThroughputBillingCommitmentInput,
    MinimumThroughputBillingCommitmentInputStatus as Wish,
};

use crate::conformance::checks;
use crate::conformance::probe::Probe;
use crate::conformance::refusal::refused;
use crate::conformance::stream::Stream;

checks! {
    a_new_consumer_is_creating_then_active: "RegisterStreamConsumer", "ConsumerStatus: CREATING, then ACTIVE";
    a_consumer_has_an_arn_under_its_stream: "Consumer", "ConsumerARN: pattern `arn:…:stream/NAME/consumer/NAME:TIME`";
    a_consumer_name_is_unique_in_its_stream: "RegisterStreamConsumer", "'each consumer must have a unique name'; ResourceInUseException";
    a_consumer_name_may_stand_in_two_streams: "RegisterStreamConsumer", "'consumer names don't have to be unique across data streams'";
    a_consumer_needs_its_stream: "RegisterStreamConsumer", "ResourceNotFoundException";
    a_consumer_name_has_letters_digits_and_three_marks: "RegisterStreamConsumer", "ConsumerName: pattern `[a-zA-Z0-9_.-]+`";
    a_stream_has_at_most_twenty_consumers: "RegisterStreamConsumer", "'With On-demand Standard and Provisioned streams, you can register up to 20 consumers per stream'; LimitExceededException", Rates;
    an_on_demand_stream_has_at_most_twenty_consumers: "RegisterStreamConsumer", "the same of On-demand Standard streams", Rates;
    an_advantage_stream_has_at_most_fifty_consumers: "RegisterStreamConsumer", "'With On-demand Advantage streams, you can register up to 50 consumers per stream'; LimitExceededException", Rates;
    at_most_five_consumers_are_creating: "RegisterStreamConsumer", "'a 6th consumer while there are 5 in a CREATING status'; LimitExceededException", Rates;
    a_consumer_is_described_by_its_arn: "DescribeStreamConsumer", "'provide the ARN of the consumer'";
    a_consumer_is_described_by_stream_and_name: "DescribeStreamConsumer", "'the ARN of the data stream and the name'";
    an_unknown_consumer_is_not_described: "DescribeStreamConsumer", "ResourceNotFoundException";
    consumers_are_listed: "ListStreamConsumers", "Consumers: name, ARN, status, creation time";
    consumers_are_listed_page_by_page: "ListStreamConsumers", "MaxResults and NextToken";
    a_page_of_consumers_lives_300_seconds: "ListStreamConsumers", "'you have 300 seconds to use that value'; ExpiredNextTokenException", Hours;
    a_deregistered_consumer_is_gone: "DeregisterStreamConsumer", "DELETING, then gone";
    a_consumer_is_deregistered_by_stream_and_name: "DeregisterStreamConsumer", "'the ARN of the data stream and the name'";
    an_unknown_consumer_cannot_be_deregistered: "DeregisterStreamConsumer", "ResourceNotFoundException";
    a_stream_with_consumers_is_not_deleted: "DeleteStream", "EnforceConsumerDeletion unset and consumers registered: ResourceInUseException";
    consumers_go_with_their_stream_when_enforced: "DeleteStream", "EnforceConsumerDeletion";
    a_summary_counts_consumers: "DescribeStreamSummary", "ConsumerCount: of enhanced fan-out";
}

async fn a_new_consumer_is_creating_then_active(probe: Probe) -> Result<()> {
    let stream = probe.stream(1).await?;
    let made = start(&stream, "reader").await?;
    ensure!(made.consumer_status == ConsumerStatus::Creating && made.consumer_name == "reader", "{made:?}");
    active(&stream, &made.consumer_arn).await
}

async fn a_consumer_has_an_arn_under_its_stream(probe: Probe) -> Result<()> {
    let stream = probe.stream(1).await?;
    let made = start(&stream, "reader").await?;
    let prefix = format!("{}/consumer/reader:", stream.arn().await?);
    let time = made.consumer_arn.strip_prefix(&prefix).with_context(|| made.consumer_arn.clone())?;
    ensure!(!time.is_empty() && time.bytes().all(|b| b.is_ascii_digit()), "{}", made.consumer_arn);
    Ok(())
}

async fn a_consumer_name_is_unique_in_its_stream(probe: Probe) -> Result<()> {
    let stream = probe.stream(1).await?;
    register(&stream, "reader").await?;
    let again = probe.kinesis.register_stream_consumer().stream_arn(stream.arn().await?).consumer_name("reader");
    refused(again.send().await, "ResourceInUseException")
}

async fn a_consumer_name_may_stand_in_two_streams(probe: Probe) -> Result<()> {
    for suffix in ["1", "2"] {
        start(&probe.stream_named(suffix, 1).await?, "reader").await?;
    }
    Ok(())
}

async fn a_consumer_needs_its_stream(probe: Probe) -> Result<()> {
    let arn = probe.stream(1).await?.arn().await? + "-not-there";
    let register = probe.kinesis.register_stream_consumer().stream_arn(arn).consumer_name("reader");
    refused(register.send().await, "ResourceNotFoundException")
}

async fn a_consumer_name_has_letters_digits_and_three_marks(probe: Probe) -> Result<()> {
    let stream = probe.stream(1).await?;
    let register = probe.kinesis.register_stream_consumer().stream_arn(stream.arn().await?);
    refused(register.consumer_name("white space").send().await, "ValidationException")
}

async fn a_stream_has_at_most_twenty_consumers(probe: Probe) -> Result<()> {
    has_at_most(20, &probe, &probe.stream(1).await?).await
}

async fn an_on_demand_stream_has_at_most_twenty_consumers(probe: Probe) -> Result<()> {
    has_at_most(20, &probe, &probe.on_demand().await?).await
}

/// The account's commitment makes all its on-demand streams such streams, and no provisioned one.
async fn an_advantage_stream_has_at_most_fifty_consumers(probe: Probe) -> Result<()> {
    let commitment = MinimumThroughputBillingCommitmentInput::builder().status(Wish::Enabled).build()?;
    let update = probe.kinesis.update_account_settings().minimum_throughput_billing_commitment(commitment);
    update.send().await?;
    has_at_most(50, &probe, &probe.on_demand().await?).await?;
    has_at_most(20, &probe, &probe.stream_named("provisioned", 1).await?).await
}

async fn has_at_most(consumers: usize, probe: &Probe, stream: &Stream) -> Result<()> {
    for n in 0..consumers {
        register(stream, &format!("reader-{n}")).await?;
    }
    probe.pause(Duration::from_secs(1)).await;
    let more = probe.once.register_stream_consumer().stream_arn(stream.arn().await?).consumer_name("more");
    refused(more.send().await, "LimitExceededException")
}

async fn at_most_five_consumers_are_creating(probe: Probe) -> Result<()> {
    let stream = probe.stream(1).await?;
    let arn = stream.arn().await?;
    let register = |n: usize| {
        let register = probe.once.register_stream_consumer().stream_arn(&arn);
        register.consumer_name(format!("reader-{n}")).send()
    };
    for n in 0..5 {
        register(n).await?;
    }
    refused(register(5).await, "LimitExceededException")
}

async fn a_consumer_is_described_by_its_arn(probe: Probe) -> Result<()> {
    let stream = probe.stream(1).await?;
    let made = register(&stream, "reader").await?;
    let found = describe(&stream, &made.consumer_arn).await?;
    ensure!(found.consumer_name == "reader" && found.consumer_arn == made.consumer_arn, "{found:?}");
    ensure!(found.stream_arn == stream.arn().await?, "{found:?}");
    ensure!(found.consumer_creation_timestamp == made.consumer_creation_timestamp, "{found:?}");
    Ok(())
}

async fn a_consumer_is_described_by_stream_and_name(probe: Probe) -> Result<()> {
    let stream = probe.stream(1).await?;
    let made = register(&stream, "reader").await?;
    let describe = probe.kinesis.describe_stream_consumer().stream_arn(stream.arn().await?).consumer_name("reader");
    let found = describe.send().await?.consumer_description.context("no description")?;
    ensure!(found.consumer_arn == made.consumer_arn, "{found:?}");
    Ok(())
}

async fn an_unknown_consumer_is_not_described(probe: Probe) -> Result<()> {
    let stream = probe.stream(1).await?;
    let describe = probe.kinesis.describe_stream_consumer().stream_arn(stream.arn().await?).consumer_name("nobody");
    refused(describe.send().await, "ResourceNotFoundException")
}

async fn consumers_are_listed(probe: Probe) -> Result<()> {
    let stream = probe.stream(1).await?;
    let made = register(&stream, "reader").await?;
    let answer = probe.kinesis.list_stream_consumers().stream_arn(stream.arn().await?).send().await?;
    let found = answer.consumers();
    ensure!(found.len() == 1 && answer.next_token.is_none(), "{answer:?}");
    ensure!(found[0].consumer_arn == made.consumer_arn && found[0].consumer_status == ConsumerStatus::Active);
    Ok(())
}

async fn consumers_are_listed_page_by_page(probe: Probe) -> Result<()> {
    let stream = probe.stream(1).await?;
    for name in ["a", "b", "c"] {
        register(&stream, name).await?;
    }
    let arn = stream.arn().await?;
    let (mut names, mut token) = (Vec::new(), None);
    loop {
        let list = probe.kinesis.list_stream_consumers().stream_arn(&arn).max_results(2);
        let answer = list.set_next_token(token).send().await?;
        ensure!(answer.consumers().len() <= 2);
        names.extend(answer.consumers.unwrap_or_default().into_iter().map(|consumer| consumer.consumer_name));
        token = answer.next_token;
        if token.is_none() {
            break;
        }
    }
    names.sort();
    ensure!(names == ["a", "b", "c"], "{names:?}");
    Ok(())
}

async fn a_page_of_consumers_lives_300_seconds(probe: Probe) -> Result<()> {
    let stream = probe.stream(1).await?;
    register(&stream, "a").await?;
    register(&stream, "b").await?;
    let list = probe.kinesis.list_stream_consumers().stream_arn(stream.arn().await?).max_results(1);
    let token = list.clone().send().await?.next_token.context("no token")?;
    probe.pause(Duration::from_secs(305)).await;
    refused(list.next_token(token).send().await, "ExpiredNextTokenException")
}

async fn a_deregistered_consumer_is_gone(probe: Probe) -> Result<()> {
    let stream = probe.stream(1).await?;
    let made = register(&stream, "reader").await?;
    probe.kinesis.deregister_stream_consumer().consumer_arn(&made.consumer_arn).send().await?;
    gone(&stream, &made.consumer_arn).await
}

async fn a_consumer_is_deregistered_by_stream_and_name(probe: Probe) -> Result<()> {
    let stream = probe.stream(1).await?;
    let made = register(&stream, "reader").await?;
    let deregister = probe.kinesis.deregister_stream_consumer().stream_arn(stream.arn().await?);
    deregister.consumer_name("reader").send().await?;
    gone(&stream, &made.consumer_arn).await
}

async fn an_unknown_consumer_cannot_be_deregistered(probe: Probe) -> Result<()> {
    let stream = probe.stream(1).await?;
    let deregister = probe.kinesis.deregister_stream_consumer().stream_arn(stream.arn().await?);
    refused(deregister.consumer_name("nobody").send().await, "ResourceNotFoundException")
}

async fn a_stream_with_consumers_is_not_deleted(probe: Probe) -> Result<()> {
    let stream = probe.stream(1).await?;
    register(&stream, "reader").await?;
    refused(probe.kinesis.delete_stream().stream_name(&stream.name).send().await, "ResourceInUseException")
}

async fn consumers_go_with_their_stream_when_enforced(probe: Probe) -> Result<()> {
    let stream = probe.stream(1).await?;
    register(&stream, "reader").await?;
    probe.kinesis.delete_stream().stream_name(&stream.name).enforce_consumer_deletion(true).send().await?;
    stream.gone().await
}

async fn a_summary_counts_consumers(probe: Probe) -> Result<()> {
    let stream = probe.stream(1).await?;
    ensure!(stream.summary().await?.consumer_count == Some(0));
    register(&stream, "reader").await?;
    ensure!(stream.summary().await?.consumer_count == Some(1));
    Ok(())
}

/// Registers a consumer and waits until it is ACTIVE.
pub(super) async fn register(stream: &Stream, name: &str) -> Result<Consumer> {
    let made = start(stream, name).await?;
    active(stream, &made.consumer_arn).await?;
    Ok(made)
}

async fn start(stream: &Stream, name: &str) -> Result<Consumer> {
    let register = stream.kinesis.register_stream_consumer().stream_arn(stream.arn().await?).consumer_name(name);
    register.send().await.context("registering")?.consumer.context("no consumer")
}

async fn describe(stream: &Stream, arn: &str) -> Result<ConsumerDescription> {
    let answer = stream.kinesis.describe_stream_consumer().consumer_arn(arn).send().await?;
    answer.consumer_description.context("no description")
}

async fn active(stream: &Stream, arn: &str) -> Result<()> {
    for _ in 0..300 {
        if describe(stream, arn).await?.consumer_status == ConsumerStatus::Active {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    bail!("the consumer is not ACTIVE after half a minute")
}

async fn gone(stream: &Stream, arn: &str) -> Result<()> {
    for _ in 0..300 {
        let answer = stream.kinesis.describe_stream_consumer().consumer_arn(arn).send().await;
        if answer.is_err_and(|e| e.as_service_error().is_some_and(|e| e.is_resource_not_found_exception())) {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    bail!("the consumer is not gone after half a minute")
}
