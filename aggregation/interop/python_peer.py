"""Round trips with AWS's Python library, and its protobuf runtime as a third judge of damaged bodies.

python_peer.py JSON_LINES [SEED]   (JSON_LINES is the built example `json_lines`)

Known of the library: once an aggregate has a table of explicit hash keys, a record without one is shown with the first of the table; and
its encoder counts a repeated key's text again with every record, so it believes an aggregate full before it is.
"""

import base64
import collections
import hashlib
import json
import random
import subprocess
import sys

from aws_kinesis_agg import MAGIC
from aws_kinesis_agg.aggregator import AggRecord, RecordAggregator
from aws_kinesis_agg.deaggregator import iter_deaggregate_records, messages_pb2
from google.protobuf.message import DecodeError

OURS, SEED = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 1
LIMITS = [200, 2_000, 51_200, 1_048_576]
MUTANTS = 20_000

Record = collections.namedtuple("Record", "key ehk data")


def call(*command, lines):
    text = "".join(json.dumps(line) + "\n" for line in lines)
    done = subprocess.run([OURS, *command], input=text.encode(), stdout=subprocess.PIPE, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def to_line(record):
    line = {"key": record.key, "data": base64.b64encode(record.data).decode()}
    return line | {"ehk": record.ehk} if record.ehk is not None else line


def from_line(line):
    return Record(line["key"], line["ehk"], base64.b64decode(line["data"]))


def make_records(rng, count):
    pool = [rng.choice(["k", "user-", "ключ-", "鍵", "😀", ""]) + str(n) for n in range(rng.choice([1, 5, 400]))]
    pool.append("L" * 256)
    ehks = [str(n) for n in (0, 1, 2**128 - 1)] + [str(rng.getrandbits(128)) for _ in range(200)]
    share = rng.choice([0, 0, 0.5, 1])
    size = rng.choice([0, 10, 300, 3000])
    ehk = lambda: rng.choice(ehks) if rng.random() < share else None
    return [Record(rng.choice(pool), ehk(), rng.randbytes(rng.randint(0, size))) for _ in range(count)]


def python_decode(kinesis_record):
    event = {
        "kinesis": {
            "kinesisSchemaVersion": "1.0",
            "sequenceNumber": "1",
            "approximateArrivalTimestamp": 0,
            "partitionKey": kinesis_record["partition_key"],
            "data": kinesis_record["data"],
        }
    }
    for user in iter_deaggregate_records([event]):
        user = user["kinesis"]
        yield user.get("aggregated", False), Record(user["partitionKey"], user.get("explicitHashKey"), base64.b64decode(user["data"]))


def ours_to_python(records, limit):
    """What we encode, Python decodes; and what Python encodes of the same records are the same bytes."""
    read = []
    for kinesis_record in call("encode", str(limit), lines=map(to_line, records)):
        assert int(kinesis_record["explicit_hash_key"]) < 2**128
        users = list(python_decode(kinesis_record))
        if users[0][0]:
            assert len(users) >= 2 and kinesis_record["partition_key"] == "a"
            group = records[len(read) : len(read) + len(users)]
            aggregate = AggRecord(max_size=1 << 30)
            for record in group:
                assert aggregate.add_user_record(record.key, record.data, record.ehk)
            theirs = aggregate.get_contents()[2]
            assert theirs == base64.b64decode(kinesis_record["data"]), "Python writes other bytes"
            assert len(theirs) <= limit
        read += [record for _, record in users]
    assert [(r.key, r.data) for r in read] == [(r.key, r.data) for r in records]
    assert all(theirs.ehk == ours.ehk for theirs, ours in zip(read, records) if ours.ehk is not None and theirs.ehk is not None)
    return len(read)


def python_to_ours(records, limit):
    aggregator, encoded = RecordAggregator(limit), []
    for record in records:
        full = aggregator.add_user_record(record.key, record.data, record.ehk)
        if full:
            encoded.append(full.get_contents()[2])
    last = aggregator.clear_and_get()
    if last:
        encoded.append(last.get_contents()[2])
    decoded = call("decode", lines=[{"data": base64.b64encode(data).decode()} for data in encoded])
    assert all(kinesis_record["is"] == "aggregate" for kinesis_record in decoded)
    read = [from_line(user) for kinesis_record in decoded for user in kinesis_record["records"]]
    assert read == records
    return len(read)


def judge(body):
    """What protobuf's own runtime makes of a body. It gives keys that are not UTF-8 as bytes."""
    message = messages_pb2.AggregatedRecord()
    try:
        message.ParseFromString(body)
    except DecodeError:
        return None
    if not message.IsInitialized():
        return None
    text = lambda key: key.decode(errors="replace") if isinstance(key, bytes) else key
    keys, ehks = ([text(key) for key in table] for table in (message.partition_key_table, message.explicit_hash_key_table))
    read = []
    for record in message.records:
        has_ehk = record.HasField("explicit_hash_key_index")
        if record.partition_key_index >= len(keys) or (has_ehk and record.explicit_hash_key_index >= len(ehks)):
            return None
        ehk = ehks[record.explicit_hash_key_index] if has_ehk else None
        read.append(Record(keys[record.partition_key_index], ehk, record.data))
    return read


def mutate(rng, body):
    body = bytearray(body)
    for _ in range(rng.randint(1, 3)):
        at = rng.randint(0, len(body))
        kind = rng.randrange(5)
        if kind == 0 and at < len(body):
            body[at] ^= 1 << rng.randrange(8)
        elif kind == 1 and at < len(body):
            body[at] = rng.randrange(256)
        elif kind == 2:
            del body[at : at + rng.randint(1, 8)]
        elif kind == 3:
            body[at:at] = body[at : at + rng.randint(1, 16)]
        else:
            body[at:at] = bytes([rng.choice([0, 1, 0x0A, 0x12, 0x1A, 0x2B, 0x2C, 0x7F, 0x80, 0xFF])])
    return bytes(body)


def damaged_bodies(rng):
    """Bodies with a change, and a digest that is right again: we read what protobuf reads and refuse what it refuses."""
    bodies = []
    for _ in range(MUTANTS):
        aggregator = RecordAggregator()
        for record in make_records(rng, rng.randint(1, 4)):
            aggregator.add_user_record(record.key[:20], record.data[:20], record.ehk)
        bodies.append(mutate(rng, aggregator.clear_and_get().get_contents()[2][4:-16]))
    bodies = [body for body in bodies if body]
    sealed = [MAGIC + body + hashlib.md5(body).digest() for body in bodies]
    decoded = call("decode", lines=[{"data": base64.b64encode(data).decode()} for data in sealed])
    counts = collections.Counter()
    for body, ours in zip(bodies, decoded, strict=True):
        expected = judge(body)
        read = [from_line(user) for user in ours["records"]] if ours["is"] == "aggregate" else None
        assert read == expected, f"{body.hex()}: ours {ours}, protobuf {expected}"
        counts["refused by both" if expected is None else "read by both"] += 1
    return dict(counts)


def main():
    rng = random.Random(SEED)
    for limit in LIMITS:
        records = make_records(rng, 300)
        for _ in range(9):
            records += make_records(rng, 300)
        # Python refuses a record that does not fit an aggregate by itself; we pass it on raw.
        small = [record for record in records if len(record.data) + 4 * len(record.key) + 100 <= limit]
        sent, back = ours_to_python(records, limit), python_to_ours(small, limit)
        print(f"python: limit {limit}: {sent} records of ours read, {back} of theirs read, equal bytes from equal records")
    print(f"python: {MUTANTS} damaged bodies: {damaged_bodies(rng)}")


main()
