"""What it costs to have it running while nothing happens: memory and CPU, beside firewalld and fail2ban."""

from __future__ import annotations

import json
import os
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

from bench import peers, processes, server
from bench.figures import Figure, Samples, absent
from bench.sandbox import Helper, say

if TYPE_CHECKING:
    from collections.abc import Iterator

TITLE = f"idle, with {server.LISTENERS} listeners"
AIM_MEMORY = 45.0
AIM_CPU = 0.2
_SETTLE = 40.0
"""Seconds for the start to be over: 30 of them a missing listener is waited for before it is reported."""
_CPU = ("CPU, user and system", "% of a core")
_RSS = ("resident memory (Rss)", "MB")
_PSS = ("the same, shared pages divided (Pss)", "MB")

prepare = peers.fetch


def measure(*, quick: bool) -> list[Figure]:
    """Let the daemon and the peers run side by side and do nothing."""
    seconds = 10 if quick else 60
    with ExitStack() as stack:
        server.write_config()
        stack.enter_context(server.listeners())
        ours = stack.enter_context(server.daemon()).pid
        others = stack.enter_context(peers.running())
        time.sleep(5.0 if quick else _SETTLE)
        say(f"watching them do nothing for {seconds} s")
        subjects: dict[str, int | Helper | str] = {"portguard": ours, **others}
        before = {name: _ticks(who) for name, who in subjects.items()}
        began = time.monotonic()
        time.sleep(seconds)
        figures = [
            figure
            for name, who in subjects.items()
            for figure in _figures(name, who, before[name], time.monotonic() - began)
        ]
    return sorted(figures, key=lambda figure: [case for case, _ in (_CPU, _RSS, _PSS)].index(figure.case))


def _ticks(who: int | Helper | str) -> int:
    if isinstance(who, str):
        return 0
    return processes.cpu_ticks(who) if isinstance(who, int) else int(who.ask("cpu"))


def _figures(name: str, who: int | Helper | str, before: int, passed: float) -> Iterator[Figure]:
    if isinstance(who, str):
        yield from (absent(case, name, unit, who) for case, unit in (_CPU, _RSS, _PSS))
        return
    used = (_ticks(who) - before) / os.sysconf("SC_CLK_TCK")
    rss, pss = processes.memory(who) if isinstance(who, int) else json.loads(who.ask("memory"))
    aims = (AIM_CPU, AIM_MEMORY, None) if name == "portguard" else (None, None, None)
    notes = (f"over {passed:.0f} s", "", "")
    for (case, unit), value, aim, note in zip(
        (_CPU, _RSS, _PSS), (100.0 * used / passed, rss, pss), aims, notes, strict=True
    ):
        yield Figure(case=case, subject=name, unit=unit, samples=Samples.of([value]), aim=aim, note=note)
