"""30 000 lines by the real KPL; two of our workers read them, and the leader of the two is killed half-way.

C1 (none lost), C2 and C5 (what comes again was delivered after the dead worker's last checkpoints), C3, C8.
"""

import time

from .. import programs
from ..deliveries import account, deliveries, disorder, held, not_drained, redelivered
from ..lines import generate
from ..services import Kinesis

TITLE = "the real KPL → two of our workers, one killed"
_LINES = 30_000
_PER_SECOND = 1_500
_STREAM = "lines"
# C8: lease duration 10 s, two assignment rounds of 5 s, and 2 s. This is real time on two cores: the check allows twice that.
_TAKE_OVER_S = 22


def body(run):
    kinesis, table = Kinesis(run, f"{run.name}-kinesis"), run.dynamodb()
    kinesis.create(_STREAM, shards=4)
    workers = []
    for name in ("one", "two"):
        workers.append(programs.our_worker(run, f"{run.name}-{name}", kinesis, table, _STREAM, run.name))
        if run.java_only:  # of two that meet an empty table at once, one ends: "AssignmentMode is not initialized"
            run.until(lambda: table.leader(run.name), 60, "leader")
    for worker in workers:
        worker.wait_until(lambda: worker.of("initialize"), 240, "first shard")

    producer = programs.kpl(run, f"{run.name}-kpl", kinesis, _STREAM)
    producer.feed(generate(_LINES, seed=3), per_second=_PER_SECOND)
    run.until(lambda: _delivered(workers) >= _LINES // 2, 120, "half of the lines")
    leader = table.leader(run.name)
    victim, heir = sorted(workers, key=lambda worker: worker.name != leader)
    orphans = held(victim)
    victim.kill()
    killed_ms = time.time() * 1000
    run.say(f"killed {victim.name} after {_delivered(workers)} deliveries; it held {len(orphans)} shards")

    run.check(producer.child.wait(120) == 0, "kpl-load ends with 0: the KPL had every record confirmed")
    limit = 240 if run.java_only else 2 * _TAKE_OVER_S
    run.until(lambda: orphans <= held(heir), limit, "take-over of the dead worker's shards")
    taken_ms = max(event["ms"] for event in heir.of("initialize") if event["shard"] in orphans)
    run.until(lambda: not account(producer.lines, deliveries(workers)).lost, 60, "last line")
    code = heir.terminate()

    found = deliveries(workers)
    total, again = account(producer.lines, found), redelivered(found)
    run.check(total.complete(), f"none lost, none invented ({total})")
    run.check(disorder(found) == 0, "in each epoch deliveries strictly increase")
    undone = not_drained(found, table.leases(run.name))
    run.check(not undone, "at the end every checkpoint is at the last record delivered", undone)
    run.check(victim.name == leader, "the killed worker led")
    if not run.java_only:  # a KCL worker does not say what it checkpoints, ends with 143, and leaves its leases and its row
        covered = _covered(victim, again)
        run.check(not covered, "nothing that the dead worker had checkpointed came again", covered)
        run.check(code == 0, "the other worker drains and ends with 0")
        owned = [key for key, lease in table.leases(run.name).items() if "leaseOwner" in lease]
        run.check(not owned, "and has released its leases", owned)
        run.check(heir.name not in table.items(run.name), "and deleted its worker-metrics row")
    run.figure("lines", len(producer.lines))
    run.figure("delivered by each", " + ".join(str(len(worker.of("record"))) for worker in workers))
    run.figure("delivered again", len(again))
    run.figure("seconds from the kill to the last take-over", f"{(taken_ms - killed_ms) / 1000:.1f}")


def _delivered(workers):
    return sum(len(worker.of("record")) for worker in workers)


def _covered(worker, again):
    """The places, of those delivered again, that a checkpoint of this worker lies at or behind."""
    checkpoints = {}
    for event in worker.of("checkpoint"):
        checkpoints[event["shard"]] = int(event["seq"]), event["sub"]
    return [one.place() for one in again if (one.seq, one.sub) <= checkpoints.get(one.shard, (-1, 0))]
