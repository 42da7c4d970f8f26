"""Seeded damage to files: flipped bytes; removed, repeated and cut lines; absurd numbers; swapped words."""

import re

import numpy as np

NUMBERS = (b"nan", b"-inf", b"1e30", b"-1", b"1000000000000000000", b"0", b"****", b"2.9", b"text", b"")
_NUMBER = re.compile(rb"[-+]?\d+(?:\.\d*)?(?:[eE][-+]?\d+)?")


def mutations(data: bytes, count: int, seed: int = 0):
    """Yield `count` damaged copies of a file, which depend only on the seed."""
    rng = np.random.default_rng(seed)
    fixed = (b"", data[: len(data) // 2], b"\xff\xfe" + data.decode("latin-1").encode("utf-16-le"), b"\x00" * 64)
    kinds = (_flip, _number, _line, _word, _number, _cut)
    for k in range(count):
        yield fixed[k] if k < len(fixed) else kinds[k % len(kinds)](data, rng)


def _flip(data, rng):
    changed = bytearray(data)
    for place in rng.integers(len(data), size=rng.integers(1, 6)):
        changed[place] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def _number(data, rng):
    """Replace one number by another kind of value."""
    found = list(_NUMBER.finditer(data[:200000]))
    if not found:
        return _flip(data, rng)
    at = found[rng.integers(len(found))]
    return data[: at.start()] + NUMBERS[rng.integers(len(NUMBERS))] + data[at.end() :]


def _line(data, rng):
    """Remove, repeat or cut a line."""
    lines = data.split(b"\n")
    k = int(rng.integers(len(lines)))
    lines[k : k + 1] = ([], [lines[k]] * 2, [lines[k][: len(lines[k]) // 2]])[rng.integers(3)]
    return b"\n".join(lines)


def _word(data, rng):
    """Exchange two words."""
    words = re.split(rb"(\s+)", data)
    a, b = 2 * rng.integers((len(words) + 1) // 2, size=2)
    words[a], words[b] = words[b], words[a]
    return b"".join(words)


def _cut(data, rng):
    """Truncate the file, or remove a piece of it."""
    a, b = sorted(rng.integers(len(data) + 1, size=2))
    return data[:a] if rng.integers(2) else data[:a] + data[min(b, a + 400) :]
