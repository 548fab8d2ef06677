"""20 000 lines by the real KPL, over TLS, into our `cloud`; a worker of ours reads them, its lease table there too."""

from .. import programs
from ..deliveries import account, deliveries, disorder
from ..lines import generate, hash_key
from ..services import Cloud

TITLE = "the real KPL → our cloud → our worker"
_LINES = 20_000
_STREAM = "lines"


def body(run):
    cloud = Cloud(run, f"{run.name}-cloud", "--stream", f"{_STREAM}:3")
    streams = cloud.streams
    producer = programs.kpl(run, f"{run.name}-kpl", streams, _STREAM, "--print")
    producer.feed(generate(_LINES, seed=7))
    worker = programs.our_worker(run, f"{run.name}-worker", streams, cloud.tables, _STREAM, run.name)
    run.check(producer.child.wait(120) == 0, "kpl-load ends with 0: the KPL had every record confirmed")
    run.until(lambda: not account(producer.lines, deliveries([worker])).lost, 120, "last line")
    code = worker.terminate()

    found = deliveries([worker])
    total = account(producer.lines, found)
    run.check(total.exact(), f"each line once ({total})")
    run.check(disorder(found) == 0, "in the order of (sequence, sub-sequence)")
    receipts = {(one["shard"], int(one["seq"])) for one in producer.child.of("written")}
    places = {(one.shard, one.seq) for one in found}
    run.check(receipts == places, f"every receipt is a record and every record has one ({len(receipts ^ places)} differ)")
    shards = {shard.id: shard for shard in streams.shards(_STREAM)}
    astray = sum(not shards[one.shard].holds(hash_key(one.line.key)) for one in found)
    run.check(astray == 0, "every key on its own shard", astray)
    if not run.java_only:
        run.check(code == 0, "the worker drains and ends with 0")
    run.check(cloud.end() == 0, "cloud ends with 0")
    run.figure("lines", len(producer.lines))
    run.figure("Kinesis records", len(places))
    run.figure("attempts", producer.child.of("end")[0]["attempts"])
