"""Play one step: strike, see what the daemon says and does, connect for real before, meanwhile and after, put back."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from portguard.lab.prober import DROPPED, OPEN, REFUSED
from portguard.lab.results import Connection, Detection, Healing, Outage, StepResult, Sweep
from portguard.lab.stage import NFT
from portguard.model.finding import Kind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from portguard.lab.stage import Stage
    from portguard.lab.step import Expectation, Step

WITHIN = 15.0
"""Seconds for which an event, a heal or the return to the first verdict is waited for."""
_AFTERGLOW = 0.1
"""Seconds for which a client goes on connecting after the heal, to see that it stays open."""

_ALARMS = frozenset({"firing", "flapping", "reminder"})
_ROUTINE = frozenset({Kind.HEARTBEAT.value})


class Audience(Protocol):
    """Whoever follows the play."""

    def began(self, step: Step) -> None:
        """A step begins."""

    def doing(self, what: str) -> None:
        """Something that may take longer than a moment is under way."""

    def finished(self, result: StepResult) -> None:
        """A step ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """What the daemon thought of the undamaged world."""

    verdict: str
    findings: frozenset[str]


def baseline(stage: Stage) -> Baseline:
    """Ask the daemon for its opinion of now."""
    status = stage.guard.status()
    return Baseline(verdict=status["verdict"], findings=frozenset(row["id"] for row in status["findings"]))


def play(stage: Stage, step: Step, first: Baseline, audience: Audience) -> StepResult:
    """Play a step to its end, whatever goes wrong in it. Raises LabError when the lab itself broke."""
    began = time.monotonic()
    audience.began(step)
    reason = step.not_here(stage)
    if reason is not None:
        skipped = StepResult(name=step.name, title=step.title, skipped=reason)
        audience.finished(skipped)
        return skipped
    performance = _Performance(stage=stage, step=step, audience=audience)
    try:
        performance.strike()
        performance.see()
    finally:
        performance.seen = stage.guard.mark()
        step.undo(stage)
    performance.put_back(first)
    result = performance.result(time.monotonic() - began)
    audience.finished(result)
    return result


@dataclass(slots=True, kw_only=True)
class _Performance:
    stage: Stage
    step: Step
    audience: Audience
    problems: list[str] = field(default_factory=list)
    did: tuple[str, ...] = ()
    mark: int = 0
    """How many events the daemon had sent before the blow."""
    seen: int = 0
    """How many it had sent before the world was put back."""
    struck_at: float = 0.0
    """When the kernel took the blow; monotonic seconds."""
    heals_before: list[dict[str, Any]] = field(default_factory=list)
    expectations: list[Expectation] = field(default_factory=list)
    outcomes: dict[str, list[str]] = field(default_factory=dict)
    """Of the expected connections, by moment: before, struck, after."""
    table_before: list[str] = field(default_factory=list)
    healed: tuple[Healing, ...] = ()
    outage: Outage | None = None
    resolved: tuple[str, ...] = ()
    swept: Sweep | None = None

    # --- the blow ----------------------------------------------------------------------------------------------

    def strike(self) -> None:
        stage, step = self.stage, self.step
        self.expectations = step.expectations(stage)
        self.outcomes["before"] = self._until([row.before for row in self.expectations])
        self.heals_before = stage.guard.status()["heals"]
        if step.same_table:
            self.table_before = stage.own_table()
        self.mark = stage.guard.mark()
        watched = self.expectations[0].probe if step.heals and self.expectations else None
        if watched is not None:
            stage.watch(watched)
            time.sleep(_AFTERGLOW)
        self.struck_at = time.monotonic()
        try:
            self.did = step.blow(stage)
            if watched is None:
                self.outcomes["struck"] = self._until([row.struck for row in self.expectations])
            else:
                self.outcomes["struck"] = stage.probe([row.probe for row in self.expectations])
                self.audience.doing("waiting for the heal")
                self._wait_healed()
                time.sleep(_AFTERGLOW)
        finally:
            if watched is not None:
                attempts = stage.unwatch(watched)
                self.outcomes["struck"][:1] = [self._worst(attempts)]
                self.outage = self._outage(attempts)

    def _wait_healed(self) -> None:
        """Wait for a new heal in the status, and for the rest that belongs to it to come in."""
        if not self.stage.guard.wait(lambda: bool(self._new_heals()), WITHIN):
            self.problems.append(f"nothing was healed within {WITHIN:g} s")
        self.struck_at = self.stage.foreign_commit_after(self.struck_at) or self.struck_at

    def _new_heals(self) -> list[dict[str, Any]]:
        return [row for row in self.stage.guard.status()["heals"] if row not in self.heals_before]

    def _worst(self, attempts: Sequence[tuple[float, str]]) -> str:
        """Name the worst that happened to the watched connection since the blow."""
        outcomes = {outcome for begun, outcome in attempts if begun >= self.struck_at}
        return next((word for word in (DROPPED, REFUSED, OPEN) if word in outcomes), "")

    def _outage(self, attempts: Sequence[tuple[float, str]]) -> Outage:
        probe = self.expectations[0].probe
        tried = [(begun, outcome) for begun, outcome in attempts if begun >= self.struck_at]
        lost = [begun for begun, outcome in tried if outcome != OPEN]
        back = next(
            (begun for begun, outcome in tried if lost and begun > lost[-1] and outcome == OPEN), None
        )
        dark = (back - lost[0]) * 1000 if lost and back is not None else 0.0
        return Outage(
            client=probe.source.client,
            transport=probe.transport,
            port=probe.port,
            attempts=len(tried),
            lost=len(lost),
            dark_ms=round(dark, 1),
        )

    # --- what follows --------------------------------------------------------------------------------------------

    def see(self) -> None:
        """Wait for the events, then look at the heal and at the clients."""
        stage, step = self.stage, self.step
        wanted = {kind.value for kind in (*step.kinds, *step.extra_kinds(stage))}
        if wanted:
            self.audience.doing(f"waiting for {', '.join(sorted(wanted))}")
        if not stage.guard.wait(lambda: wanted <= self._kinds_seen(), WITHIN):
            missing = ", ".join(sorted(wanted - self._kinds_seen()))
            self.problems.append(f"the daemon did not report {missing} within {WITHIN:g} s")
        if step.heals:
            self._see_heal()
            self.outcomes["after"] = self._until([row.after for row in self.expectations])
            self.swept = self._sweep()

    def _kinds_seen(self) -> set[str]:
        return {
            event.kind
            for event in self.stage.guard.since(self.mark)
            if event.state in _ALARMS or event.kind == Kind.RULE_HEALED.value
        }

    def _see_heal(self) -> None:
        own = self.stage.own_commit_after(self.struck_at)
        measured = round((own - self.struck_at) * 1000, 3) if own is not None else None
        self.healed = tuple(
            Healing(
                what=row.get("what", row["flow"]),
                took_ms=row["took_ms"],
                measured_ms=measured if number == 0 else None,
                actor=row["actor"],
            )
            for number, row in enumerate(self._new_heals())
        )
        for heal in self.healed:
            comm = (heal.actor or {}).get("comm")
            if comm != NFT:
                self.problems.append(f"the daemon names {comm!r} as the one who did it, and it was {NFT}")
        if self.step.same_table and self.stage.own_table() != self.table_before:
            self.problems.append("table inet portguard does not hold what it held before")

    # --- the world put back ----------------------------------------------------------------------------------------

    def put_back(self, first: Baseline) -> None:
        """Wait until the daemon thinks of the world what it thought at first."""
        self.audience.doing("putting the world back")
        lasting = {kind.value for kind in (*self.step.kinds, *self.step.extra_kinds(self.stage))} - _MOMENTARY
        if not self.stage.guard.wait(
            lambda: baseline(self.stage) == first and lasting <= self._ended(), WITHIN
        ):
            now = self.stage.guard.status()
            kinds = sorted({row["kind"] for row in now["findings"] if row["id"] not in first.findings})
            if baseline(self.stage) != first:
                self.problems.append(
                    f"afterwards the verdict is {now['verdict']}, where it was {first.verdict}"
                    + (f", with {', '.join(kinds)}" if kinds else "")
                )
            self.problems += [
                f"the daemon did not say that {kind} ended" for kind in sorted(lasting - self._ended())
            ]
        self.resolved = tuple(sorted(self._ended()))
        if not self.step.heals:
            self.outcomes["after"] = self._until([row.after for row in self.expectations])
            self.swept = self._sweep()

    def _ended(self) -> set[str]:
        """Kinds of findings that ended since the world was put back."""
        return {
            event.kind
            for event in self.stage.guard.since(self.seen)
            if event.state == "resolved" and event.kind != Kind.RULE_HEALED.value
        }

    def _sweep(self) -> Sweep:
        self.audience.doing("trying every documented connection")
        sweep = self.stage.sweep()
        self.problems += [f"documented, and not open: {row}" for row in sweep.shut]
        return sweep

    def _until(self, wanted: list[str | None]) -> list[str]:
        return self.stage.until([row.probe for row in self.expectations], wanted)

    # --- the result --------------------------------------------------------------------------------------------------

    def result(self, took: float) -> StepResult:
        connections = tuple(self._connection(number) for number in range(len(self.expectations)))
        for expected, seen in zip(self.expectations, connections, strict=True):
            wrong = [
                f"{moment} {got} instead of {wanted}"
                for moment, wanted, got in (
                    ("before", expected.before, seen.before),
                    ("after the blow", expected.struck, seen.struck),
                    ("at the end", expected.after, seen.after),
                )
                if wanted not in (None, got)
            ]
            self.problems += [f"{expected.probe} was {text}" for text in wrong]
        return StepResult(
            name=self.step.name,
            title=self.step.title,
            did=self.did,
            detected=tuple(
                Detection(
                    kind=event.kind,
                    state=event.state,
                    severity=event.fields.get("severity", ""),
                    message=event.message,
                    after_ms=round((event.at - self.struck_at) * 1000, 1),
                )
                for event in self.stage.guard.since(self.mark)[: self.seen - self.mark]
                if (event.kind not in _ROUTINE and event.state != "resolved")
                or event.kind == Kind.RULE_HEALED.value
            ),
            healed=self.healed,
            connections=connections,
            outage=self.outage,
            sweep=self.swept,
            resolved=self.resolved,
            problems=tuple(self.problems),
            took_s=round(took, 2),
        )

    def _connection(self, number: int) -> Connection:
        probe = self.expectations[number].probe
        return Connection(
            client=probe.source.client,
            zone=probe.zone,
            flow=probe.flow,
            transport=probe.transport,
            port=probe.port,
            version=probe.version,
            before=self.outcomes["before"][number],
            struck=self.outcomes["struck"][number],
            after=self.outcomes["after"][number],
        )


_MOMENTARY = frozenset({Kind.RULE_REMOVED.value, Kind.RULE_ALTERED.value, Kind.RULE_HEALED.value})
"""Kinds that tell of something that happened, and do not end."""
