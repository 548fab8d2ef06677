"""One run of one scenario: its processes, its checks, its figures."""

import sys
import threading
import time

from .processes import Failed
from .services import DynamoDb


class Run:
    """What a scenario is handed. A check that does not hold fails the scenario, which still goes on to its end."""

    def __init__(self, name, shared):
        self.name = name
        self.logs = shared.logs
        self.binaries = shared.binaries
        self.java_only = shared.java_only
        self.write_golden = shared.write_golden
        self.children = []
        self.figures = []
        self.checks = []
        self.seconds = 0.0
        self._shared = shared

    def dynamodb(self):
        """The one DynamoDB Local of all scenarios: applications differ by table."""
        return self._shared.dynamodb()

    def check(self, holds, sentence, seen=None):
        """`seen` is what there was instead: shown only where the check does not hold."""
        if not holds and seen:
            sentence = f"{sentence}: {seen}"
        self.checks.append((bool(holds), sentence))
        if not holds:
            self.say(f"DOES NOT HOLD: {sentence}")

    def figure(self, name, value):
        self.figures.append((name, value))

    def say(self, text):
        print(f"{time.strftime('%H:%M:%S')} {self.name}: {text}", file=sys.stderr, flush=True)

    def until(self, holds, seconds, what):
        """Asks again and again until `holds()` is true; returns what it returned."""
        deadline = time.monotonic() + seconds
        while True:
            answer = holds()
            if answer:
                return answer
            for child in self.children:
                if child.code() not in (None, 0) and not child.told_to_end:
                    raise Failed(f"{child.name} ended ({child.code()}) before {what}\n{child.tail()}")
            if time.monotonic() > deadline:
                raise Failed(f"no {what} within {seconds} s")
            time.sleep(0.5)

    def check_output(self):
        """All that a program prints on standard output is JSON lines; only a crash may leave one cut short, as the last."""
        for child in self.children:
            if len(child.broken) > child.crashed:
                self.check(False, f"{child.name} prints JSON lines only, not {child.broken[0]!r}")

    def holds(self):
        return bool(self.checks) and all(holds for holds, _ in self.checks)

    def close(self):
        """Stops what the scenario left running."""
        for child in self.children:
            if child.code() is None:
                child.kill()


class Shared:
    """What all scenarios of one call share."""

    def __init__(self, logs, binaries, java_only, write_golden):
        self.logs = logs
        self.binaries = binaries
        self.java_only = java_only
        self.write_golden = write_golden
        self.children = []
        self._dynamodb = None
        self._lock = threading.Lock()

    def dynamodb(self):
        with self._lock:
            if self._dynamodb is None:
                self._dynamodb = DynamoDb(self)
            return self._dynamodb

    def close(self):
        for child in self.children:
            if child.code() is None:
                child.kill()
