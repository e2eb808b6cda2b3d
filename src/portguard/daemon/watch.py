"""Notice that the configuration or the catalogue changed on disk (inotify, by way of watchdog).

Directories are watched, not files: editors and configuration management replace a file by renaming another one over
it, and a watch on the old file would never hear of it. Of a directory that matters its parent is watched too, so that
one that appears later, or is replaced as a whole, is found.
"""

from __future__ import annotations

import inspect
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from watchdog import events
from watchdog.events import FileSystemEvent, FileSystemEventHandler
from watchdog.observers.inotify import InotifyObserver

from portguard.errors import ObserveError
from portguard.model.paths import Paths

if TYPE_CHECKING:
    from collections.abc import Iterable

_CHANGES = ("created", "modified", "attrib", "moved", "deleted", "closed")
"""Event types that can mean another content. Reading is none of them, or the child that reads would wake us again."""

_CLASSES = [
    getattr(events, f"{kind}{change}Event")
    for kind in ("File", "Dir")
    for change in ("Created", "Modified", "Attrib", "Moved", "Deleted", "Closed")
    # watchdog 7 tells changes of attributes apart, and no version closes directories.
    if hasattr(events, f"{kind}{change}Event")
    and (kind, change) not in {("Dir", "Modified"), ("Dir", "Attrib")}
]

CATALOGUE = Paths().catalogue
"""Folder of catalogue files, until a configuration names another one."""

_ATTEMPTS = 5
"""Times that watches are set again because the directories changed meanwhile."""


@dataclass(frozen=True, slots=True)
class _Plan:
    """What to watch and what to heed, with every path resolved as far as it exists."""

    directories: frozenset[str]
    """Watched, not recursively."""
    files: frozenset[str]
    """Paths whose change matters."""
    folders: frozenset[str]
    """Directories of which every ``*.toml`` matters."""
    loose: frozenset[str]
    """Directories of which everything matters: those in which the configuration is a symbolic link."""
    links: frozenset[str]
    """Directories and links that lead to the files: when one changes, the watches are set again."""

    @classmethod
    def of(cls, config: Path, catalogue: Path) -> _Plan:
        """Look at the directories as they are now."""
        config = config.absolute()
        confd = config.parent / "conf.d"
        plain = _real(config.parent) / config.name
        real = _real(config)
        directories: set[str] = set()
        links: set[str] = set()
        for target in (config.parent, confd, catalogue.absolute(), real.parent):
            place = target
            while not place.is_dir() and place != place.parent:
                # Wait for the next directory on the way to appear.
                links.add(str(_real(place.parent) / place.name))
                place = place.parent
            resolved = _real(place)
            directories |= {str(resolved), str(resolved.parent), str(_real(place.parent))}
            links |= {str(resolved), str(_real(place.parent) / place.name)}
        return cls(
            directories=frozenset(directories),
            files=frozenset({str(plain), str(real)}),
            folders=frozenset({str(_real(confd)), str(_real(catalogue.absolute()))}),
            loose=frozenset({str(plain.parent)} if real != plain else ()),
            links=frozenset(links),
        )

    def heeds(self, path: str) -> bool:
        """Whether a change of this path can be another configuration."""
        folder, _, name = path.rpartition("/")
        return (
            path in self.files
            or path in self.links
            or folder in self.loose
            or (folder in self.folders and name.endswith(".toml") and not name.startswith("."))
        )


class ConfigWatch:
    """Becomes readable when the configuration or the catalogue may have changed.

    Make it before the configuration is read, so that no change is missed between. The caller debounces: an editor
    causes several wake-ups for one change.
    """

    def __init__(self, config: Path, catalogue: Path = CATALOGUE) -> None:
        """Start to watch. Raises ObserveError when inotify is impossible."""
        self._config = config
        self._catalogue = catalogue
        self._torn = False
        """A directory that leads to the files changed: the watches may hang on what was moved away."""
        self._plan = _Plan.of(config, catalogue)
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._observer: Any = None
        try:
            self._start()
        except ObserveError:
            self.stop()
            raise

    def fileno(self) -> int:
        """Descriptor that is readable from a change until :meth:`drain`."""
        return self._wake

    def drain(self) -> bool:
        """Say whether anything changed since the last call, and set watches on directories that are new.

        Raises ObserveError when they cannot be watched any more.
        """
        try:
            os.eventfd_read(self._wake)
        except BlockingIOError:
            return False
        torn, self._torn = self._torn, False
        if torn or _Plan.of(self._config, self._catalogue) != self._plan:
            self._arm()
        return True

    def follow(self, catalogue: Path) -> None:
        """Watch another folder of catalogue files from now on. Raises ObserveError."""
        if catalogue != self._catalogue:
            self._catalogue = catalogue
            self._arm()

    def stop(self) -> None:
        """End the watching and its threads; nothing else may be called afterwards."""
        if self._observer is not None and self._observer.is_alive():
            self._observer.stop()
            self._observer.join()
        if self._wake >= 0:
            os.close(self._wake)
            self._wake = -1

    def _start(self) -> None:
        try:
            self._observer = InotifyObserver()
            self._observer.start()
        except OSError as error:
            raise ObserveError(f"cannot watch the configuration: {_reason(error)}") from None
        self._arm()

    def _arm(self) -> None:
        """Set all watches anew, again if the directories changed while it was done."""
        for attempt in range(_ATTEMPTS):
            self._plan = plan = _Plan.of(self._config, self._catalogue)
            try:
                self._observer.unschedule_all()
                self._schedule(sorted(plan.directories))
            except OSError as error:
                if isinstance(error, FileNotFoundError) and attempt + 1 < _ATTEMPTS:
                    continue
                raise ObserveError(f"cannot watch the configuration: {_reason(error)}") from None
            if plan == _Plan.of(self._config, self._catalogue):
                return

    def _schedule(self, directories: Iterable[str]) -> None:
        options: dict[str, Any] = {"recursive": False}
        if "event_filter" in inspect.signature(InotifyObserver.schedule).parameters:
            # Without it the kernel would tell of every file that anybody opens in /etc. watchdog 2.2 has no filter,
            # and does not ask the kernel for that either.
            options["event_filter"] = _CLASSES
        handler = _Handler(self)
        for directory in directories:
            self._observer.schedule(handler, directory, **options)

    def notice(self, event: FileSystemEvent) -> None:
        """Wake the main loop if an event matters. Called in watchdog's thread."""
        if event.event_type not in _CHANGES or (
            event.is_directory and event.event_type in ("modified", "attrib")
        ):
            return
        plan = self._plan
        paths = [os.fsdecode(path) for path in (event.src_path, getattr(event, "dest_path", "")) if path]
        if any(path in plan.links for path in paths):
            self._torn = True
        if any(plan.heeds(path) for path in paths):
            os.eventfd_write(self._wake, 1)


class _Handler(FileSystemEventHandler):
    """Passes events on."""

    def __init__(self, watch: ConfigWatch) -> None:
        self._watch = watch

    def on_any_event(self, event: FileSystemEvent) -> None:
        """Receive every event of every watched directory."""
        self._watch.notice(event)


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))


def _reason(error: OSError) -> str:
    return str(error.strerror or error).lower()
