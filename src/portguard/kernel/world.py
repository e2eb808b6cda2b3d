"""The world as the daemon sees it: one protocol for each edge, kept by the real things and by the fakes.

``tests/contract`` runs one list of cases on both sides.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from portguard.model.listener import Listener, Owner
    from portguard.model.net import AddressSet, IPAddress, Transport
    from portguard.model.ruleset import Ruleset, RulesetChange, Table, TableKey
    from portguard.model.snapshot import Connection, Gap, Links, Surroundings
    from portguard.model.transaction import Transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class Events:
    """What a read of the announcements brought."""

    changes: tuple[RulesetChange, ...] = ()
    """Transactions in the order in which the kernel committed them."""
    lost: bool = False
    """Announcements were lost: what happened meanwhile is unknown, so everything has to be read again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A socket that began to listen, as it was announced. It may be closed by now."""

    transport: Transport
    address: IPAddress
    port: int
    at: float
    """Monotonic time, seconds. The kernel announces it a moment before it can be seen."""
    ours: bool | None
    """Whether its process was in this network namespace; None where that could not be told."""
    owner: Owner
    """Who called listen(); name and number of the thread where nothing else is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenNews:
    """What a read of the announcements of new listeners brought. They are those of the whole machine."""

    opened: tuple[Opened, ...] = ()
    """In the order in which each core announced them."""
    look: bool = False
    """Something began or ceased to listen, perhaps here."""
    lost: bool = False
    """Announcements were lost."""


class Firewall(Protocol):
    """The nftables ruleset of one network namespace."""

    meanwhile: Callable[[], None]
    """Called now and then while tables are being read, which takes seconds with very many rules. By raising it ends that."""

    @property
    def port_id(self) -> int:
        """Netlink port of the socket that commits: announcements that carry it are our own. 0 until the first use."""

    def generation(self) -> int:
        """Tell the number of the ruleset's present state; it rises with each commit. Raises ObserveError.

        One change makes no generation and is not announced: a table with ``flags owner`` goes when its owner ends.
        """

    def read(self) -> Ruleset:
        """Read all tables as of one generation; a table that cannot be read is named in ``unreadable``.

        Raises ObserveError when the ruleset as a whole cannot be read.
        """

    def read_table(self, key: TableKey) -> Table | None:
        """Read one table, at a cost that does not grow with the others; None when there is none of that name.

        Raises ObserveError.
        """

    def check(self, tx: Transaction) -> None:
        """Ask the kernel whether it would take the transaction; nothing is changed. Raises NftError."""

    def commit(self, tx: Transaction) -> int:
        """Apply all of the transaction or nothing; returns the generation that holds it. Raises NftError.

        A transaction that changes nothing makes no new generation.
        """


class Sockets(Protocol):
    """Sockets that accept traffic in one network namespace."""

    def listeners(self) -> tuple[Listener, ...]:
        """All listeners, sorted: equal when nothing changed. Raises ObserveError."""

    def expect(self, processes: frozenset[int]) -> None:
        """Name processes that were seen to listen: looking for the owners of new sockets there first saves time."""

    def owner_gaps(self) -> tuple[Gap, ...]:
        """Owners that could not be looked up, as of the last ``listeners()``."""


class LinkReader(Protocol):
    """Interfaces, addresses, routes and neighbours of one network namespace."""

    def read(self) -> Links:
        """Read them all, sorted: equal when nothing changed. Raises ObserveError."""


class PeerReader(Protocol):
    """Connections of one network namespace, by their peers."""

    def connections(self, networks: AddressSet) -> tuple[Connection, ...]:
        """All connections with a peer in these networks, sorted. Raises ObserveError."""


class SurroundingsReader(Protocol):
    """Files of other programs that tell of addresses."""

    def read(self) -> Surroundings:
        """Read them all; what cannot be read is a gap in what is returned."""


class RulesetEvents(Protocol):
    """Announcements of committed nftables transactions."""

    def fileno(self) -> int:
        """Descriptor that is readable when there is something to read."""

    def read(self) -> Events:
        """Take everything announced so far; never blocks."""


class LinkEvents(Protocol):
    """Announcements of changed interfaces, addresses, routes and neighbours."""

    def fileno(self) -> int:
        """Descriptor that is readable when there is something to read."""

    def drain(self) -> bool:
        """Take everything announced so far, and say whether to read the links again; never blocks."""


class ListenEvents(Protocol):
    """Announcements of sockets that begin or cease to listen, where the kernel makes them."""

    @property
    def reason(self) -> str | None:
        """Why nothing is announced, so that listeners are found by polling alone; None when they are."""

    def fileno(self) -> int | None:
        """Descriptor that is readable when there is something to read; None when nothing is announced."""

    def read(self) -> ListenNews:
        """Take everything announced so far; never blocks."""

    def still_on(self) -> bool:
        """Say whether announcements are still made, for a slow pass to ask; ``reason`` says why not."""


class Clock(Protocol):
    """Time, as an argument."""

    def monotonic(self) -> float:
        """Seconds since some moment; never goes back."""

    def now(self) -> datetime:
        """Tell the present time, in UTC."""


def nothing() -> None:
    """Do nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """All edges of one network namespace."""

    firewall: Firewall
    sockets: Sockets
    links: LinkReader
    peers: PeerReader
    surroundings: SurroundingsReader
    ruleset_events: RulesetEvents
    link_events: LinkEvents
    listen_events: ListenEvents
    clock: Clock
    closing: Callable[[], None] = nothing
    """Releases what the edges hold."""

    def close(self) -> None:
        """Release the sockets that the edges hold; the world is not usable afterwards."""
        self.closing()
