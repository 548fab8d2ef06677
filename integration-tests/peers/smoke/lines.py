"""The lines that are put, and the account of them: what came out, against what went in."""

import hashlib
import random
from collections import Counter
from dataclasses import dataclass

# What real logs hold and what breaks careless code: no data, a TAB inside, bytes beyond ASCII, quotes, repeated lines.
_ODD = [b"", b"a\tb\tc", "Grüße aus Zürich ☕".encode(), b'{"quoted":"\\"yes\\""}', b" ", b"the same line again"]


@dataclass(frozen=True)
class Line:
    """A user record: what one line of standard input becomes."""

    key: str
    data: bytes

    def for_put(self):
        return self.key.encode() + b"\t" + self.data

    def for_kpl(self):
        return self.key.encode() + b"\t\t" + self.data


def generate(count, seed, keys=2_000):
    """`count` lines over `keys` keys, mostly some 100 bytes; one in a hundred is odd, one in five hundred is 2 to 20 kB."""
    rng = random.Random(seed)
    lines = []
    for number in range(count):
        user = rng.randrange(keys)
        key = f"usér-{user}" if user % 50 == 0 else f"user-{user}"
        if number % 100 == 99:
            data = rng.choice(_ODD)
        elif number % 500 == 250:
            data = b"%d " % number + b"L" * rng.randrange(2_000, 20_000)
        else:
            data = b"%d " % number + b"x" * rng.randrange(40, 140)
        lines.append(Line(key, data))
    return lines


def hash_key(key, explicit=None):
    """Where a record belongs: its explicit hash key, or the MD5 of its key, as a number of 128 bits."""
    return int(explicit) if explicit else int.from_bytes(hashlib.md5(key.encode()).digest(), "big")


@dataclass(frozen=True)
class Account:
    """What went in against what came out, equal lines counted."""

    lines: int
    out: int
    lost: int
    strange: int
    copies: int

    @classmethod
    def of(cls, lines, out):
        """`out` holds one line per place in the stream: read twice from one place is not a copy."""
        expected, got = Counter(lines), Counter(out)
        surplus = got - expected
        strange = sum(count for line, count in surplus.items() if line not in expected)
        return cls(
            lines=sum(expected.values()),
            out=sum(got.values()),
            lost=sum((expected - got).values()),
            strange=strange,
            copies=sum(surplus.values()) - strange,
        )

    def complete(self):
        """Everything is there and nothing else, though perhaps more than once (P4 allows a copy for a try that ended unknown)."""
        return self.lost == self.strange == 0

    def exact(self):
        return self.complete() and self.copies == 0

    def __str__(self):
        return f"{self.lines} in, {self.out} out, {self.lost} lost, {self.strange} strange, {self.copies} copies"
