"""20 000 lines on our `cloud`, stream and lease table both; the real KCL reads them, and a shard is split on the way.

The KCL speaks CBOR, and in fan-out mode HTTP/2 with event streams: what it trips over, our cloud does not do as the service does.
"""

from .. import programs
from ..deliveries import account, deliveries, disorder, early_children, not_drained, redelivered
from ..lines import generate
from ..services import Cloud

TITLE = "our cloud → the real KCL"
_LINES = 20_000
_PER_SECOND = 1_000
_STREAM = "lines"


def body(run, mode):
    cloud = Cloud(run, f"{run.name}-cloud", "--stream", f"{_STREAM}:3")
    streams, tables = cloud.streams, cloud.tables
    lines = generate(_LINES, seed=6)
    before = programs.put(run, f"{run.name}-put", streams, _STREAM)
    before.feed(lines[: _LINES // 2])
    run.check(before.child.wait(120) == 0, "put ends with 0")

    worker = programs.java_worker(run, f"{run.name}-java", streams, tables, _STREAM, run.name, "--mode", mode)
    worker.wait_until(lambda: len(worker.of("initialize")) == 3, 240, "three shards")
    start = worker.of("initialize")[0]["ms"] - worker.of("state")[0]["ms"]
    run.say(f"the KCL has its first shard after {start / 1000:.0f} s")
    after = programs.put(run, f"{run.name}-put-2", streams, _STREAM)
    after.feed(lines[_LINES // 2 :], per_second=_PER_SECOND)
    run.until(lambda: len(worker.of("record")) > _LINES * 0.6, 120, "record from beyond the first half")
    streams.split(_STREAM, streams.shards(_STREAM)[0])
    run.check(after.child.wait(120) == 0, "the second put ends with 0")
    put = before.lines + after.lines
    run.until(lambda: not account(put, deliveries([worker])).lost, 180, "last line")

    consumers = streams.client.list_stream_consumers(StreamARN=_arn(streams))["Consumers"]
    statuses = [consumer["ConsumerStatus"] for consumer in consumers]
    run.check(statuses == (["ACTIVE"] if mode == "fan-out" else []), f"{len(statuses)} consumers are registered", statuses)
    worker.terminate()
    found, shards = deliveries([worker]), streams.shards(_STREAM)
    total = account(put, found)
    run.check(total.complete(), f"the KCL reads all lines and nothing else ({total})")
    run.check(len(shards) == 5 and {one.shard for one in found} == {shard.id for shard in shards}, "from all five shards")
    run.check(disorder(found) == 0, "in the order of (sequence, sub-sequence)")
    early = early_children(found, shards, [worker])
    run.check(not early, "no child was read before its parent's end", early)
    undone = not_drained(found, tables.leases(run.name))
    run.check(not undone, "at the end every checkpoint is at the last record delivered", undone)
    run.check(cloud.end() == 0, "cloud ends with 0")
    run.figure("lines", len(put))
    run.figure("delivered again", len(redelivered(found)))
    run.figure("seconds from the KCL's start to its first shard", f"{start / 1000:.0f}")


def _arn(streams):
    return streams.client.describe_stream_summary(StreamName=_STREAM)["StreamDescriptionSummary"]["StreamARN"]
