"""The stream and the table: kinesis-local and DynamoDB Local, or our `cloud`; and what the runner asks of them through boto3."""

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


class Streams:
    """A Kinesis that listens at `url`, and with TLS at `tls_port`."""

    def __init__(self, url, tls_port):
        self.url, self.tls_port = url, tls_port
        self.client = _client("kinesis", url)

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


class Tables:
    """A DynamoDB that listens at `url`."""

    def __init__(self, url):
        self.url = url
        self.client = _client("dynamodb", url)

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


class Kinesis(Streams):
    """kinesis-local on ports of its own."""

    def __init__(self, run, name="kinesis-local"):
        port, tls_port = free_ports(2)
        child = Child(run, name, [PEERS / "kinesis", port, tls_port], service=True)
        child.wait_for_port(port, 60)
        super().__init__(f"http://127.0.0.1:{port}", tls_port)


class DynamoDb(Tables):
    """DynamoDB Local, in memory."""

    def __init__(self, run):
        (port,) = free_ports(1)
        child = Child(run, "dynamodb-local", [PEERS / "dynamodb", port], service=True)
        child.wait_for_port(port, 60)
        super().__init__(f"http://127.0.0.1:{port}")


class Cloud:
    """Our `cloud`: `streams` and `tables` at one address, plain and with TLS."""

    def __init__(self, run, name, *flags):
        words = [run.binaries / "cloud", "--listen", "127.0.0.1:0", "--tls", *flags]
        self.child = Child(run, name, words)
        self.child.wait_until(lambda: self.child.of("listening"), 30, "listening")
        address = self.child.of("listening")[0]["url"].removeprefix("https://")
        self.url = f"http://{address}"
        self.streams = Streams(self.url, int(address.rpartition(":")[2]))
        self.tables = Tables(self.url)

    def end(self):
        """SIGTERM, and its exit code."""
        return self.child.terminate()


def _client(service, url):
    return boto3.client(service, endpoint_url=url, region_name=REGION, config=_CLIENT, **CREDENTIALS)


def _shard(listed):
    hashes = listed["HashKeyRange"]
    parents = tuple(listed[name] for name in ("ParentShardId", "AdjacentParentShardId") if name in listed)
    closed = "EndingSequenceNumber" in listed["SequenceNumberRange"]
    return Shard(listed["ShardId"], int(hashes["StartingHashKey"]), int(hashes["EndingHashKey"]), parents, closed)
