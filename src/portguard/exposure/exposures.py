"""What is known of every listener, kept per process, and read again only when something may have changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from portguard.exposure.identify import judge_process
from portguard.model.exposure import Exposure, Protection

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from portguard.model.listener import Listener, Owner

_UNSETTLED = 3.0
"""Seconds after its newest socket appeared in which a process is read again at every pass: a JVM tells of an agent only when it is up, Redis names its threads and its title after it listens."""


class Exposures:
    """Asked at every pass; costs nothing while the listeners are the same and have been for some seconds."""

    def __init__(
        self,
        monotonic: Callable[[], float],
        judge: Callable[[Sequence[Listener]], Mapping[int, Exposure]] = judge_process,
    ) -> None:
        """``judge`` says what the sockets of one process are."""
        self._monotonic = monotonic
        self._judge = judge
        self._listeners: tuple[Listener, ...] | None = None
        self._processes: dict[tuple[Listener, ...], Mapping[int, Exposure]] = {}
        self._young_until: dict[tuple[Listener, ...], float] = {}
        self.known: Mapping[int, Exposure] = {}
        """What was found last, by the cookie of the socket; the same object while nothing is different."""

    def of(self, listeners: tuple[Listener, ...] | None) -> Mapping[int, Exposure]:
        """What must never be exposed among the listeners, by the cookie of its socket; the last answer without any."""
        if listeners is None:
            return self.known
        if listeners != self._listeners:
            self._listeners = listeners
            self._regroup(listeners)
        elif self._young_until:
            self._again(self._young_until)
        return self.known

    def time_passed(self) -> None:
        """Read every process again: a setting may have been changed without a new socket."""
        self._again(tuple(self._processes))

    def _regroup(self, listeners: tuple[Listener, ...]) -> None:
        groups: dict[Owner | int, list[Listener]] = {}
        for row in listeners:
            groups.setdefault(row.owner if row.owner.pid is None else row.owner.pid, []).append(row)
        present = {tuple(group) for group in groups.values()}
        until = self._monotonic() + _UNSETTLED
        self._young_until = {key: end for key, end in self._young_until.items() if key in present}
        before = self._processes
        self._processes = {}
        for key in present:
            if key in before:
                self._processes[key] = before[key]
            else:
                self._young_until[key] = until
                self._processes[key] = self._kept(self._judge(key))
        self._again([key for key in self._young_until if key in before])
        self._put_together()

    def _again(self, keys: Sequence[tuple[Listener, ...]] | Mapping[tuple[Listener, ...], float]) -> None:
        now = self._monotonic()
        for key in tuple(keys):
            self._processes[key] = self._kept(self._judge(key))
            if self._young_until.get(key, now) <= now:
                self._young_until.pop(key, None)
        self._put_together()

    def _kept(self, found: Mapping[int, Exposure]) -> Mapping[int, Exposure]:
        """Keep what was known of a socket's protection and cannot be read any more: Redis hides its arguments."""
        out = dict(found)
        for cookie, exposure in found.items():
            before = self.known.get(cookie)
            if (
                exposure.protection is Protection.UNKNOWN
                and before is not None
                and before.application is exposure.application
                and before.evidence[:1] == ("arguments",)
            ):
                out[cookie] = before
        return out

    def _put_together(self) -> None:
        everything = {
            cookie: exposure for found in self._processes.values() for cookie, exposure in found.items()
        }
        if everything != self.known:
            self.known = everything
