"""Runs scenarios and prints what held, with figures. Exit code 0 only when all of it holds."""

import argparse
import pathlib
import signal
import sys
import tempfile
import threading
import time
import traceback

from .processes import REPOSITORY, Failed
from .run import Run, Shared
from .scenarios import ALL

# A starting JVM takes all the CPU it gets for some seconds, and a kinesis-local beside it answers nobody in time.
_APART_S = 8


def main():
    options = _arguments()
    chosen = [scenario for scenario in ALL if not options.scenario or scenario.name in options.scenario]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that a stopped runner stops its children too
    logs = pathlib.Path(options.logs or tempfile.mkdtemp(prefix="kinesis-peers-"))
    logs.mkdir(parents=True, exist_ok=True)
    shared = Shared(logs, options.binaries, options.java_only, options.write_golden)
    runs = {scenario: Run(scenario.name, shared) for scenario in chosen}

    began = time.monotonic()
    alone = [one for one in chosen if not one.waits]
    together = [threading.Thread(target=_run, args=(one, runs[one]), daemon=True) for one in chosen if one.waits]
    try:
        for scenario in alone:
            _run(scenario, runs[scenario])
        for thread in together:
            thread.start()
            time.sleep(_APART_S)
        for thread in together:
            thread.join()
    finally:
        for run in runs.values():
            run.close()
        shared.close()
    _report(runs, time.monotonic() - began, logs)
    sys.exit(0 if all(run.holds() for run in runs.values()) else 1)


def _arguments():
    parser = argparse.ArgumentParser(prog="run", description=__doc__)
    parser.add_argument("scenario", nargs="*", choices=[[], *(scenario.name for scenario in ALL)], metavar="SCENARIO")
    parser.add_argument("--binaries", type=pathlib.Path, default=REPOSITORY / "target" / "release", help="where put, worker and cloud are")
    parser.add_argument("--logs", help="a folder for the processes' logs (default: a new one)")
    parser.add_argument("--java-only", action="store_true", help="the KPL and the KCL in place of put and worker: tests the runner")
    parser.add_argument("--write-golden", action="store_true", help="lease-table: make the golden file from the KCL's rows")
    return parser.parse_args()


def _run(scenario, run):
    began = time.monotonic()
    run.say(f"{scenario.title}: begins")
    try:
        scenario.body(run)
        run.check_output()
    except Failed as failure:
        run.check(False, str(failure))
    except Exception:  # a fault of the runner itself fails the scenario, and the others still run
        run.check(False, traceback.format_exc())
    finally:
        run.close()
        run.seconds = time.monotonic() - began
        run.say(f"ends after {run.seconds:.0f} s, {'all holds' if run.holds() else 'FAILED'}")


def _report(runs, seconds, logs):
    for scenario, run in runs.items():
        print(f"\n{'ok  ' if run.holds() else 'FAIL'} {scenario.title}  ({scenario.name}, {run.seconds:.0f} s)")
        for name, value in run.figures:
            print(f"       {value:>12}  {name}")
        for holds, sentence in run.checks:
            print(f"     {'+' if holds else '-'} {sentence}")
    failed = sum(not run.holds() for run in runs.values())
    print(f"\n{len(runs)} scenarios, {failed} failed, {seconds:.0f} s; logs in {logs}")


main()
