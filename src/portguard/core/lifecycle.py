"""The life of a finding: pending, firing, reminded, resolved; and one word when it cannot make up its mind."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from portguard.model.finding import Finding, Kind, Severity

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

FLAP_COUNT = 5
"""So many alarms of one finding within FLAP_WINDOW make it flapping."""
FLAP_WINDOW = 600.0
_REMIND = {Severity.CRITICAL: 4 * 3600.0}
_REMIND_OTHERS = 24 * 3600.0


class AlertState(StrEnum):
    """What an alert says about its finding."""

    FIRING = "firing"
    REMINDER = "reminder"
    RESOLVED = "resolved"
    FLAPPING = "flapping"


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """A finding on its way to people."""

    finding: Finding
    state: AlertState
    since: datetime
    """When it was first seen, UTC."""
    count: int = 1
    """How often it was raised since it was last quiet."""
    lasted: float | None = None
    """Seconds from the alarm to its end, when resolved."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What is known of one finding. Moments are monotonic seconds."""

    finding: Finding
    since: datetime
    seen: float
    """When it appeared this time."""
    alerted: float | None = None
    """When people were last told; None: it is pending."""
    raised: tuple[float, ...] = ()
    """Alarms within the flap window."""
    flapping: bool = False
    worst: Severity | None = None
    """How bad people were told that it is; while it flaps, the worst of it."""
    gone: float | None = None
    """When it disappeared, if it has and is only remembered for flapping."""

    @property
    def firing(self) -> bool:
        """Whether people were told and it still holds."""
        return self.alerted is not None and self.gone is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Book:
    """All findings that are open, pending or still remembered."""

    entries: Mapping[str, Entry] = field(default_factory=dict)

    def firing(self) -> tuple[Entry, ...]:
        """Findings that people know of and that still hold."""
        return tuple(entry for entry in self.entries.values() if entry.firing)


def advance(
    book: Book, findings: Iterable[Finding], grace: Mapping[Kind, float], now: float, when: datetime
) -> tuple[Book, tuple[Alert, ...], float | None]:
    """Hold what is seen now against the book.

    Returns the next book, the alerts to send, and the moment at which a pending finding comes due (None: none is).
    ``grace`` says for how many seconds a kind has to hold before anybody is told.
    """
    entries: dict[str, Entry] = {}
    alerts: list[Alert] = []
    due: float | None = None
    current = {finding.id: finding for finding in findings}
    for id_, finding in current.items():
        entry = book.entries.get(id_)
        if entry is None or entry.gone is not None:
            raised = entry.raised if entry is not None else ()
            entry = Entry(
                finding=finding,
                since=when,
                seen=now,
                raised=raised,
                flapping=entry is not None and entry.flapping,
                worst=entry.worst if entry is not None else None,
            )
        elif entry.alerted is not None and finding.severity.priority < entry.finding.severity.priority:
            # It got worse since people were told: a Redis whose password is gone is news, on whatever port it was known.
            entry = replace(entry, alerted=None)
        entry = replace(entry, finding=finding)
        ready = entry.seen + grace.get(finding.kind, 0.0)
        if entry.alerted is None and now < ready:
            due = ready if due is None else min(due, ready)
        else:
            entry, alert = _tell(entry, now)
            alerts += [alert] if alert is not None else []
        entries[id_] = entry
    for id_, entry in book.entries.items():
        if id_ in current:
            continue
        kept, alert = _gone(entry, now)
        alerts += [alert] if alert is not None else []
        if kept is not None:
            entries[id_] = kept
    return Book(entries=entries), tuple(alerts), due


def _tell(entry: Entry, now: float) -> tuple[Entry, Alert | None]:
    """Say that a finding holds: at first, and again after a long while."""
    if entry.alerted is None:
        raised = (*(at for at in entry.raised if now - at < FLAP_WINDOW), now)
        flapping = len(raised) >= FLAP_COUNT
        severity = entry.finding.severity
        # Whoever makes a finding flap must not thereby hide that it has got worse.
        worse = entry.worst is None or severity.priority < entry.worst.priority
        quiet = entry.flapping and flapping and not worse
        worst = severity if worse or not entry.flapping else entry.worst
        entry = replace(entry, alerted=now, raised=raised, flapping=flapping, worst=worst)
        state = AlertState.FLAPPING if flapping else AlertState.FIRING
        return entry, None if quiet else _alert(entry, state)
    if now - entry.alerted >= _REMIND.get(entry.finding.severity, _REMIND_OTHERS):
        entry = replace(entry, alerted=now)
        return entry, _alert(entry, AlertState.REMINDER)
    return entry, None


def _gone(entry: Entry, now: float) -> tuple[Entry | None, Alert | None]:
    """Say that a finding no longer holds, and remember it for as long as it may flap."""
    alert = None
    if entry.firing:
        if not entry.flapping:
            assert entry.raised
            alert = replace(_alert(entry, AlertState.RESOLVED), lasted=now - entry.raised[-1])
        entry = replace(entry, gone=now, alerted=None)
    elif entry.gone is None:
        # It was pending: nobody was told, nobody needs to hear that it is over.
        entry = replace(entry, gone=now)
    assert entry.gone is not None
    if not any(now - at < FLAP_WINDOW for at in entry.raised):
        if entry.flapping:
            alert = _alert(entry, AlertState.RESOLVED)
        return None, alert
    return entry, alert


def _alert(entry: Entry, state: AlertState) -> Alert:
    return Alert(finding=entry.finding, state=state, since=entry.since, count=max(len(entry.raised), 1))
