"""Look at the world through its edges, and turn whatever fails into a gap."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from portguard.daemon.ruleset_view import RulesetView
from portguard.errors import ObserveError
from portguard.exposure.exposures import Exposures
from portguard.exposure.identify import judge_process
from portguard.kernel.legacy import legacy_tables
from portguard.model.net import AddressSet
from portguard.model.ruleset import legacy_key
from portguard.model.snapshot import Gap, Scope, Snapshot

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from portguard.kernel.world import World
    from portguard.model.exposure import Exposure
    from portguard.model.listener import Listener
    from portguard.model.net import IPAddress, Transport
    from portguard.model.ruleset import Ruleset, RulesetChange, Table
    from portguard.model.snapshot import Connection, Links, Surroundings
    from portguard.model.transaction import Transaction

T = TypeVar("T")

_CONNECTIONS = 10.0
"""Seconds between two readings of the connections with reserved networks: 14 ms with 50,000 connections."""


class Observer:
    """Keeps the last reading of each part of the world, and reads again only what may have changed."""

    def __init__(self, world: World, *, legacy: Callable[[], tuple[str, ...]] = legacy_tables) -> None:
        self._world = world
        self._legacy = legacy
        self._gaps: dict[str, Gap] = {}
        self._view = RulesetView(world.firewall)
        self._listeners: tuple[Listener, ...] | None = None
        self._exposures = Exposures(world.clock.monotonic)
        self._links: Links | None = None
        self._links_stale = True
        self._unreadable = False
        self._whole: tuple[Ruleset, tuple[str, ...], Ruleset] | None = None
        """The ruleset of nft, the tables of iptables-legacy, and both together."""
        self._reserved = AddressSet()
        self._connections: tuple[Connection, ...] | None = None
        self._connections_at = float("-inf")
        self._surroundings: Surroundings | None = None
        self._brief: tuple[Listener, ...] = ()
        self._brief_known: Mapping[int, Exposure] = {}
        self._brief_shown = False
        self.standing_gaps: dict[str, Gap] = {}
        """Gaps that others report: a watch that could not be set up, a status file that cannot be written."""

    # --- what changed ------------------------------------------------------------------------------------------

    def ruleset_changed(self, changes: tuple[RulesetChange, ...]) -> None:
        """Note announced transactions."""
        self._view.announced(changes)

    def committed(self, transaction: Transaction) -> None:
        """Note an own transaction."""
        self._view.committed(transaction)

    def set_standing_gap(self, name: str, gap: Gap | None) -> None:
        """Keep a gap that somebody else found in every snapshot, until it is taken back with None."""
        if gap is None:
            self.standing_gaps.pop(name, None)
        else:
            self.standing_gaps[name] = gap

    def links_changed(self) -> None:
        """Note that interfaces, addresses, routes or neighbours changed."""
        self._links_stale = True
        # A lease, or a container network, comes with an address.
        self._surroundings = None

    def watch_for(self, reserved: AddressSet) -> None:
        """Look for connections with these networks."""
        if reserved != self._reserved:
            self._reserved = reserved
            self._connections_at = float("-inf")

    def everything_changed(self) -> None:
        """Forget all readings: announcements were lost."""
        self._view.distrust()
        self._links_stale = True

    def time_passed(self) -> None:
        """Distrust what may have changed without an announcement: the slow pass."""
        if self._view.moved():
            self._view.distrust()
        self._links_stale = True
        self._connections_at = float("-inf")
        self._surroundings = None
        self._exposures.time_passed()

    @property
    def blind(self) -> bool:
        """Whether something could not be read last time, so that it is worth trying again soon."""
        return bool(self._gaps) or self._unreadable

    # --- readings ----------------------------------------------------------------------------------------------

    def own_table(self) -> tuple[Table | None, bool]:
        """Read the own table now; the flag says whether it could be read at all."""
        try:
            return self._view.own_table(), True
        except ObserveError as error:
            self._gap(Scope.RULESET, error)
            return None, False

    def listeners(self) -> bool:
        """Read the listeners; says whether they, or what is known of them, differ from the last reading."""
        before, known = self._listeners, self._exposures.known
        self._listeners = self._read(Scope.LISTENERS, self._world.sockets.listeners)
        return self._exposures.of(self._listeners) is not known or self._listeners != before

    def seen_ports(self) -> frozenset[tuple[Transport, IPAddress, int]] | None:
        """Name the sockets that listened at the last reading; None when it failed."""
        if self._listeners is None:
            return None
        return frozenset((row.transport, row.address, row.port) for row in self._listeners)

    def expect(self, processes: frozenset[int]) -> None:
        """Name processes that were seen to listen, for the next reading."""
        self._world.sockets.expect(processes)

    def show_once(self, brief: tuple[Listener, ...]) -> None:
        """Put listeners that are gone already into the next snapshot."""
        self._brief, self._brief_shown = brief, False
        self._brief_known = {
            cookie: exposure for row in brief for cookie, exposure in judge_process([row]).items()
        }

    def brief_are_over(self) -> bool:
        """Forget listeners that were shown once; says whether there were any."""
        if not self._brief_shown:
            return False
        self._brief, self._brief_known, self._brief_shown = (), {}, False
        return True

    def connections(self) -> bool:
        """Read the connections with reserved networks now and then; says whether they differ from the last reading."""
        now = self._world.clock.monotonic()
        if now < self._connections_at:
            return False
        self._connections_at = now + _CONNECTIONS
        before = self._connections
        self._connections = self._read(
            Scope.CONNECTIONS, lambda: self._world.peers.connections(self._reserved)
        )
        return self._connections != before

    def snapshot(self) -> Snapshot:
        """Read what is stale, and give everything as it is now."""
        ruleset = self._read(Scope.RULESET, self._view.current)
        self.listeners()
        self.connections()
        if self._surroundings is None:
            self._surroundings = self._world.surroundings.read()
        if self._links_stale or self._links is None:
            self._links = self._read(Scope.ADDRESSES, self._world.links.read)
            self._links_stale = self._links is None
        legacy = self._read(Scope.LEGACY_TABLES, self._legacy)
        gaps = [*self._gaps.values(), *self.standing_gaps.values(), *self._world.sockets.owner_gaps()]
        gaps += self._surroundings.gaps
        if legacy:
            gaps.append(
                Gap(
                    scope=Scope.LEGACY_TABLES,
                    reason=f"tables {', '.join(legacy)} are in use, and nft cannot show their rules",
                )
            )
        self._unreadable = ruleset is not None and bool(ruleset.unreadable)
        if ruleset is not None:
            gaps += (
                Gap(scope=f"{Scope.RULESET} {key}", reason=reason)
                for key, reason in ruleset.unreadable.items()
            )
        self._brief_shown = bool(self._brief)
        return Snapshot(
            listeners=self._listeners,
            ruleset=ruleset if ruleset is None else self._beside(ruleset, legacy or ()),
            links=self._links,
            gaps=tuple(sorted(gaps)),
            brief=self._brief,
            connections=self._connections,
            surroundings=self._surroundings,
        )

    def _beside(self, ruleset: Ruleset, legacy: tuple[str, ...]) -> Ruleset:
        """Put the tables of iptables-legacy beside those of nft, as ones that cannot be read. Of the same it is the same object."""
        if not legacy:
            return ruleset
        seen, names, whole = self._whole or (None, (), ruleset)
        if seen is not ruleset or names != legacy:
            hidden = {legacy_key(name): "nft cannot show its rules" for name in legacy}
            whole = replace(ruleset, unreadable={**ruleset.unreadable, **hidden})
            self._whole = ruleset, legacy, whole
        return whole

    def sensitive(self) -> Mapping[int, Exposure]:
        """Name what must never be exposed among the listeners last read."""
        known = self._exposures.known
        return {**known, **self._brief_known} if self._brief_known else known

    def _read(self, scope: Scope, read: Callable[[], T]) -> T | None:
        try:
            value = read()
        except ObserveError as error:
            self._gap(scope, error)
            return None
        self._gaps.pop(scope, None)
        return value

    def _gap(self, scope: Scope, error: ObserveError) -> None:
        self._gaps[scope] = Gap(scope=scope, reason=str(error))
