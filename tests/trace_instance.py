"""The trace instance of the benchmark, for tests as well: it vanishes with whoever asked for it."""

from __future__ import annotations

import fcntl
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

# The benchmark is no part of the package: it is found from the root of the tree.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.tracing import SCRIPT, trace_instance

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["SCRIPT", "alone_tracing"]


@contextmanager
def alone_tracing() -> Iterator[Path]:
    """Make an instance while no other test has one.

    Each hears of every listener of the machine, and one of the tests overruns the buffers. A group of pytest-xdist was
    refused: it is found out of a test's name, which not every release of pytest lets it change.
    """
    with Path(tempfile.gettempdir(), "portguard-tests-trace.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with trace_instance("portguard-test") as instance:
            yield instance
