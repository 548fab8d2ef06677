"""What workers delivered, read from their events: the consumer's promises seen from outside."""

import base64
from collections import Counter, defaultdict
from dataclasses import dataclass

from .lines import Account, Line


@dataclass(frozen=True)
class Delivery:
    """A user record handed to a worker's processor."""

    worker: str
    epoch: int
    ms: int
    shard: str
    seq: int
    sub: int
    line: Line

    def place(self):
        return self.shard, self.seq, self.sub


def deliveries(workers):
    """All that these workers delivered; an epoch is counted from each `initialize` of a shard."""
    found = []
    for worker in workers:
        epochs = Counter()
        for event in list(worker.events):
            if event["event"] == "initialize":
                epochs[event["shard"]] += 1
            elif event["event"] == "record":
                line = Line(event["key"], base64.b64decode(event["data"]))
                shard = event["shard"]
                found.append(
                    Delivery(worker.name, epochs[shard], event["ms"], shard, int(event["seq"]), event["sub"], line)
                )
    return found


def held(worker):
    """The shards that a worker has begun and neither finished nor lost."""
    shards = set()
    for event in list(worker.events):
        if event["event"] == "initialize":
            shards.add(event["shard"])
        elif event["event"] in ("lease_lost", "shard_end", "shutdown_requested"):
            shards.discard(event["shard"])
    return shards


def places(found):
    """One line per place in the stream, however often it was delivered."""
    return {delivery.place(): delivery.line for delivery in found}


def account(lines, found):
    """The lines against what was delivered, each place in the stream counted once."""
    return Account.of(lines, places(found).values())


def redelivered(found):
    """The deliveries after the first of their place."""
    seen, again = set(), []
    for delivery in sorted(found, key=lambda one: one.ms):
        if delivery.place() in seen:
            again.append(delivery)
        seen.add(delivery.place())
    return again


def disorder(found):
    """C3: how many deliveries do not lie after the one before them in their epoch."""
    last, wrong = {}, 0
    for delivery in found:
        epoch = delivery.worker, delivery.shard, delivery.epoch
        here = delivery.seq, delivery.sub
        wrong += epoch in last and here <= last[epoch]
        last[epoch] = here
    return wrong


def early_children(found, shards, workers):
    """C4: children whose first delivery came before the end of one of their parents."""
    ends = {event["shard"]: event["ms"] for worker in workers for event in worker.of("shard_end")}
    first = {}
    for delivery in found:
        first[delivery.shard] = min(delivery.ms, first.get(delivery.shard, delivery.ms))
    return [
        shard.id
        for shard in shards
        for parent in shard.parents
        if shard.id in first and not ends.get(parent, float("inf")) <= first[shard.id]
    ]


def overlaps(found):
    """Shards that two workers delivered from in turns, instead of one after the other."""
    spans = defaultdict(list)
    for delivery in found:
        spans[delivery.shard].append(delivery)
    mixed = []
    for shard, delivered in spans.items():
        delivered.sort(key=lambda one: one.ms)
        owners = [one.worker for one in delivered]
        runs = 1 + sum(before != after for before, after in zip(owners, owners[1:]))
        epochs = len({(one.worker, one.epoch) for one in delivered})
        if runs > epochs:
            mixed.append(shard)
    return mixed


def not_drained(found, leases):
    """C2 and a clean end: the shards whose checkpoint is not exactly at the last record delivered of them."""
    last = {}
    for delivery in found:
        last[delivery.shard] = max((delivery.seq, delivery.sub), last.get(delivery.shard, (0, 0)))
    return {
        shard: f"delivered to {place}, checkpoint {checkpoint}"
        for shard, place in last.items()
        if shard in leases and (checkpoint := _checkpoint(leases[shard])) not in (place, "SHARD_END")
    }


def _checkpoint(lease):
    at = lease["checkpoint"]["S"]
    return (int(at), int(lease["checkpointSubSequenceNumber"]["N"])) if at.isdigit() else at
