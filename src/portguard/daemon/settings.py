"""The configuration in force: watched, read again when it changed, and kept when the new one is at fault."""

from __future__ import annotations

from typing import TYPE_CHECKING

from portguard.errors import ConfigError, ObserveError, PortguardError
from portguard.model.snapshot import Gap, Scope

if TYPE_CHECKING:
    from collections.abc import Callable

    from portguard.daemon.observer import Observer
    from portguard.daemon.site import Site
    from portguard.daemon.watch import ConfigWatch
    from portguard.kernel.world import Clock

WATCH = "configuration watch"
"""Name of the gap that stands while changes of the files would go unnoticed."""
_SETTLE = 0.2
"""Seconds without a further change before a changed configuration is read: editors write in several steps."""


class Settings:
    """Holds the site as last read without a fault, and says when it is time to read it again."""

    def __init__(
        self,
        *,
        site: Site,
        load: Callable[[], Site],
        watch: ConfigWatch | None,
        observer: Observer,
        clock: Clock,
    ) -> None:
        self.site = site
        self.due_at: float | None = None
        """Monotonic time at which to read it again."""
        self.rejected: tuple[str, ...] = ()
        """Faults of the files as they are now; empty while they are the ones in force."""
        self.rejected_before: tuple[str, ...] = ()
        """The same, as they were when they were read the time before."""
        self._load = load
        self._watch = watch
        self._observer = observer
        self._clock = clock
        if watch is None:
            reason = "inotify is not available: the configuration is reloaded on SIGHUP only"
            observer.set_standing_gap(WATCH, Gap(scope=Scope.EVENTS, reason=reason))
        self._follow()

    def fileno(self) -> int | None:
        """Descriptor that is readable when a file may have changed; None where nothing watches."""
        return None if self._watch is None else self._watch.fileno()

    def requested(self) -> None:
        """Somebody asked for it: read at once."""
        self.due_at = self._clock.monotonic()

    def drain(self) -> bool:
        """Take what inotify says, and read the files when they have settled; False when it cannot watch any longer."""
        if self._watching(lambda watch: watch.drain()):
            self.due_at = self._clock.monotonic() + _SETTLE
        return WATCH not in self._observer.standing_gaps

    def reload(self) -> bool:
        """Read the files; says whether they are in force now. Faulty ones change nothing but ``rejected``."""
        self.due_at, self.rejected_before = None, self.rejected
        try:
            site = self._load()
        except ConfigError as error:
            self.rejected = tuple(str(fault) for fault in error.faults)
            return False
        except PortguardError as error:
            self.rejected = (str(error),)
            return False
        self.rejected = ()
        self.site = site
        self._follow()
        return True

    def _follow(self) -> None:
        self._observer.watch_for(self.site.policy.reserved)
        self._watching(lambda watch: watch.follow(self.site.config.paths.catalogue))

    def _watching(self, ask: Callable[[ConfigWatch], bool | None]) -> bool:
        """Ask the watch something; when it cannot watch any longer, that is a gap."""
        if self._watch is None:
            return False
        try:
            answer = ask(self._watch)
        except ObserveError as error:
            self._observer.set_standing_gap(WATCH, Gap(scope=Scope.EVENTS, reason=str(error)))
            return False
        self._observer.set_standing_gap(WATCH, None)
        return bool(answer)
