"""Stop watches."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from bench.figures import Samples
from bench.sandbox import run

if TYPE_CHECKING:
    from collections.abc import Callable


def milliseconds(work: Callable[[], object], repetitions: int) -> Samples:
    """Do the work once to warm up, then so many times, and give the milliseconds that each took."""
    work()
    values = []
    for _ in range(repetitions):
        began = time.perf_counter()
        work()
        values.append((time.perf_counter() - began) * 1000.0)
    return Samples.of(values)


def program(*argv: str, repetitions: int, codes: tuple[int, ...] = (0,)) -> Samples:
    """Time whole processes, from their start to their end. Raises RuntimeError when one ends with another code."""
    return milliseconds(lambda: run(*argv, codes=codes), repetitions)
