"""Look as soon as a socket listens, where the kernel announces it, and at no more than a small part of a core."""

from __future__ import annotations

import selectors
from typing import TYPE_CHECKING

from portguard.daemon.share import Share
from portguard.model.listener import Listener

if TYPE_CHECKING:
    from portguard.daemon.observer import Observer
    from portguard.kernel.world import Clock, ListenEvents, Opened

_PART = 0.05
"""Of a core in the long run: any program that binds a UDP socket causes a pass."""
_CREDIT = 0.25
"""Seconds of passes at once: what other programs bind now and then is not to be in the way of an announced listener."""
_REST = 0.01
"""Seconds between two passes, at least."""
_GATHER = 0.002
"""Seconds between a socket that is bound, of which nobody can tell whether it is TCP, and the pass for it: what begins to listen
does so a moment later, and is then seen by the same pass instead of one that first has to rest."""
_APPEARS = 0.02
"""Seconds. What has not appeared after so long was closed: it is announced just before it can be seen."""
_AGAIN = 0.005
"""Seconds until the next look for what has not appeared."""
_KEPT = 256
"""Announced sockets that are waited for at once; of more than that, the first are as good as any."""


class ListenWatch:
    """Answers announcements of listeners with a pass over the listening sockets."""

    def __init__(self, events: ListenEvents, observer: Observer, clock: Clock) -> None:
        self._events = events
        self._observer = observer
        self._clock = clock
        self._selector: selectors.BaseSelector | None = None
        self._muted = False
        self._gathering = False
        """The next pass is for bound sockets alone, and waits for those that are about to listen."""
        self._waiting: list[Opened] = []
        self._share = Share(clock.monotonic(), part=_PART, credit=_CREDIT, least=_REST)
        self._number = 0
        self._showing = False
        """Something that is gone already stands in the next snapshot, and has to be taken out of the one after it."""
        self.due_at: float | None = None
        """Monotonic time of the next pass; None while nothing was announced."""
        self.lost = False
        """Announcements were lost since somebody last looked here, so that everything is to be looked at."""

    def attach(self, selector: selectors.BaseSelector) -> None:
        """Wait for announcements from now on."""
        self._selector = selector
        self._muted = True
        self._listen()

    def due(self, now: float) -> bool:
        """Make the pass that is due; says whether there is something new to look at."""
        if self.due_at is None or now < self.due_at:
            return False
        if self._muted:
            # What came meanwhile is answered by this pass too.
            self._take()
        self.due_at, self._gathering = None, False
        began = self._clock.monotonic()
        over = self._observer.brief_are_over()
        self._observer.expect(frozenset(event.owner.pid for event in self._waiting if event.owner.pid))
        changed = self._observer.listeners()
        ended = self._clock.monotonic()
        self._share.spend(began, ended)
        brief = self._missed(ended)
        if brief:
            self._observer.show_once(brief)
        self._showing = bool(brief) or (self._showing and not over)
        if self._waiting or self._showing:
            self.due_at = max(ended + _AGAIN, self._share.free_at)
        self._listen()
        return changed or over or bool(brief)

    def checked(self) -> None:
        """Everything is looked at now. Ask whether announcements are still made; if not, listeners are polled for."""
        self.lost = False
        if not self._events.still_on():
            self._mute()

    def _on_readable(self) -> None:
        gathered = self._gathering
        # Read at once: what is known of a process goes when it ends.
        self._take()
        first = self._gathering and not gathered
        if self.due_at is not None and self.due_at > self._clock.monotonic() and not first:
            # Whoever binds sockets in an endless loop must not wake the daemon for each of them.
            self._mute()

    def _take(self) -> None:
        news = self._events.read()
        self.lost |= news.lost
        # Of another namespace's, or what might be one, nothing is claimed when it cannot be seen here.
        ours = [event for event in news.opened if event.ours]
        self._waiting = (self._waiting + ours)[:_KEPT]
        if news.look or news.opened or news.lost:
            self._plan(at_once=bool(news.opened) or news.lost)
        if self._events.fileno() is None:
            self._mute()

    def _plan(self, *, at_once: bool) -> None:
        """Choose the moment of the next pass; what begins to listen brings it forward."""
        now = self._clock.monotonic()
        if self.due_at is None:
            wanted = now if at_once else now + _GATHER
            self.due_at = max(wanted, self._share.free_at)
            self._gathering = not at_once and self.due_at == wanted
        elif self._gathering and at_once:
            self.due_at, self._gathering = max(now, self._share.free_at), False

    def _missed(self, now: float) -> tuple[Listener, ...]:
        """Give what was announced, belongs here, and is not there: it lived too briefly to be seen."""
        if not self._waiting:
            return ()
        there = self._observer.seen_ports()
        if there is None:
            # Listeners could not be read: that is a gap, and says nothing about what was announced.
            self._waiting = []
            return ()
        waiting = [
            event for event in self._waiting if (event.transport, event.address, event.port) not in there
        ]
        self._waiting = [event for event in waiting if now - event.at < _APPEARS]
        return tuple(self._listener(event) for event in waiting if now - event.at >= _APPEARS)

    def _listener(self, event: Opened) -> Listener:
        """Make a listener of an announcement. The kernel's cookies are positive, so a negative one is nobody else's."""
        self._number -= 1
        return Listener(
            transport=event.transport,
            address=event.address,
            port=event.port,
            cookie=self._number,
            owner=event.owner,
        )

    def _listen(self) -> None:
        descriptor = self._events.fileno()
        if self._muted and self._selector is not None and descriptor is not None:
            self._selector.register(descriptor, selectors.EVENT_READ, self._on_readable)
            self._muted = False

    def _mute(self) -> None:
        if not self._muted and self._selector is not None:
            for key in [key for key in self._selector.get_map().values() if key.data == self._on_readable]:
                self._selector.unregister(key.fd)
            self._muted = True
