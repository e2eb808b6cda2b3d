"""Announcements of the fake kernel."""

from __future__ import annotations

import os
from collections import deque
from typing import TYPE_CHECKING

from portguard.kernel.world import Events, ListenNews

if TYPE_CHECKING:
    from portguard.kernel.world import Opened
    from portguard.model.ruleset import RulesetChange


class Signal:
    """A descriptor that is readable while the signal is raised; it is opened when somebody asks for it."""

    def __init__(self) -> None:
        self._raised = False
        self._fd: int | None = None

    def fileno(self) -> int:
        """Descriptor that is readable when there is something to read."""
        if self._fd is None:
            self._fd = os.eventfd(int(self._raised), os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        return self._fd

    def close(self) -> None:
        """Release the descriptor."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def _raise(self) -> None:
        """Make it readable."""
        if not self._raised and self._fd is not None:
            os.eventfd_write(self._fd, 1)
        self._raised = True

    def _lower(self) -> bool:
        """Make it unreadable; says whether it was raised."""
        raised, self._raised = self._raised, False
        if raised and self._fd is not None:
            os.eventfd_read(self._fd)
        return raised


class FakeRulesetEvents(Signal):
    """Announced transactions that wait to be read."""

    def __init__(self) -> None:
        super().__init__()
        self._waiting: deque[RulesetChange] = deque()
        self._lost = False

    def announce(self, change: RulesetChange) -> None:
        """Put a change into the queue."""
        self._waiting.append(change)
        self._raise()

    def lose(self) -> None:
        """Empty the queue and say so at the next read."""
        self._waiting.clear()
        self._lost = True
        self._raise()

    def read(self) -> Events:
        """Take everything announced so far."""
        self._lower()
        events = Events(changes=tuple(self._waiting), lost=self._lost)
        self._waiting.clear()
        self._lost = False
        return events


class FakeLinkEvents(Signal):
    """Whether the links changed since the last look."""

    def announce(self) -> None:
        """Tell of a change."""
        self._raise()

    def drain(self) -> bool:
        """Take everything announced so far, and say whether there was something."""
        return self._lower()


class FakeListenEvents(Signal):
    """Announced listeners that wait to be read; none are announced until :meth:`set_up` was called."""

    def __init__(self) -> None:
        super().__init__()
        self.reason: str | None = "the fake kernel was not asked to announce listeners"
        """Why nothing is announced."""
        self._waiting: list[Opened] = []
        self._lost = False

    def set_up(self) -> None:
        """Announce from now on."""
        self.reason = None

    def switch_off(self, reason: str) -> None:
        """Announce nothing any longer."""
        self.reason = reason

    def fileno(self) -> int | None:  # type: ignore[override]  # the others always have one
        """Descriptor that is readable when there is something to read."""
        return super().fileno() if self.reason is None else None

    def announce(self, opened: Opened | None = None) -> None:
        """Tell of a socket that began to listen, or, without one, that another ceased to."""
        if self.reason is None:
            self._waiting += [] if opened is None else [opened]
            self._raise()

    def lose(self) -> None:
        """Empty the queue and say so at the next read."""
        self._waiting.clear()
        self._lost = True
        self._raise()

    def still_on(self) -> bool:
        """Say whether announcements are made."""
        return self.reason is None

    def read(self) -> ListenNews:
        """Take everything announced so far."""
        look = self._lower()
        news = ListenNews(opened=tuple(self._waiting), look=look, lost=self._lost)
        self._waiting, self._lost = [], False
        return news
