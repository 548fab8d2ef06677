//! temporary measurement
use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::*;
use kinesis_testkit::*;
#[tokio::main(flavor = "current_thread")]
async fn main() {
    let cloud = Cloud::builder().limits(Limits::without_rates()).latency(std::time::Duration::ZERO).build();
    cloud.create_stream("clicks", 2).await;
    let a = cloud.connect("a").await;
    let t = std::time::Instant::now();
    for i in 0..2000 { a.kinesis.put_record().stream_name("clicks").partition_key("user-7").data(Blob::new(format!("hello{i}"))).send().await.unwrap(); }
    println!("put_record {:?}", t.elapsed() / 2000);
    let t = std::time::Instant::now();
    for _ in 0..100 {
        let rs = (0..500).map(|i| PutRecordsRequestEntry::builder().partition_key(format!("k{i}")).data(Blob::new(vec![b'x'; 100])).build().unwrap()).collect::<Vec<_>>();
        a.kinesis.put_records().stream_name("clicks").set_records(Some(rs)).send().await.unwrap(); }
    println!("put_records 500x100 {:?}", t.elapsed() / 100);
    let t = std::time::Instant::now();
    for _ in 0..10 {
        let rs = (0..100).map(|i| PutRecordsRequestEntry::builder().partition_key(format!("k{i}")).data(Blob::new(vec![b'x'; 50_000])).build().unwrap()).collect::<Vec<_>>();
        a.kinesis.put_records().stream_name("clicks").set_records(Some(rs)).send().await.unwrap(); }
    println!("put_records 100x50kB {:?}", t.elapsed() / 10);
    let t = std::time::Instant::now();
    let mut it = a.kinesis.get_shard_iterator().stream_name("clicks").shard_id("shardId-000000000000").shard_iterator_type(ShardIteratorType::TrimHorizon).send().await.unwrap().shard_iterator.unwrap();
    let mut n = 0; let mut calls = 0;
    loop { let r = a.kinesis.get_records().shard_iterator(it).send().await.unwrap(); n += r.records.len(); calls += 1; it = r.next_shard_iterator.unwrap(); if r.millis_behind_latest == Some(0) { break } }
    println!("get {n} records {calls} calls {:?}", t.elapsed());
    let t = std::time::Instant::now();
    for _ in 0..2000 { let r = a.kinesis.get_records().shard_iterator(it).send().await.unwrap(); it = r.next_shard_iterator.unwrap(); }
    println!("empty get {:?}", t.elapsed() / 2000);
    let d = &a.dynamodb;
    use aws_sdk_dynamodb::types as d;
    d.create_table().table_name("leases").billing_mode(d::BillingMode::PayPerRequest)
      .attribute_definitions(d::AttributeDefinition::builder().attribute_name("k").attribute_type(d::ScalarAttributeType::S).build().unwrap())
      .key_schema(d::KeySchemaElement::builder().attribute_name("k").key_type(d::KeyType::Hash).build().unwrap()).send().await.unwrap();
    d.put_item().table_name("leases").item("k", d::AttributeValue::S("a".into())).item("n", d::AttributeValue::N("0".into())).send().await.unwrap();
    let t = std::time::Instant::now();
    for i in 0..1000 { d.update_item().table_name("leases").key("k", d::AttributeValue::S("a".into())).update_expression("SET n = :n").condition_expression("n = :o").expression_attribute_values(":n", d::AttributeValue::N((i+1).to_string())).expression_attribute_values(":o", d::AttributeValue::N(i.to_string())).return_values(d::ReturnValue::AllNew).send().await.unwrap(); }
    println!("update_item {:?}", t.elapsed() / 1000);
}
