"""Helper process: what people write instead of a daemon. It runs ``ss`` every second and prints each port that is new."""

from __future__ import annotations

import subprocess
import time

_EVERY = 1.0


def main() -> None:
    """Print ``NANOSECONDS PORT`` for each listening TCP port that was not there before, until killed."""
    known = _ports()
    print("ready", flush=True)
    while True:
        time.sleep(_EVERY)
        now = _ports()
        at = time.monotonic_ns()
        for port in now - known:
            print(at, port, flush=True)
        known = now


def _ports() -> set[str]:
    done = subprocess.run(["ss", "-Hltn"], check=True, capture_output=True, text=True)
    return {line.split()[3].rpartition(":")[2] for line in done.stdout.splitlines()}


if __name__ == "__main__":
    main()
