"""Child processes: started, waited for, followed line by line, and stopped by their own id."""

import json
import os
import pathlib
import signal
import socket
import subprocess
import threading
import time

PEERS = pathlib.Path(__file__).resolve().parent.parent
REPOSITORY = PEERS.parent.parent


class Failed(Exception):
    """A scenario cannot go on; the text says what was awaited and what was there instead."""


class Child:
    """One process. What it prints goes to `events` (a JSON object a line; what is none goes to `broken`) and to `NAME.jsonl`;
    what it logs, and all that a service prints, goes to `NAME.log`.
    """

    def __init__(self, run, name, argv, env=None, service=False):
        self.name = name
        self.told_to_end = False
        self.crashed = False
        self.events = []
        self.broken = []
        self._log_path = run.logs / f"{name}.log"
        self._output_path = run.logs / f"{name}.jsonl"
        log = open(self._log_path, "wb")
        self._change = threading.Condition()
        self._process = subprocess.Popen(
            [str(word) for word in argv],
            stdin=subprocess.PIPE,
            stdout=log if service else subprocess.PIPE,
            stderr=log,
            env={**os.environ, **(env or {})},
        )
        log.close()  # the child has its own handle
        run.children.append(self)
        self._reader = threading.Thread(target=self._read, name=f"read {name}", daemon=True)
        if not service:
            self._reader.start()

    def feed(self, lines, per_second=None):
        """Writes lines (bytes, without line feeds) to standard input and closes it, from a thread of its own."""
        threading.Thread(target=self._feed, args=(lines, per_second), name=f"feed {self.name}", daemon=True).start()

    def wait_until(self, holds, seconds, what):
        """Waits until `holds()` is true, which is asked again with every line that comes."""
        deadline = time.monotonic() + seconds
        with self._change:
            while not holds():
                left = deadline - time.monotonic()
                if self.code() is not None and not self._reader.is_alive():
                    raise Failed(f"{self.name} ended ({self.code()}) before {what}\n{self.tail()}")
                if left <= 0:
                    raise Failed(f"{self.name}: no {what} within {seconds} s\n{self.tail()}")
                self._change.wait(min(left, 0.2))

    def wait_for_port(self, port, seconds):
        """Waits until something listens on the port."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                return
            except OSError:
                if self.code() is not None:
                    raise Failed(f"{self.name} ended ({self.code()}) before it listened\n{self.tail()}") from None
                if time.monotonic() > deadline:
                    raise Failed(f"{self.name}: not listening on {port} within {seconds} s") from None
                time.sleep(0.05)

    def wait(self, seconds):
        """Waits until it has ended and everything it printed is read; returns its exit code."""
        try:
            code = self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise Failed(f"{self.name} did not end within {seconds} s\n{self.tail()}") from None
        if self._process.stdout:
            self._reader.join(30)
        return code

    def terminate(self, seconds=60):
        """SIGTERM, and the exit code; it has to end by itself."""
        self.told_to_end = True
        if self.code() is None:
            self._process.send_signal(signal.SIGTERM)
        return self.wait(seconds)

    def kill(self):
        """SIGKILL: a crash. Its last line may be cut short."""
        self.told_to_end = self.crashed = True
        if self.code() is None:
            self._process.kill()
        self.wait(30)

    def code(self):
        """The exit code, or None while it runs."""
        return self._process.poll()

    def of(self, kind):
        """Its events of one kind, so far."""
        return [event for event in list(self.events) if event["event"] == kind]

    def log(self):
        """The lines of its log, so far."""
        return self._log_path.read_text(errors="replace").splitlines()

    def tail(self):
        """The end of its log, for a failure's text."""
        return "\n".join(f"    {line}" for line in self.log()[-15:])

    def _read(self):
        with open(self._output_path, "wb") as output:
            for raw in self._process.stdout:
                output.write(raw)
                with self._change:
                    try:
                        self.events.append(json.loads(raw))
                    except ValueError:
                        self.broken.append(raw)
                    self._change.notify_all()

    def _feed(self, lines, per_second):
        began = time.monotonic()
        try:
            for sent, line in enumerate(lines):
                if per_second and sent % 50 == 0:
                    self._process.stdin.flush()
                    time.sleep(max(0, began + sent / per_second - time.monotonic()))
                self._process.stdin.write(line + b"\n")
            self._process.stdin.close()
        except BrokenPipeError:
            pass  # it ended before it had read everything: whoever waits for it sees that


def free_ports(count):
    """Ports that nothing listens on."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [held.getsockname()[1] for held in sockets]
    for held in sockets:
        held.close()
    return ports
