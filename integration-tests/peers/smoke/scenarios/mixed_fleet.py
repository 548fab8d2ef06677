"""One Java and one Rust worker on one table, four shards, lines put throughout, and two shards split: one of each worker.

Once the Java worker leads, once ours. C1, C3, C4, C7: every shard has one owner, both own some, none is lost.
"""

import threading

from .. import programs
from ..deliveries import account, deliveries, disorder, early_children, held, not_drained, overlaps, redelivered
from ..lines import generate
from ..services import Kinesis

TITLE = "one Java and one Rust worker on one table"
_STREAM = "lines"
_PER_SECOND = 100
_MOST_LINES = 60_000


def body(run, leader):
    kinesis, table = Kinesis(run, f"{run.name}-kinesis"), run.dynamodb()
    kinesis.create(_STREAM, shards=4)
    make = {"java": programs.java_worker, "rust": programs.our_worker}
    workers = {}
    for kind in (leader, *(make.keys() - {leader})):
        workers[kind] = make[kind](run, f"{run.name}-{kind}", kinesis, table, _STREAM, run.name)
        run.until(lambda: table.leader(run.name) == workers[leader].name, 120, f"{leader} leader")

    enough = threading.Event()
    producer = programs.put(run, f"{run.name}-put", kinesis, _STREAM)
    producer.feed(_until(enough, generate(_MOST_LINES, seed=4)), per_second=_PER_SECOND)

    fleet = _Fleet(run, kinesis, table, workers)
    first = fleet.settle(300)
    run.say(f"settled: {first}")
    for owner in workers.values():
        kinesis.split(_STREAM, next(shard for shard in fleet.open_shards() if first[shard.id] == owner.name))
    children = {shard.id for shard in kinesis.shards(_STREAM) if shard.parents}
    run.until(lambda: children <= {one.shard for one in fleet.deliveries()}, 180, "first record of every child")
    second = fleet.settle(120)
    run.say(f"settled after the splits: {second}")
    run.check(table.leader(run.name) == workers[leader].name, f"the {leader} worker led to the end")

    enough.set()
    run.check(producer.child.wait(60) == 0, "put ends with 0")
    run.until(lambda: not account(producer.lines, fleet.deliveries()).lost, 90, "last line")
    codes = {kind: worker.terminate() for kind, worker in workers.items()}
    if not run.java_only:
        run.check(codes["rust"] == 0, "our worker drains and ends with 0")

    found = fleet.deliveries()
    total = account(producer.lines, found)
    shards = kinesis.shards(_STREAM)
    run.check(total.complete(), f"none lost, none invented ({total})")
    run.check(disorder(found) == 0, "in each epoch deliveries strictly increase")
    run.check(not overlaps(found), "no shard was read by both in turns", overlaps(found))
    undone = not_drained(found, table.leases(run.name))
    run.check(not undone, "at the end every checkpoint is at the last record delivered", undone)
    early = early_children(found, shards, workers.values())
    run.check(not early, "no child was read before its parent's end", early)
    run.figure("lines", len(producer.lines))
    for kind, worker in workers.items():
        run.figure(f"delivered by {kind}", len(worker.of("record")))
        run.figure(f"open shards of {kind}, before and after the splits", f"{_count(first, worker)}, {_count(second, worker)}")
    run.figure("delivered again", len(redelivered(found)))


class _Fleet:
    def __init__(self, run, kinesis, table, workers):
        self._run, self._kinesis, self._table, self._workers = run, kinesis, table, workers

    def open_shards(self):
        return [shard for shard in self._kinesis.shards(_STREAM) if not shard.closed]

    def deliveries(self):
        return deliveries(self._workers.values())

    def settle(self, seconds):
        """Waits until every open shard has one owner, no hand-off is under way and both own some; returns the owners.

        Both sides have to say so, the table and the workers.
        """
        return self._run.until(self._settled, seconds, "shards with one owner each, some of either worker")

    def _settled(self):
        leases = self._table.leases(self._run.name)
        owners = {}
        for shard in self.open_shards():
            lease = leases.get(shard.id, {})
            if "leaseOwner" not in lease or "checkpointOwner" in lease:
                return None
            owners[shard.id] = lease["leaseOwner"]["S"]
        for worker in self._workers.values():
            mine = {shard for shard, owner in owners.items() if owner == worker.name}
            if not mine or mine != held(worker) & owners.keys():
                return None
        return owners


def _until(enough, lines):
    for line in lines:
        if enough.is_set():
            return
        yield line


def _count(owners, worker):
    return sum(owner == worker.name for owner in owners.values())
