"""50 000 lines by our `put` on three shards; AWS's own deaggregators and the KCL's say what is in the stream.

P1, P2 and P4 seen from outside: every line is there once, where its receipt says, on the shard that holds its key.
"""

import base64

from .. import programs
from ..lines import Account, Line, generate, hash_key
from ..services import Kinesis

TITLE = "put → Python, Node and Java deaggregators"
_LINES = 50_000
_STREAM = "lines"


def body(run):
    kinesis = Kinesis(run, f"{run.name}-kinesis")
    kinesis.create(_STREAM, shards=3)
    shards = kinesis.shards(_STREAM)

    producer = programs.put(run, f"{run.name}-put", kinesis, _STREAM, "--print")
    producer.feed(generate(_LINES, seed=1))
    run.check(producer.child.wait(120) == 0, "put ends with 0")
    records = kinesis.read(_STREAM)
    run.say(f"{_LINES} lines are {len(records)} Kinesis records; deaggregating")

    readers = {
        "Python": programs.decoder(run, "deaggregate-python", records),
        "Node": programs.decoder(run, "deaggregate-node", records),
        "KCL": programs.decoder(run, "kcl-decode", records, shards),
    }
    contents = {name: _content(run, name, child, records) for name, child in readers.items()}
    for name, users in contents.items():
        account = Account.of(producer.lines, (user.line for user in users))
        run.check(account.exact(), f"the {name} deaggregator reads exactly the lines ({account})")
    _check_shards(run, contents["Python"], shards)
    if not run.java_only:  # the KPL's program does not print sub-sequence numbers
        _check_receipts(run, producer.child, contents["Python"])

    span = producer.child.events[-1]["ms"] - producer.child.events[0]["ms"]
    units = sum((len(record.data) + len(record.key) + 24_999) // 25_000 for record in records)
    run.figure("lines", len(producer.lines))
    run.figure("seconds, first receipt to end", f"{span / 1000:.1f}")
    run.figure("Kinesis records", len(records))
    run.figure("lines per Kinesis record", f"{len(producer.lines) / len(records):.0f}")
    run.figure("PUT payload units of 25 kB", units)


class _User:
    """A user record as a deaggregator gave it."""

    def __init__(self, event, record):
        self.line = Line(event["key"], base64.b64decode(event["data"]))
        self.explicit = event["ehk"]
        self.shard = record.shard
        self.place = record.shard, record.seq, event["sub"] or 0


def _content(run, name, child, records):
    run.check(child.wait(120) == 0, f"the {name} deaggregator ends with 0")
    run.check(len(child.of("record-end")) == len(records), f"the {name} deaggregator read every Kinesis record")
    return [_User(event, records[event["record"]]) for event in child.of("record")]


def _check_shards(run, users, shards):
    by_id = {shard.id: shard for shard in shards}
    astray = [user for user in users if not by_id[user.shard].holds(hash_key(user.line.key, user.explicit))]
    run.check(not astray, "every key is on its own shard", f"{len(astray)} of {len(users)} are not")
    run.check({user.shard for user in users} == set(by_id), "every shard got some")


def _check_receipts(run, child, users):
    """P2: each receipt names a place of its own, and the record there has the receipt's key."""
    keys = {user.place: user.line.key for user in users}
    receipts = {(event["shard"], int(event["seq"]), event["sub"]): event["key"] for event in child.of("written")}
    run.check(len(child.of("written")) == len(keys), "put printed one receipt per record in the stream")
    run.check(receipts == keys, "every receipt names the place where its record is")
    run.check(not child.of("failed"), "put reports no failure")
