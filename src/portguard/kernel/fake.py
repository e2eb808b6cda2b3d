"""A kernel in memory: one world with a firewall, sockets, links, their announcements and a clock.

It keeps the contract of :mod:`portguard.kernel.world`; ``tests/contract`` holds the real kernel and this one to
the same cases. What it adds are knobs that make it fail, and ``str()``, which prints all of it.
"""

from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import TYPE_CHECKING

from portguard.errors import ObserveError
from portguard.kernel import fake_timeouts
from portguard.kernel.fake_dump import dump
from portguard.kernel.fake_events import FakeLinkEvents, FakeListenEvents, FakeRulesetEvents
from portguard.kernel.world import Opened, World, nothing
from portguard.model.apply import Tables, applied
from portguard.model.listener import Listener, Owner
from portguard.model.net import Transport
from portguard.model.ruleset import Actor, Ruleset, RulesetChange
from portguard.model.snapshot import Connection, Gap, Links, Scope, Surroundings
from portguard.model.transaction import TableOp, Transaction, Verb

if TYPE_CHECKING:
    from collections.abc import Callable

    from portguard.errors import NftError
    from portguard.model.net import AddressSet
    from portguard.model.ruleset import Table, TableKey

SOMEBODY = Actor(comm="nft", pid=4242)
"""Who commits what the test does not name an actor for."""
_OURSELVES = Actor(comm="portguard", pid=1000)
_PORT_ID = 1000


class FakeClock:
    """Time that passes when it is told to."""

    def __init__(self, start: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self._start = start
        self._passed = 0.0

    def monotonic(self) -> float:
        """Seconds since it was made."""
        return self._passed

    def now(self) -> datetime:
        """Tell the present time, in UTC."""
        return self._start + timedelta(seconds=self._passed)

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self._passed += seconds


class FakeKernel:
    """The world in memory. Everything that can happen to it from outside is a method or a knob here."""

    def __init__(self, clock: FakeClock | None = None) -> None:
        self.clock = clock or FakeClock()
        self.commits: list[Transaction] = []
        """Own transactions that were applied, in order."""
        self.fail_next_commit: NftError | None = None
        """Refuse the next own commit with this; the one after it is taken."""
        self.before_commit: Callable[[], object] | None = None
        """Called once, just before the next own commit: somebody else was faster."""
        self.fail_reads: dict[Scope, str] = {}
        """Parts of the world that cannot be read, with the reason: RULESET, LISTENERS, ADDRESSES, CONNECTIONS."""
        self.unreadable: dict[TableKey, str] = {}
        """Tables that cannot be read, with the reason."""
        self.owner_gaps: tuple[Gap, ...] = ()
        self.connections: list[Connection] = []
        """Connections of this host, with whomever."""
        self.surroundings = Surroundings()
        """What files say."""
        self.ruleset_events = FakeRulesetEvents()
        self.link_events = FakeLinkEvents()
        self.listen_events = FakeListenEvents()
        self._nft = Tables()
        self._generation = 1
        self._links = Links()
        self._listeners: dict[int, Listener] = {}
        self._cookies = itertools.count(1)

    def world(self) -> World:
        """Give its edges to the code under test; closing it releases the descriptors."""
        return World(
            firewall=_FakeFirewall(self),
            sockets=_FakeSockets(self),
            links=_FakeLinks(self),
            peers=_FakePeers(self),
            surroundings=_FakeFiles(self),
            ruleset_events=self.ruleset_events,
            link_events=self.link_events,
            listen_events=self.listen_events,
            clock=self.clock,
            closing=self._close,
        )

    @property
    def ruleset(self) -> Ruleset:
        """The ruleset as it is, whatever the knobs say."""
        tables = fake_timeouts.listed(self._nft.tables, self.clock.monotonic())
        return Ruleset(generation=self._generation, tables=tables)

    @property
    def links(self) -> Links:
        """Interfaces, routes and neighbours as they are; setting them is announced."""
        return self._links

    @links.setter
    def links(self, links: Links) -> None:
        self._links = links
        self.link_events.announce()

    @property
    def listeners(self) -> tuple[Listener, ...]:
        """Listeners as they are, sorted."""
        return tuple(sorted(self._listeners.values(), key=_order))

    def foreign(self, tx: Transaction, *, actor: Actor = SOMEBODY) -> int:
        """Let somebody else commit; returns the generation. Raises NftError as the kernel would."""
        return self._commit(tx, actor, own=False)

    def flush(self, *, actor: Actor = SOMEBODY) -> int:
        """Let somebody else run ``nft flush ruleset``; returns the generation."""
        operations = tuple(TableOp(verb=Verb.DELETE, table=key) for key in self._nft.tables)
        return self.foreign(Transaction(operations=operations), actor=actor)

    def lose_events(self) -> None:
        """Drop the announcements not yet read, as the kernel does when they are too many."""
        self.ruleset_events.lose()

    def listen(
        self,
        transport: Transport,
        address: str,
        port: int,
        *,
        v6only: bool = True,
        interface: int | None = None,
        owner: Owner = Owner(),
    ) -> Listener:
        """Let a program listen."""
        cookie = next(self._cookies)
        made = self._listeners[cookie] = Listener(
            transport=transport,
            address=ip_address(address),
            port=port,
            v6only=v6only,
            interface=interface,
            uid=0,
            inode=10_000 + cookie,
            cookie=cookie,
            owner=owner,
        )
        self.listen_events.announce(_opened(made, self.clock.monotonic()))
        return made

    def close(self, listener: Listener) -> None:
        """Let the program that listens close its socket."""
        del self._listeners[listener.cookie]
        self.listen_events.announce()

    def __str__(self) -> str:
        return dump(self.ruleset, self.listeners, self._links)

    def own(self, tx: Transaction) -> int:
        """Commit for the code under test."""
        if self.before_commit is not None:
            hook, self.before_commit = self.before_commit, None
            hook()
        if self.fail_next_commit is not None:
            error, self.fail_next_commit = self.fail_next_commit, None
            raise error
        generation = self._commit(tx, _OURSELVES, own=True)
        self.commits.append(tx)
        return generation

    def check(self, tx: Transaction) -> None:
        """Apply to a copy that is thrown away."""
        applied(self._now(), tx)

    def _commit(self, tx: Transaction, actor: Actor, *, own: bool) -> int:
        """Apply, and announce if it changed something."""
        self._nft, touched = applied(self._now(), tx)
        self._nft = self._now()
        if touched:
            self._generation += 1
            self.ruleset_events.announce(
                RulesetChange(
                    generation=self._generation,
                    own=own,
                    tables=touched,
                    actor=actor,
                    received=self.clock.monotonic(),
                )
            )
        return self._generation

    def _now(self) -> Tables:
        """Give the tables without what has expired by now."""
        return fake_timeouts.passed(self._nft, self.clock.monotonic())

    def _close(self) -> None:
        self.ruleset_events.close()
        self.link_events.close()
        self.listen_events.close()


class _FakeFirewall:
    """The firewall of a fake kernel, as its user sees it."""

    port_id = _PORT_ID

    def __init__(self, kernel: FakeKernel) -> None:
        self._kernel = kernel
        self.meanwhile = nothing

    def generation(self) -> int:
        """Tell the number of the ruleset's present state."""
        self._may_read()
        return self._kernel.ruleset.generation

    def read(self) -> Ruleset:
        """Read all tables that can be read."""
        self._may_read()
        self.meanwhile()
        ruleset, unreadable = self._kernel.ruleset, self._kernel.unreadable
        return replace(
            ruleset,
            tables={key: table for key, table in ruleset.tables.items() if key not in unreadable},
            unreadable={key: reason for key, reason in unreadable.items() if key in ruleset.tables},
        )

    def read_table(self, key: TableKey) -> Table | None:
        """Read one table."""
        self._may_read()
        table = self._kernel.ruleset.tables.get(key)
        if table is not None and key in self._kernel.unreadable:
            raise ObserveError(f"table {key}: {self._kernel.unreadable[key]}")
        return table

    def check(self, tx: Transaction) -> None:
        """Say whether the transaction would be taken."""
        self._kernel.check(tx)

    def commit(self, tx: Transaction) -> int:
        """Apply all of the transaction or nothing."""
        return self._kernel.own(tx)

    def _may_read(self) -> None:
        _fail(self._kernel, Scope.RULESET)


class _FakeSockets:
    """The sockets of a fake kernel, as their user sees them."""

    def __init__(self, kernel: FakeKernel) -> None:
        self._kernel = kernel

    def listeners(self) -> tuple[Listener, ...]:
        """All listeners, sorted."""
        _fail(self._kernel, Scope.LISTENERS)
        return self._kernel.listeners

    def expect(self, processes: frozenset[int]) -> None:
        """Owners are known anyway."""

    def owner_gaps(self) -> tuple[Gap, ...]:
        """Owners that could not be looked up."""
        return self._kernel.owner_gaps


class _FakeLinks:
    """The links of a fake kernel, as their user sees them."""

    def __init__(self, kernel: FakeKernel) -> None:
        self._kernel = kernel

    def read(self) -> Links:
        """Read them all."""
        _fail(self._kernel, Scope.ADDRESSES)
        return self._kernel.links


class _FakePeers:
    """The connections of a fake kernel, as their user sees them."""

    def __init__(self, kernel: FakeKernel) -> None:
        self._kernel = kernel

    def connections(self, networks: AddressSet) -> tuple[Connection, ...]:
        """All connections with a peer in these networks, sorted."""
        _fail(self._kernel, Scope.CONNECTIONS)
        seen = (row for row in self._kernel.connections if row.peer in networks)
        return tuple(sorted(seen, key=lambda row: row.order))


class _FakeFiles:
    """The files of a fake host, as their user sees them."""

    def __init__(self, kernel: FakeKernel) -> None:
        self._kernel = kernel

    def read(self) -> Surroundings:
        """Read them all."""
        return self._kernel.surroundings


def _opened(listener: Listener, now: float) -> Opened | None:
    """Announce a listener as the kernel does: of a UDP socket it tells only that there is one."""
    if listener.transport is not Transport.TCP:
        return None
    address, port, owner = listener.address, listener.port, listener.owner
    return Opened(transport=Transport.TCP, address=address, port=port, at=now, ours=True, owner=owner)


def _fail(kernel: FakeKernel, scope: Scope) -> None:
    """Fail when the knob for this part of the world is set."""
    if scope in kernel.fail_reads:
        raise ObserveError(kernel.fail_reads[scope])


def _order(listener: Listener) -> tuple[str, int, int, int, int]:
    """Key that sorts listeners as the real thing does."""
    address = listener.address
    return (listener.transport, address.version, int(address), listener.port, listener.cookie)
