"""20 000 lines by our `put`; the real KCL reads them from an empty table on.

P2 with the KCL's hash filter on: an aggregate with one key outside its shard would vanish whole.
"""

from .. import programs
from ..deliveries import account, deliveries, disorder, not_drained, redelivered
from ..lines import generate
from ..services import Kinesis

TITLE = "put → the real KCL"
_LINES = 20_000
_STREAM = "lines"


def body(run):
    kinesis, table = Kinesis(run, f"{run.name}-kinesis"), run.dynamodb()
    kinesis.create(_STREAM, shards=3)
    producer = programs.put(run, f"{run.name}-put", kinesis, _STREAM)
    producer.feed(generate(_LINES, seed=2))
    run.check(producer.child.wait(120) == 0, "put ends with 0")

    worker = programs.java_worker(run, f"{run.name}-java", kinesis, table, _STREAM, run.name)
    # An empty table costs the KCL 75 to 101 s.
    worker.wait_until(lambda: worker.of("initialize"), 200, "first shard")
    start = worker.of("initialize")[0]["ms"] - worker.of("state")[0]["ms"]
    run.say(f"the KCL has its first shard after {start / 1000:.0f} s")
    run.until(lambda: not account(producer.lines, deliveries([worker])).lost, 90, "last line")
    worker.terminate()

    found = deliveries([worker])
    total = account(producer.lines, found)
    run.check(total.complete(), f"the KCL reads all lines and nothing else ({total})")
    run.check(disorder(found) == 0, "in the order of (sequence, sub-sequence)")
    undone = not_drained(found, table.leases(run.name))
    run.check(not undone, "at the end every checkpoint is at the last record delivered", undone)
    unfiltered = sum("Cannot get the shard" in line for line in worker.log())
    run.figure("lines", len(producer.lines))
    run.figure("batches that the KCL did not filter by hash range (it had no listing)", unfiltered)
    run.figure("delivered again", len(redelivered(found)))
    run.figure("seconds from the KCL's start to its first shard", f"{start / 1000:.0f}")
