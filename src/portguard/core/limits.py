"""When to stop fighting: heals of one rule that somebody keeps undoing, and writers that never rest."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from portguard.model.policy import HealLimits
    from portguard.model.ruleset import Actor


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleHistory:
    """Heals of one rule. Times are monotonic seconds."""

    heals: tuple[float, ...] = ()
    """Those of the last window, oldest first."""
    retry_at: float | None = None
    """Not before this moment is it tried again; None: it is not suspended."""
    suspensions: int = 0
    actor: Actor | None = None
    """Who undid it last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """Which heals may run now."""

    allowed: frozenset[str] = frozenset()
    wait: float = 0.0
    """Seconds until the writer may be answered again; 0: now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limiter:
    """The history of all heals, as a value: each answer returns the next one."""

    rules: Mapping[str, RuleHistory] = field(default_factory=dict)
    writers: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """Tokens left and when they were counted, by writer."""

    def suspended(self, limits: HealLimits, now: float) -> frozenset[str]:
        """Name the rules that are not to be healed now."""
        return frozenset(key for key in self.rules if not self._due(key, limits, now))

    def _due(self, key: str, limits: HealLimits, now: float) -> bool:
        row = self.rules[key]
        if row.retry_at is not None:
            return now >= row.retry_at
        # Once it was suspended, a single heal that is undone again is enough: the fight goes on.
        most = 1 if row.suspensions else limits.max_heals
        return sum(now - at < limits.window for at in row.heals) < most

    def admit(
        self, keys: Iterable[str], actor: Actor | None, limits: HealLimits, now: float
    ) -> tuple[Limiter, Admission]:
        """Decide which of the rules may be healed now; those over the limit are suspended until their retry."""
        writer = actor.writer if actor is not None else "-"
        tokens, counted = self.writers.get(writer, (float(limits.writer_burst), now))
        tokens = min(float(limits.writer_burst), tokens + (now - counted) / limits.writer_interval)
        writers = {name: row for name, row in self.writers.items() if now - row[1] < limits.window}
        if tokens < 1.0:
            wait = (1.0 - tokens) * limits.writer_interval
            return replace(self, writers={**writers, writer: (tokens, now)}), Admission(wait=wait)
        rules = dict(self.rules)
        allowed = set()
        for key in keys:
            row = rules.get(key, RuleHistory())
            if key not in rules or self._due(key, limits, now):
                allowed.add(key)
            elif row.retry_at is None:
                delay = min(limits.retry_first * 2**row.suspensions, limits.retry_max)
                rules[key] = replace(row, retry_at=now + delay, suspensions=row.suspensions + 1, actor=actor)
        if allowed:
            tokens -= 1.0
        next_ = Limiter(rules=rules, writers={**writers, writer: (tokens, now)})
        return next_, Admission(allowed=frozenset(allowed))

    def healed(self, keys: Iterable[str], actor: Actor | None, limits: HealLimits, now: float) -> Limiter:
        """Note that these rules were healed; a retry that was due is spent."""
        rules = dict(self.rules)
        for key in keys:
            row = rules.get(key, RuleHistory())
            heals = (*(at for at in row.heals if now - at < limits.window), now)
            rules[key] = replace(row, heals=heals, retry_at=None, actor=actor or row.actor)
        return replace(self, rules=rules)

    def rested(self, limits: HealLimits, now: float) -> Limiter:
        """Forget rules that have stayed healed for a whole window: the fight is over."""
        rules = {
            key: row
            for key, row in self.rules.items()
            if (row.retry_at is not None and now < row.retry_at + limits.window)
            or any(now - at < limits.window for at in row.heals)
        }
        return replace(self, rules=rules) if len(rules) != len(self.rules) else self

    def fights(self) -> Mapping[str, RuleHistory]:
        """Rules that were suspended and have not rested since."""
        return {key: row for key, row in self.rules.items() if row.suspensions}

    def next_retry(self, now: float) -> float | None:
        """Earliest moment at which a suspended rule is tried again."""
        return min(
            (row.retry_at for row in self.rules.values() if row.retry_at and row.retry_at > now), default=None
        )
