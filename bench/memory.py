"""Memory of the daemon while somebody else's set of 100,000 elements comes, is read and judged, and goes again."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

from bench import server
from bench.figures import Figure, Samples
from bench.processes import high_water, memory, rests, start_high_water
from bench.sandbox import run, say
from bench.shapes import blocklist, concatenations

TITLE = "memory with a set of 100,000 elements"
UNIT = "MB"
ELEMENTS = 100_000
PEAK = 120.0
"""Aim of issue 4, for the daemon and for each process that it starts."""
_LONGEST_REST = 30.0
"""Seconds for which the daemon may rest after looks that took long (``daemon/share.py``)."""
NEAR_IDLE = 45.0
"""What a resting daemon may take (``idle``)."""


def measure(*, quick: bool) -> list[Figure]:
    """Measure one daemon through three sets, one after the other."""
    count = ELEMENTS // 10 if quick else ELEMENTS
    cases = {
        f"a set of {count:,} addresses": blocklist(count, interval=False),
        f"a set of {count:,} networks": blocklist(count, interval=True),
        f"a set of {count:,} concatenations": concatenations(count),
    }
    figures: list[Figure] = []
    server.write_config()
    with server.listeners(), server.daemon() as guarded:
        rests(guarded.pid, for_seconds=3.0)
        figures += _one("idle", "portguard, resident", memory(guarded.pid)[0], aim=NEAR_IDLE)
        for case, text in cases.items():
            say(f"memory with {case}")
            start_high_water(guarded.pid)
            run("nft", "-f", "-", text=text)
            _rest(guarded.pid)
            figures += _one(case, "portguard, at its peak", high_water(guarded.pid), aim=PEAK)
            figures += _one(case, "portguard, at rest with it", memory(guarded.pid)[0])
            figures += _one(case, "nft -j list ruleset, at its peak", _listing())
            run("nft", "delete", "table", "inet", "filter")
            _rest(guarded.pid)
            figures += _one(case, "portguard, when it is gone", memory(guarded.pid)[0], aim=NEAR_IDLE)
    return figures


def _rest(pid: int) -> None:
    time.sleep(_LONGEST_REST)
    rests(pid)


def _one(case: str, subject: str, value: float, aim: float | None = None) -> list[Figure]:
    return [Figure(case=case, subject=subject, unit=UNIT, samples=Samples.of([value]), aim=aim)]


def _listing() -> float:
    """Peak of the process that lists for the daemon, run once more by ourselves."""
    with Path("/dev/null").open("wb") as nowhere:
        process = subprocess.Popen(["nft", "-j", "list", "ruleset"], stdout=nowhere)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise RuntimeError(f"nft ended with {process.returncode}")
    return usage.ru_maxrss / 1024
