"""The rows that our worker writes into a lease table, against those of the real KCL in the same situations.

Each kind of worker runs alone on a table of its own: two shards, all lines read, one shard split, the children read. The
table is looked at all the while. What a row looks like in each state is held in `testdata/golden/lease-table.json`, made
from the KCL's rows; both tables have to agree with it: attribute names, types and encodings, the table's keys and index.
"""

import copy
import json
import threading
from concurrent.futures import ThreadPoolExecutor

from .. import golden, programs
from ..deliveries import account, deliveries
from ..lines import generate
from ..services import Kinesis

TITLE = "the lease table's rows, ours against the KCL's"
_STREAM = "lines"
_LINES = 2_000
# States that pass too quickly to be seen in every run, or that only one of the two goes through.
_MAY_BE_MISSED = {"lease of a root, unowned", "lease of a child, unowned", "lease of a root, owned", "lease of a child, owned"}

# What our rows have and the KCL's do not: what a worker announces, in the map of texts that the KCL reserves in its workers' rows,
# reads, and does nothing with; and the stream that the table belongs to, in the version row and in the leases that we make.
_ANNOUNCED = {"version": "1", "heartbeatIntervalMillis": "5000", "handoffTimeMillis": "30000"}
_PROPERTIES = {"M": {name: {"S": text} for name, text in _ANNOUNCED.items()}}
_BOUND = {"S": "<stream>"}


def body(run):
    table = run.dynamodb()
    with ThreadPoolExecutor(2) as pool:
        java = pool.submit(_watch, run, table, "java", programs.java_worker)
        ours = pool.submit(_watch, run, table, "rust", programs.our_worker)
        seen = {"java": java.result(), "rust": ours.result()}
    if run.write_golden:
        golden.write(seen["java"].golden())
        run.say(f"wrote {golden.GOLDEN}")

    expected = json.loads(golden.GOLDEN.read_text())
    for kind, shapes in seen.items():
        run.check(shapes.table == expected["table"], f"the {kind} worker's table has the KCL's keys and index")
        rows = copy.deepcopy(expected["rows"])
        if kind == "rust":
            rows["WORKER_METRIC_STATS"]["always"]["properties"] = _PROPERTIES
            for state, row in rows.items():
                if state.startswith("lease") or state == "CLIENT_VERSION_MIGRATION":
                    row["always"]["boundToStream"] = _BOUND
        wrong = shapes.against(rows)
        run.check(not wrong, f"the {kind} worker's rows are the KCL's", wrong)
        missed = expected["rows"].keys() - shapes.rows.keys() - _MAY_BE_MISSED
        run.check(not missed, f"the {kind} worker's table went through every state", sorted(missed))
        run.figure(f"rows compared, {kind}", shapes.looked_at)
        run.figure(f"states seen, {kind}", len(shapes.rows))


def _watch(run, table, kind, make):
    """Runs one worker through the life of its leases and returns the shapes of all rows seen meanwhile."""
    app = f"{run.name}-{kind}"
    kinesis = Kinesis(run, f"{app}-kinesis")
    kinesis.create(_STREAM, shards=2)
    shapes, done = golden.Shapes(), threading.Event()
    watcher = threading.Thread(target=_look, args=(table, app, shapes, done))
    watcher.start()
    try:
        worker = make(run, app, kinesis, table, _STREAM, app)
        producer = programs.put(run, f"{app}-put", kinesis, _STREAM)
        producer.feed(generate(_LINES, seed=5))
        producer.child.wait(60)
        run.until(lambda: not account(producer.lines, deliveries([worker])).lost, 240, f"last line of {app}")
        kinesis.split(_STREAM, kinesis.shards(_STREAM)[0])

        more = programs.put(run, f"{app}-put-again", kinesis, _STREAM)
        more.feed(generate(_LINES, seed=6))
        more.child.wait(60)
        children = {shard.id for shard in kinesis.shards(_STREAM) if shard.parents}
        run.until(lambda: children <= _checkpointed(table, app), 120, f"checkpoints of {app}'s children")
        shapes.table = golden.describe_table(table.client.describe_table(TableName=app)["Table"])
        worker.terminate()
    finally:
        done.set()
        watcher.join()
    return shapes


def _look(table, app, shapes, done):
    while not done.wait(0.1):
        shapes.add(table.items(app).values())


def _checkpointed(table, app):
    return {key for key, lease in table.leases(app).items() if lease["checkpoint"]["S"].isdigit()}
