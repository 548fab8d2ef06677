"""boto3 (HTTP/1.1) and the AWS SDK for JavaScript (HTTP/2) on our `cloud`: each makes a stream and a table of its own, writes, splits,
reads by polling and by a subscription, and is refused.
"""

import time

from botocore.exceptions import ClientError

from ..processes import PEERS, Child
from ..services import Cloud

TITLE = "our cloud ↔ boto3 and the AWS SDK for JavaScript"
_LINES = 500
_LEASE = {"leaseKey": {"S": "shard"}, "leaseCounter": {"N": "1"}}


def body(run):
    cloud = Cloud(run, f"{run.name}-cloud")
    node = Child(run, f"{run.name}-node", [PEERS / "sdk-node", cloud.url, "node", "node-leases"])
    _boto3(run, cloud)
    run.check(node.wait(60) == 0, "the JavaScript program ends with 0", node.tail())
    _node(run, node)
    run.check(sorted(cloud.streams.client.list_streams()["StreamNames"]) == ["boto3", "node"], "both streams are there")
    run.check(cloud.end() == 0, "cloud ends with 0")


def _boto3(run, cloud):
    streams, kinesis = cloud.streams, cloud.streams.client
    wanted = sorted(b"line %d" % number for number in range(_LINES))
    streams.create("boto3", shards=2)
    _put(run, kinesis, wanted[: _LINES // 2])
    streams.split("boto3", streams.shards("boto3")[0])
    _put(run, kinesis, wanted[_LINES // 2 :])
    shards = streams.shards("boto3")
    parents = [shard.parents for shard in shards]
    run.check(parents == [(), (), (shards[0].id,), (shards[0].id,)], "boto3: two children of the shard that was split", parents)
    read = sorted(record.data for record in streams.read("boto3"))
    run.check(read == wanted, "boto3: GetRecords returns what was put", len(read))
    subscribed, ended = _subscribe(kinesis, shards)
    run.check(sorted(subscribed) == wanted, "boto3: subscriptions return what was put", len(subscribed))
    children = {shards[0].id: [shards[2].id, shards[3].id]}
    run.check(ended == children, "boto3: the subscription to the parent ends with its children", ended)
    _refused(run, "ResourceNotFoundException", lambda: kinesis.describe_stream(StreamName="nowhere"))
    _table(run, cloud.tables.client)
    run.figure("lines by boto3", len(read))


def _put(run, kinesis, lines):
    records = [{"PartitionKey": line.decode(), "Data": line} for line in lines]
    run.check(kinesis.put_records(StreamName="boto3", Records=records)["FailedRecordCount"] == 0, "boto3: PutRecords")


def _subscribe(kinesis, shards):
    """What subscriptions to all shards deliver until they have caught up, and the children of those that ended."""
    arn = kinesis.describe_stream_summary(StreamName="boto3")["StreamDescriptionSummary"]["StreamARN"]
    consumer = kinesis.register_stream_consumer(StreamARN=arn, ConsumerName="boto3")["Consumer"]["ConsumerARN"]
    while kinesis.describe_stream_consumer(ConsumerARN=consumer)["ConsumerDescription"]["ConsumerStatus"] != "ACTIVE":
        time.sleep(0.05)
    delivered, ended = [], {}
    for shard in shards:
        start = {"Type": "TRIM_HORIZON"}
        answer = kinesis.subscribe_to_shard(ConsumerARN=consumer, ShardId=shard.id, StartingPosition=start)
        for event in answer["EventStream"]:
            event = event["SubscribeToShardEvent"]
            delivered += [record["Data"] for record in event["Records"]]
            if event.get("ChildShards"):
                ended[shard.id] = [child["ShardId"] for child in event["ChildShards"]]
            elif event["MillisBehindLatest"] > 0:
                continue
            answer["EventStream"].close()
            break
    kinesis.deregister_stream_consumer(ConsumerARN=consumer)
    return delivered, ended


def _table(run, dynamodb):
    key = [{"AttributeName": "leaseKey", "AttributeType": "S"}]
    schema = [{"AttributeName": "leaseKey", "KeyType": "HASH"}]
    dynamodb.create_table(
        TableName="boto3-leases", AttributeDefinitions=key, KeySchema=schema, BillingMode="PAY_PER_REQUEST"
    )
    dynamodb.get_waiter("table_exists").wait(TableName="boto3-leases")
    dynamodb.put_item(TableName="boto3-leases", Item=_LEASE)
    count = {
        "TableName": "boto3-leases",
        "Key": {"leaseKey": _LEASE["leaseKey"]},
        "UpdateExpression": "SET leaseCounter = :to",
        "ConditionExpression": "leaseCounter = :from",
        "ExpressionAttributeValues": {":from": {"N": "1"}, ":to": {"N": "2"}},
    }
    dynamodb.update_item(**count)
    _refused(run, "ConditionalCheckFailedException", lambda: dynamodb.update_item(**count))
    items = dynamodb.scan(TableName="boto3-leases", ConsistentRead=True)["Items"]
    run.check(items == [_LEASE | {"leaseCounter": {"N": "2"}}], "boto3: the item is there as it was written", items)


def _refused(run, code, call):
    try:
        call()
        seen = "no refusal"
    except ClientError as refusal:
        seen = refusal.response["Error"]["Code"]
    run.check(seen == code, f"boto3: {code} is what it catches", seen)


def _node(run, node):
    wanted = sorted(f"line {number}" for number in range(_LINES))
    run.check([put["failed"] for put in node.of("put")] == [0, 0], "JavaScript: PutRecords", node.of("put"))
    (shards,) = (event["shards"] for event in node.of("shards"))
    first = shards[0][0]
    parents = [parent for _, parent in shards]
    run.check(parents == [None, None, first, first], "JavaScript: two children of the shard that was split", parents)
    for kind, what in (("read", "GetRecords returns"), ("subscribed", "subscriptions over HTTP/2 return")):
        (lines,) = (sorted(event["lines"]) for event in node.of(kind))
        run.check(lines == wanted, f"JavaScript: {what} what was put", len(lines))
    ends = [(event["shard"], event["children"]) for event in node.of("shard_end")]
    children = [shard for shard, parent in shards if parent]
    run.check(ends == [(first, children)], "JavaScript: the subscription to the parent ends with its children", ends)
    refusals = [(event["code"], event["status"], bool(event["id"])) for event in node.of("refusal")]
    expected = [("ResourceNotFoundException", 400, True), ("ConditionalCheckFailedException", 400, True)]
    run.check(refusals == expected, "JavaScript: refusals are what it catches, with a request id", refusals)
    (items,) = (event["items"] for event in node.of("table"))
    run.check(items == [_LEASE | {"leaseCounter": {"N": "2"}}], "JavaScript: the item is there as it was written", items)
    run.figure("lines by JavaScript", len(wanted))
