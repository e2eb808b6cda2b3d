"""The scenario: the steps in their order, what ``--scenario`` may name, and how one after the other is played."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from portguard.errors import LabError, UsageError
from portguard.lab.host_steps import JmxExposed, ListenerDied, RedisExposed, ReservedAddress
from portguard.lab.play import baseline, play
from portguard.lab.results import LabResult, StepResult
from portguard.lab.ruleset_steps import ForeignDrop, RuleDeleted, RuleReplaced, RulesetFlushed, TableDeleted
from portguard.text import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from portguard.lab.play import Audience
    from portguard.lab.stage import Stage
    from portguard.lab.step import Step

STEPS: tuple[type[Step], ...] = (
    RuleDeleted,
    TableDeleted,
    RulesetFlushed,
    RuleReplaced,
    ForeignDrop,
    ListenerDied,
    RedisExposed,
    JmxExposed,
    ReservedAddress,
)

ALL = "all"
NONE = "none"
_CALM = 1.5
"""Seconds without a new finding, heal or verdict."""
_SETTLED_WITHIN = 20.0

NAMES = (ALL, NONE, *(step.name for step in STEPS))


def choose(names: Iterable[str]) -> list[Step]:
    """Pick steps by name, in the order of the scenario. Raises UsageError for a name that is none."""
    wanted = list(names)
    for name in wanted:
        if name not in NAMES:
            raise UsageError(f"no scenario {name!r}{did_you_mean(name, NAMES)}; there are {', '.join(NAMES)}")
    return [step() for step in STEPS if ALL in wanted or step.name in wanted]


class _Calm:
    """Says whether the daemon has been of one opinion for a while: some findings are told after a second only."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._opinion: object = None
        self._since = 0.0

    def now(self) -> bool:
        """Look once more."""
        opinion = (baseline(self._stage), len(self._stage.guard.status()["heals"]))
        if opinion != self._opinion:
            self._opinion, self._since = opinion, time.monotonic()
        return time.monotonic() - self._since > _CALM


def begin(stage: Stage) -> LabResult:
    """Look at the undamaged world: the daemon must find nothing wrong, and every documented connection be open."""
    calm = _Calm(stage)
    settled = stage.guard.wait(calm.now, _SETTLED_WITHIN)
    status = stage.guard.status()
    sweep = stage.sweep()
    problems = [f"documented, and not open: {row}" for row in sweep.shut]
    if not settled:
        problems.append(f"the daemon did not come to rest within {_SETTLED_WITHIN:g} s")
    if status["verdict"] != "ok":
        problems.append(f"the daemon begins with {status['verdict']}: {status['summary']}")
    start = StepResult(
        name="start",
        title="The daemon starts",
        did=(f"portguard run, ready after {stage.guard.ready_ms:.0f} ms",),
        sweep=sweep,
        problems=tuple(problems),
        took_s=round(stage.guard.ready_ms / 1000, 2),
    )
    return LabResult(
        role=stage.policy.roles,
        listeners=len(stage.standing),
        ready_ms=stage.guard.ready_ms,
        verdict=status["verdict"],
        steps=[start],
    )


def perform(stage: Stage, steps: Sequence[Step], result: LabResult, audience: Audience) -> None:
    """Play the steps and add what came of each to the result. A step that breaks the daemon is the last one."""
    first = baseline(stage)
    for step in steps:
        try:
            result.steps.append(play(stage, step, first, audience))
        except LabError as error:
            broken = StepResult(name=step.name, title=step.title, problems=(str(error),))
            result.steps.append(broken)
            audience.finished(broken)
            if not stage.guard.alive:
                return
