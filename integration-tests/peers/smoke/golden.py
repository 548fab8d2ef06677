"""The shape of a lease-table row: attribute names, types and encodings, with everything that differs by run masked."""

import json
import re
from collections import defaultdict

from .processes import REPOSITORY

GOLDEN = REPOSITORY / "integration-tests" / "testdata" / "golden" / "lease-table.json"

_SECONDS, _MILLIS = r"1[0-9]{9}", r"1[0-9]{12}"
# How each attribute may be written. A value that fits is shown as the name in <>; any other is shown as it is.
_ENCODINGS = {
    "leaseKey": [("shard id", r"shardId-[0-9]{12}"), ("literal", r"Leader|Migration3\.0"), ("worker", r".+")],
    "leaseOwner": [("worker", r".+")],
    "checkpointOwner": [("worker", r".+")],
    "leaseCounter": [("count", r"[0-9]+")],
    "ownerSwitchesSinceCheckpoint": [("count", r"[0-9]+")],
    "checkpoint": [("sequence number", r"[1-9][0-9]+")],
    "checkpointSubSequenceNumber": [("count", r"[0-9]+")],
    "parentShardId": [("shard id", r"shardId-[0-9]{12}")],
    "childShardIds": [("shard id", r"shardId-[0-9]{12}")],
    "startingHashKey": [("hash key", r"0|[1-9][0-9]*")],
    "endingHashKey": [("hash key", r"0|[1-9][0-9]*")],
    "throughputKBps": [("decimal of at most 6 places", r"[0-9]+(\.[0-9]{1,6})?(E-?[0-9]+)?")],
    "ownerName": [("worker", r".+")],
    "leaseDuration": [("milliseconds", r"[1-9][0-9]*")],
    "recordVersionNumber": [("uuid", r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")],
    "lut": [("epoch seconds", _SECONDS)],
    "slu": [("epoch seconds", _SECONDS)],
    "boundToStream": [("stream", r"arn:[^ ]+:stream/[^ ]+ [0-9.]+")],
    "mb": [("worker", r".+")],
    "mts": [("epoch milliseconds", _MILLIS)],
}
# What may come to an owned lease in any state: a renewal writes the throughput as soon as data was delivered, and the children
# are noted as soon as the shard's end is read.
_OF_ANY_OWNED_LEASE = {
    "childShardIds": {"SS": ["<shard id>", "<shard id>"]},
    "throughputKBps": {"N": "<decimal of at most 6 places>"},
}
# At its shutdown a worker of ours gives up its leases: the row stays as it is, without an owner. The KCL lets them run out.
_RELEASED = ", released"


class Shapes:
    """The shapes of all rows that were looked at, by what kind of row it is and in which state."""

    def __init__(self):
        self.table = None
        self.looked_at = 0
        self.rows = defaultdict(list)

    def add(self, items):
        for item in items:
            self.looked_at += 1
            shape = {name: _masked(name, value) for name, value in sorted(item.items())}
            known = self.rows[_state(item)]
            if shape not in known:
                known.append(shape)

    def golden(self):
        """What the golden file holds: per state the attributes every row had, and those that only some had."""
        rows = {}
        for state, shapes in self.rows.items():
            always = set.intersection(*(set(shape) for shape in shapes)) - {"throughputKBps"}
            merged = {name: value for shape in shapes for name, value in shape.items()}
            if "leaseOwner" in merged:
                merged |= _OF_ANY_OWNED_LEASE
            rows[state] = {
                "always": {name: value for name, value in merged.items() if name in always},
                "sometimes": {name: value for name, value in merged.items() if name not in always},
            }
        return {"table": self.table, "rows": rows}

    def against(self, golden):
        """What is different from the golden rows, a line each."""
        wrong = set()
        for state, shapes in self.rows.items():
            owned = state.removesuffix(_RELEASED)
            if owned not in golden:
                wrong.add(f"{state}: the KCL has no such row: {shapes[0]}")
                continue
            always, sometimes = dict(golden[owned]["always"]), golden[owned]["sometimes"]
            if owned != state:
                del always["leaseOwner"]
            for shape in shapes:
                wrong |= {f"{state}: {name} is missing" for name in always.keys() - shape.keys()}
                wrong |= {
                    f"{state}: {name} is {shape[name]}, the KCL's {(always | sometimes).get(name)}"
                    for name in shape
                    if shape[name] != (always | sometimes).get(name)
                }
        return sorted(wrong)


def write(golden):
    """Writes the golden file, an attribute a line."""
    GOLDEN.parent.mkdir(parents=True, exist_ok=True)
    rows = ",\n".join(
        f"  {json.dumps(state)}: {{\n"
        + ",\n".join(f"   {json.dumps(part)}: {{{_attributes(row[part])}}}" for part in ("always", "sometimes"))
        + "\n  }"
        for state, row in sorted(golden["rows"].items())
    )
    table = ",\n".join(f"  {json.dumps(name)}: {json.dumps(value)}" for name, value in golden["table"].items())
    GOLDEN.write_text(f'{{\n "table": {{\n{table}\n }},\n "rows": {{\n{rows}\n }}\n}}\n')


def describe_table(table):
    """Keys, attributes, indexes and billing of a table, in a fixed order."""
    return {
        "keys": table["KeySchema"],
        "attributes": sorted(table["AttributeDefinitions"], key=lambda one: one["AttributeName"]),
        "indexes": [
            {name: index[name] for name in ("IndexName", "KeySchema", "Projection")}
            for index in table.get("GlobalSecondaryIndexes", [])
        ],
        "billing": table.get("BillingModeSummary", {}).get("BillingMode", "PROVISIONED"),
    }


def _attributes(row):
    lines = ",\n".join(f"    {json.dumps(name)}: {json.dumps(value)}" for name, value in sorted(row.items()))
    return f"\n{lines}\n   " if lines else ""


def _state(item):
    """What kind of row it is and, for a lease, where it is in its life."""
    if "leaseCounter" not in item:
        return item["entityType"]["S"] if "entityType" in item else "row without entityType"
    generation = "child" if "parentShardId" in item else "root"
    checkpoint = item["checkpoint"]["S"]
    if "checkpointOwner" in item:
        life = "handed over"
    elif checkpoint == "SHARD_END":
        life = "finished"
    elif checkpoint.isdigit():
        life = "read"
    else:
        life = "owned" if "leaseOwner" in item else "unowned"
    released = _RELEASED if life in ("finished", "read") and "leaseOwner" not in item else ""
    return f"lease of a {generation}, {life}{released}"


def _masked(name, value):
    ((kind, content),) = value.items()
    if kind == "M":
        return {"M": {inner: _masked(inner, one) for inner, one in sorted(content.items())}}
    if kind == "L":
        return {"L": [_masked(name, one) for one in content]}
    if kind in ("SS", "NS"):
        return {kind: [_encoding(name, one) for one in sorted(content)]}
    return {kind: _encoding(name, content)}


def _encoding(name, text):
    for encoding, pattern in _ENCODINGS.get(name, []):
        if isinstance(text, str) and re.fullmatch(pattern, text):
            return text if encoding == "literal" else f"<{encoding}>"
    return text
