"""The real world: every edge on the kernel of this host."""

from __future__ import annotations

import time
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from portguard.kernel.events import NftEvents, RouteEvents
from portguard.kernel.links import RouteReader
from portguard.kernel.nft import Nft
from portguard.kernel.peers import Peers
from portguard.kernel.sockets import SocketTable, open_owners
from portguard.kernel.surroundings import HostFiles
from portguard.kernel.trace import Polling, TraceEvents, open_listen_events
from portguard.kernel.world import World

if TYPE_CHECKING:
    from pathlib import Path

    from portguard.kernel.world import Clock


class SystemClock:
    """The host's time."""

    def monotonic(self) -> float:
        """Seconds since boot, without the time asleep."""
        return time.monotonic()

    def now(self) -> datetime:
        """Tell the present time, in UTC."""
        return datetime.now(UTC)


def open_world(clock: Clock | None = None, *, trace: Path | None = None) -> World:
    """Open all edges in the network namespace of the calling thread; it needs CAP_NET_ADMIN.

    ``trace`` is the trace instance that announces listeners. It has one reader, so who looks just once gives none.
    Events are joined before anything is read, so nothing that happens in between goes unnoticed. Raises
    ObserveError, with everything closed again, when one of them cannot be opened; listeners that are not announced
    are polled for.
    """
    clock = clock or SystemClock()
    with ExitStack() as stack:
        firewall = stack.enter_context(closing(Nft()))
        return World(
            firewall=firewall,
            sockets=stack.enter_context(closing(SocketTable())),
            links=stack.enter_context(closing(RouteReader())),
            peers=stack.enter_context(closing(Peers(open_owners()))),
            surroundings=HostFiles(clock),
            ruleset_events=stack.enter_context(closing(NftEvents(firewall))),
            link_events=stack.enter_context(closing(RouteEvents())),
            listen_events=stack.enter_context(closing(_listen_events(trace))),
            clock=clock,
            closing=stack.pop_all().close,
        )


def _listen_events(trace: Path | None) -> TraceEvents | Polling:
    """Open the announcements of listeners, if anybody wants them."""
    return Polling("nobody asked for announcements") if trace is None else open_listen_events(trace)
