"""The process of ``versions.py`` for one library: it must not import the package, which loads its own library."""

from __future__ import annotations

import json
import sys
import time

import torch

CALLS, ROUNDS = 6, 5


def main(library: str, cases: str, results: str) -> None:
    """Print the CPU seconds of a call of every case, and write what the operators return."""
    torch.set_num_threads(1)
    torch.ops.load_library(library)
    seconds, returned = {}, {}
    for name, (operator, arguments, _) in torch.load(cases, weights_only=False).items():
        function = getattr(torch.ops.tnep, operator)
        found = function(*arguments)
        returned[name] = list(found) if isinstance(found, tuple) else [found]
        times = []
        for _ in range(ROUNDS):
            begin = time.process_time()
            for _ in range(CALLS):
                function(*arguments)
            times.append((time.process_time() - begin) / CALLS)
        seconds[name] = min(times)
    torch.save(returned, results)
    print(json.dumps(seconds))


if __name__ == "__main__":
    main(*sys.argv[1:])
