"""The stream and the table: kinesis-local and DynamoDB Local, and what the runner asks of them through boto3."""

import time
from dataclasses import dataclass

import boto3
from botocore.config import Config

from .processes import PEERS, Child, Failed, free_ports

REGION = "us-east-1"
CREDENTIALS = {"aws_access_key_id": "AKIDEXAMPLE", "aws_secret_access_key": "secret"}
_CLIENT = Config(connect_timeout=5, read_timeout=60, retries={"max_attempts": 3})


@dataclass(frozen=True)
class Shard:
    """A shard as ListShards shows it."""

    id: str
    start: int
    end: int
    parents: tuple
    closed: bool

    def holds(self, hash_key):
        return self.start <= hash_key <= self.end


@dataclass(frozen=True)
class KinesisRecord:
    """A record as GetRecords returns it; perhaps an aggregate."""

    shard: str
    seq: int
    key: str
    data: bytes


class Kinesis:
    """kinesis-local on ports of its own."""

    def __init__(self, run, name="kinesis-local"):
        self.port, self.tls_port = free_ports(2)
        self.url = f"http://127.0.0.1:{self.port}"
        self.child = Child(run, name, [PEERS / "kinesis", self.port, self.tls_port], service=True)
        self.child.wait_for_port(self.port, 60)
        self.client = boto3.client("kinesis", endpoint_url=self.url, region_name=REGION, config=_CLIENT, **CREDENTIALS)

    def create(self, stream, shards):
        self.client.create_stream(StreamName=stream, ShardCount=shards)
        self._wait_active(stream)

    def split(self, stream, shard):
        """Splits a shard in the middle of its hash range."""
        middle = (shard.start + shard.end) // 2
        self.client.split_shard(StreamName=stream, ShardToSplit=shard.id, NewStartingHashKey=str(middle))
        self._wait_active(stream)

    def shards(self, stream):
        listed, token = [], None
        while True:
            page = self.client.list_shards(**({"NextToken": token} if token else {"StreamName": stream}))
            listed += page["Shards"]
            token = page.get("NextToken")
            if not token:
                return [_shard(shard) for shard in listed]

    def read(self, stream):
        """Every record of every shard, from the oldest on."""
        return [record for shard in self.shards(stream) for record in self._read_shard(stream, shard)]

    def _read_shard(self, stream, shard):
        iterator = self.client.get_shard_iterator(
            StreamName=stream, ShardId=shard.id, ShardIteratorType="TRIM_HORIZON"
        )["ShardIterator"]
        while iterator:
            page = self.client.get_records(ShardIterator=iterator)
            for record in page["Records"]:
                yield KinesisRecord(shard.id, int(record["SequenceNumber"]), record["PartitionKey"], record["Data"])
            iterator = page.get("NextShardIterator")
            if not page["Records"] and page["MillisBehindLatest"] == 0:
                return

    def _wait_active(self, stream):
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            summary = self.client.describe_stream_summary(StreamName=stream)["StreamDescriptionSummary"]
            if summary["StreamStatus"] == "ACTIVE":
                return
            time.sleep(0.1)
        raise Failed(f"stream {stream} is still {summary['StreamStatus']} after 30 s")


class DynamoDb:
    """DynamoDB Local, in memory."""

    def __init__(self, run):
        (self.port,) = free_ports(1)
        self.url = f"http://127.0.0.1:{self.port}"
        self.child = Child(run, "dynamodb-local", [PEERS / "dynamodb", self.port], service=True)
        self.child.wait_for_port(self.port, 60)
        self.client = boto3.client("dynamodb", endpoint_url=self.url, region_name=REGION, config=_CLIENT, **CREDENTIALS)

    def items(self, table):
        """Every item in DynamoDB's own JSON, by its `leaseKey`; empty while there is no table."""
        try:
            pages = self.client.get_paginator("scan").paginate(TableName=table, ConsistentRead=True)
            return {item["leaseKey"]["S"]: item for page in pages for item in page["Items"]}
        except self.client.exceptions.ResourceNotFoundException:
            return {}

    def leases(self, table):
        """The items that are leases."""
        return {key: item for key, item in self.items(table).items() if "leaseCounter" in item}

    def leader(self, table):
        """The worker that holds the leader lock, or None."""
        return self.items(table).get("Leader", {}).get("ownerName", {}).get("S")


def _shard(listed):
    hashes = listed["HashKeyRange"]
    parents = tuple(listed[name] for name in ("ParentShardId", "AdjacentParentShardId") if name in listed)
    closed = "EndingSequenceNumber" in listed["SequenceNumberRange"]
    return Shard(listed["ShardId"], int(hashes["StartingHashKey"]), int(hashes["EndingHashKey"]), parents, closed)
