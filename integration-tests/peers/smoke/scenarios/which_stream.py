"""Whose the lease table is (C11), by the program: a worker of another stream ends within seconds and writes nothing, and a worker of
the right stream is never refused.

The streams are in our `cloud`, which refuses the sequence numbers of another stream as the service does; the tables are in DynamoDB
Local. The tables that the real KCL left are those of the consumer's golden tests.
"""

import json
import time

from .. import programs
from ..deliveries import account, deliveries
from ..lines import generate
from ..processes import REPOSITORY
from ..services import Cloud

TITLE = "workers of another stream, and of the right one, on one table"
_RIGHT, _WRONG = "right", "wrong"
_SHARDS, _LINES = 4, 400
_REFUSED_WITHIN_S = 5
_LAYOUTS = REPOSITORY / "consumer" / "testdata" / "layouts"
# Our workers join these; the layouts of the others are refused, whatever the stream.
_JOINED = {"golden-272-beside-3x-rows", "golden-351-on-272", "golden-351-single-table"}


def body(run):
    if run.java_only:
        run.check(True, "the KCL knows no binding")
        return
    world = _World(run)
    world.fresh_and_live()
    world.after_a_reshard()
    world.another_region()
    world.restored()
    world.several_streams()
    for path in sorted(_LAYOUTS.glob("*.json")):
        world.left_by_the_kcl(path.stem, json.loads(path.read_text()))
    world.made_again()


class _World:
    def __init__(self, run):
        self.run, self.app = run, run.name
        self.cloud = Cloud(run, f"{run.name}-cloud")
        self.streams, self.table = self.cloud.streams, run.dynamodb()
        self.streams.create(_RIGHT, _SHARDS)
        self.streams.create(_WRONG, _SHARDS)
        self.slowest = 0.0
        self.started = 0

    def fresh_and_live(self):
        worker = self.worker(_RIGHT)
        lines = self.put()
        self.read([worker], lines)
        self.refused("beside a live fleet", _WRONG, live=True)
        lines += self.put()
        self.read([worker], lines)
        self.run.check(worker.terminate() == 0, "beside a live fleet: the right worker reads on and ends with 0")
        self.refused("after the fleet", _WRONG)

    def after_a_reshard(self):
        worker = self.worker(_RIGHT)
        self.streams.split(_RIGHT, self.streams.shards(_RIGHT)[0])
        children = {shard.id for shard in self.streams.shards(_RIGHT) if shard.parents}
        self.run.until(lambda: children <= self.leases(worker), 60, "leases of the children")
        self.refused("after a reshard", _WRONG, live=True)
        self.run.check(worker.terminate() == 0, "after a reshard: the right worker ends with 0")
        self.welcome("after a reshard", self.app)

    def another_region(self):
        self.welcome("with the endpoint under another region's name", self.app, region="eu-west-1")

    def restored(self):
        """A table restored from a backup has another name, and all its items."""
        app = f"{self.app}-restored"
        self.copy(self.table.client.describe_table(TableName=self.app)["Table"], app, self.table.items(self.app).values())
        self.refused("on a restored table", _WRONG, app=app)
        self.welcome("on a restored table", app)

    def several_streams(self):
        app = f"{self.app}-several"
        lease = {"checkpoint": {"S": "TRIM_HORIZON"}, "leaseCounter": {"N": "7"}, "ownerSwitchesSinceCheckpoint": {"N": "0"}}
        keys = [f"123456789012:{_RIGHT}:1764522000:shardId-{n:012}" for n in range(2)]
        items = [{"leaseKey": {"S": key}, "streamName": {"S": key.rsplit(":", 1)[0]}, **lease} for key in keys]
        version = self.table.items(self.app)["Migration3.0"]
        version.pop("boundToStream")
        self.copy(self.table.client.describe_table(TableName=self.app)["Table"], app, [version, *items])
        for stream in (_RIGHT, _WRONG):
            self.refused(f"on a table of several streams, reading {stream}", stream, app=app, says=["several streams"])

    def left_by_the_kcl(self, name, tables):
        app = f"{self.app}-{name}"
        leases = sum(item["leaseKey"]["S"].startswith("shardId-") for item in tables["app"]["Items"] if "leaseKey" in item)
        stream, other = f"{name}-right", f"{name}-wrong"
        for each in (stream, other):
            self.streams.create(each, leases)
        known = {shard.id: (shard, self.number(stream, shard)) for shard in self.streams.shards(stream)}
        names = {table: app + table.removeprefix("app") for table in tables}
        for table, content in tables.items():
            self.copy(content, names[table], [_adapted(item, known) for item in content["Items"]])
        said = [app, other] if name in _JOINED else [app]
        self.refused(f"{name}, another stream", other, app=app, says=said, tables=names.values())
        if name in _JOINED:
            self.welcome(name, app, stream)
        else:
            self.refused(f"{name}, its layout", stream, app=app, says=[app, "cannot be used"], tables=names.values())

    def made_again(self):
        client = self.streams.client
        client.delete_stream(StreamName=_RIGHT, EnforceConsumerDeletion=True)
        self.run.until(lambda: _RIGHT not in client.list_streams()["StreamNames"], 30, "the stream to go")
        self.streams.create(_RIGHT, _SHARDS)
        self.refused("the stream made again", _RIGHT)
        old = self.table.items(self.app)["Migration3.0"]["boundToStream"]["S"]
        worker = self.worker(_RIGHT, "--start-over-from", old)
        self.read([worker], self.put())
        self.run.check(worker.terminate() == 0, "the stream made again, by an operator's word: read from the start, and ended with 0")
        self.run.figure("slowest refusal", f"{self.slowest:.2f} s")

    def refused(self, case, stream, app=None, live=False, says=None, tables=None):
        """A worker that ends by itself. `live`: others write meanwhile, so only what it could have written is looked for."""
        app = app or self.app
        tables = list(tables or [app])
        before = [self.content(table) for table in tables]
        began = time.monotonic()
        worker = self.worker(stream, app=app, wait=False)
        worker.told_to_end = True
        code = worker.wait(60)
        took = time.monotonic() - began
        self.slowest = max(self.slowest, took)
        self.run.check(code == 1 and took <= _REFUSED_WITHIN_S, f"{case}: exit 1 within {_REFUSED_WITHIN_S} s", f"{code} after {took:.1f} s")
        log = "\n".join(worker.log())
        missing = [text for text in ([_RIGHT, stream] if says is None else says) if text not in log]
        self.run.check(not missing, f"{case}: the error names what it is about", f"{missing} not in\n{worker.tail()}")
        after = [self.content(table) for table in tables]
        if live:
            bound = [item for item in after[0] if "Migration3.0" in item and item not in before[0]]
            written = bound + [item for items in after for item in items if worker.name in item]
            self.run.check(not written, f"{case}: nothing written", written)
        else:
            self.run.check(before == after, f"{case}: nothing written")

    def welcome(self, case, app, stream=_RIGHT, region=None):
        """A worker of the right stream comes up, and leaves in good order. It may have to wait for the lock of a KCL that is gone
        before it is given a shard, but binds the table before."""
        worker = self.worker(stream, app=app, wait=False, region=region)
        row = lambda: self.table.items(app)["Migration3.0"].get("boundToStream", {}).get("S", "")  # noqa: E731
        self.run.until(lambda: f"/{stream} " in row() and worker.name in self.table.items(app), 60, f"{case}: a bound table")
        self.run.check(worker.code() is None and worker.terminate() == 0, f"{case}: the right worker is let in", worker.tail())

    def worker(self, stream, *flags, app=None, wait=True, region=None):
        self.started += 1
        name, app = f"{self.run.name}-w{self.started}", app or self.app
        worker = programs.our_worker(self.run, name, self.streams, self.table, stream, app, *flags, region=region)
        if wait:
            worker.wait_until(lambda: worker.of("initialize"), 60, "first shard")
        return worker

    def put(self):
        producer = programs.put(self.run, f"{self.run.name}-put{self.started}-{time.monotonic_ns()}", self.streams, _RIGHT)
        producer.feed(generate(_LINES, seed=self.started))
        producer.child.wait(60)
        return producer.lines

    def read(self, workers, lines):
        self.run.until(lambda: not account(lines, deliveries(workers)).lost, 60, "last line")

    def leases(self, worker):
        leases = self.table.leases(self.app).items()
        return {key for key, lease in leases if lease.get("leaseOwner", {}).get("S") == worker.name}

    def number(self, stream, shard):
        put = self.streams.client.put_record(StreamName=stream, PartitionKey="k", Data=b"before", ExplicitHashKey=str(shard.start))
        return put["SequenceNumber"]

    def content(self, table):
        """All items, whatever the table's keys, as texts in an order of their own."""
        pages = self.table.client.get_paginator("scan").paginate(TableName=table, ConsistentRead=True)
        return sorted(json.dumps(item, sort_keys=True) for page in pages for item in page["Items"])

    def copy(self, schema, name, items):
        """A table of this schema with these items."""
        indexes = [
            {"IndexName": index["IndexName"], "KeySchema": index["KeySchema"], "Projection": {"ProjectionType": "KEYS_ONLY"}}
            for index in schema.get("GlobalSecondaryIndexes", schema.get("GSI", []))
        ]
        self.table.client.create_table(
            TableName=name,
            KeySchema=schema["KeySchema"],
            AttributeDefinitions=schema["AttributeDefinitions"],
            BillingMode="PAY_PER_REQUEST",
            **({"GlobalSecondaryIndexes": indexes} if indexes else {}),
        )
        for item in items:
            self.table.client.put_item(TableName=name, Item=item)


def _adapted(item, known):
    """The item with the range of the stream's shard, and in place of its number one of that shard."""
    shard, number = known.get(item.get("leaseKey", {}).get("S"), (None, None))
    if shard is None:
        return item
    changed = {"startingHashKey": {"S": str(shard.start)}, "endingHashKey": {"S": str(shard.end)}}
    if item["checkpoint"]["S"].isdigit():
        changed["checkpoint"] = {"S": number}
    return {**item, **changed}
