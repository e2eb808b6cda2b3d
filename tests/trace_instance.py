"""The trace instance of the benchmark, for tests as well: it vanishes with whoever asked for it."""

from __future__ import annotations

import sys
from pathlib import Path

# The benchmark is no part of the package: it is found from the root of the tree.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.tracing import SCRIPT, trace_instance

__all__ = ["SCRIPT", "trace_instance"]
