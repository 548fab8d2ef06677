"""The programs under test and their Java counterparts, with the flags that the scenarios give them."""

import base64

from .lines import Line
from .processes import PEERS, Child
from .services import CREDENTIALS, REGION

# kinesis-local spends some 15 ms of CPU even on an empty answer.
_IDLE_MS = 1_000
_CHECKPOINT_MS = 1_000
# The KCL's lock client refuses less.
_LEADER_LEASE_MS = 60_000

# `kpl-load` waits for this one before it starts its clock.
KPL_WARM_UP = Line("warm-up", b"w")


class Producer:
    """Our `put`, or the real KPL: lines in, lines accounted for."""

    def __init__(self, child, encode, own_lines):
        self.child = child
        self.lines = list(own_lines)
        self._encode = encode

    def feed(self, lines, per_second=None):
        """Feeds lines and remembers them; `lines` may be a generator that decides when to end."""
        self.child.feed(self._remembered(lines), per_second)

    def _remembered(self, lines):
        for line in lines:
            self.lines.append(line)
            yield self._encode(line)


def put(run, name, kinesis, stream, *flags):
    """Our producer."""
    if run.java_only:
        return kpl(run, name, kinesis, stream, *flags)
    words = [run.binaries / "put", "--stream", stream, *flags]
    return Producer(Child(run, name, words, _environment(kinesis=kinesis)), Line.for_put, [])


def kpl(run, name, kinesis, stream, *flags):
    """The real KPL."""
    words = [PEERS / "kpl-load", "--stdin", "--stream", stream, "--port", kinesis.tls_port, *flags]
    return Producer(Child(run, name, words), Line.for_kpl, [KPL_WARM_UP])


def our_worker(run, name, kinesis, table, stream, app, *flags, region=None):
    """A worker of ours; its name is its worker id."""
    if run.java_only:
        return java_worker(run, name, kinesis, table, stream, app, *flags)
    words = [run.binaries / "worker", *_worker_flags(name, stream, app), *flags]
    return Child(run, name, words, _environment(kinesis=kinesis, dynamodb=table, region=region or REGION))


def java_worker(run, name, kinesis, table, stream, app, *flags):
    """A worker of the real KCL; its name is its worker id."""
    where = ["--kinesis", kinesis.url, "--dynamodb", table.url, "--leader-lease-ms", _LEADER_LEASE_MS]
    return Child(run, name, [PEERS / "kcl-worker", *_worker_flags(name, stream, app), *where, *flags])


def decoder(run, launcher, records, shards=None):
    """One of the deaggregators, fed with Kinesis records. With `shards` the KCL's: it filters by their hash ranges."""
    child = Child(run, f"{run.name}-{launcher}", [PEERS / launcher])
    ranges = {shard.id: [str(shard.start), str(shard.end)] for shard in shards or []}
    child.feed(
        "\t".join([record.key, *ranges.get(record.shard, []), base64.b64encode(record.data).decode()]).encode()
        for record in records
    )
    return child


def _worker_flags(name, stream, app):
    timing = ["--idle-ms", _IDLE_MS, "--checkpoint-ms", _CHECKPOINT_MS]
    return ["--stream", stream, "--app", app, "--worker", name, "--base64", *timing]


def _environment(kinesis=None, dynamodb=None, region=REGION):
    """The SDK's own variables, which are all that our programs read, and what to log."""
    variables = {
        "RUST_LOG": "info",
        "AWS_REGION": region,
        "AWS_ACCESS_KEY_ID": CREDENTIALS["aws_access_key_id"],
        "AWS_SECRET_ACCESS_KEY": CREDENTIALS["aws_secret_access_key"],
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    if kinesis:
        variables["AWS_ENDPOINT_URL_KINESIS"] = kinesis.url
    if dynamodb:
        variables["AWS_ENDPOINT_URL_DYNAMODB"] = dynamodb.url
    return variables
