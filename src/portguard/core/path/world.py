"""What the evaluation knows of the host beside its ruleset: interfaces, own addresses, the way to each source."""

from __future__ import annotations

from typing import TYPE_CHECKING

from portguard.core.path.packet import FULL
from portguard.model.net import AddressSet, Intervals, intersect, merge, subtract, union

if TYPE_CHECKING:
    from collections.abc import Iterable

    from portguard.model.snapshot import Links

_MAIN, _DEFAULT = 254, 253
_MULTICAST = {4: (((0xE0000000, 0xEFFFFFFF)),), 6: (((0xFF << 120, (1 << 128) - 1)),)}
_BROADCAST_V4 = ((0, 0x00FFFFFF), (0xFFFFFFFF, 0xFFFFFFFF))

OTHER = "any other interface"
"""Stands for every interface that neither the ruleset nor anybody else names."""


class World:
    """Answers about one host. Without links it answers "not known", never a guess."""

    def __init__(self, links: Links | None, own: AddressSet) -> None:
        self.links = links
        self.own = own
        """Addresses known to be this host's; without links, those asked about."""
        self._names = {interface.index: interface.name for interface in links.interfaces} if links else {}
        self._ways: dict[int, list[tuple[Intervals, frozenset[str]]]] = {}

    def name_of(self, index: int) -> str | None:
        """Name of the interface with an index, where there is one."""
        return self._names.get(index)

    def arrivals(
        self, version: int, sources: Intervals, interfaces: frozenset[str]
    ) -> list[tuple[Intervals, frozenset[str]]]:
        """Tell sources apart by the interfaces by which they come in: those by which this host would answer them.

        A source that no route covers may come in by any of ``interfaces``.
        """
        if self.links is None:
            return [(sources, interfaces)]
        out: list[tuple[Intervals, frozenset[str]]] = []
        rest = sources
        for covered, names in self.ways(version):
            if (part := intersect(rest, covered)) and (known := names & interfaces):
                out.append((part, known))
                rest = subtract(rest, part)
        return [*out, (rest, interfaces)] if rest else out

    def ways(self, version: int) -> list[tuple[Intervals, frozenset[str]]]:
        """Partition the routed addresses by the interfaces that lead to them; routes of other tables may all apply."""
        if version not in self._ways:
            self._ways[version] = self._read_ways(version)
        return self._ways[version]

    def _read_ways(self, version: int) -> list[tuple[Intervals, frozenset[str]]]:
        routes = [] if self.links is None else [r for r in self.links.routes if r.network.version == version]
        routes.sort(key=lambda route: (-route.network.prefixlen, route.table != _MAIN, route.metric))
        parts: dict[frozenset[str], list[tuple[int, int]]] = {}
        rest = FULL[version]
        best: dict[object, int] = {}
        for route in routes:
            if route.table in {_MAIN, _DEFAULT}:
                best.setdefault((route.network, route.table), route.metric)
        seen: set[object] = set()
        for route in routes:
            if route.table not in {_MAIN, _DEFAULT} or route.network in seen:
                continue
            seen.add(route.network)
            first, last = int(route.network.network_address), int(route.network.broadcast_address)
            part = intersect(rest, ((first, last),))
            if not part:
                continue
            rest = subtract(rest, part)
            same = [
                other
                for other in routes
                if other.network == route.network
                and other.table == route.table
                and other.metric == best[(route.network, route.table)]
            ]
            if any(other.interface is None or other.interface not in self._names for other in same):
                continue  # Multipath or unreachable: it says nothing about where they come in.
            names = frozenset(self._names[other.interface] for other in same if other.interface is not None)
            parts.setdefault(names, []).extend(part)
        ways = [(merge(pairs), names) for names, pairs in parts.items()]
        return self._with_other_tables(ways, routes)

    def _with_other_tables(
        self, ways: list[tuple[Intervals, frozenset[str]]], routes: Iterable[object]
    ) -> list[tuple[Intervals, frozenset[str]]]:
        """Add the interfaces of routes that policy rules may prefer: which of the two applies is not known."""
        for route in routes:
            table = getattr(route, "table", _MAIN)
            index = getattr(route, "interface", None)
            if table in {_MAIN, _DEFAULT} or index not in self._names:
                continue
            network = route.network  # type: ignore[attr-defined]
            covered = ((int(network.network_address), int(network.broadcast_address)),)
            name = self._names[index]
            ways = [
                piece
                for part, names in ways
                for piece in (
                    (intersect(part, covered), names | {name}),
                    (subtract(part, covered), names),
                )
                if piece[0]
            ]
        return ways

    def kinds(self, version: int) -> dict[str, Intervals] | None:
        """Tell addresses apart by their routing type as ``fib`` reads it; None where it is not known."""
        if version == 6 and self.links is None:
            return None
        local = union(self.own.version(version), ((0x7F000000, 0x7FFFFFFF),) if version == 4 else ((1, 1),))
        multicast = _MULTICAST[version]
        kinds = {"local": local, "multicast": multicast}
        used = union(local, multicast)
        if version == 4:
            kinds["broadcast"] = subtract(merge((*_BROADCAST_V4, *self._broadcasts())), used)
            kinds["unicast"] = subtract(FULL[4], union(used, kinds["broadcast"]))
        else:
            routed = merge(pair for part, _ in self.ways(6) for pair in part)
            kinds["unicast"] = subtract(routed, used)
            kinds["unreachable"] = subtract(FULL[6], union(used, routed))
        return kinds

    def _broadcasts(self) -> list[tuple[int, int]]:
        """Directed broadcast addresses of the host's own IPv4 networks."""
        out = []
        for interface in self.links.interfaces if self.links else ():
            for address, length in interface.addresses:
                if address.version == 4 and length < 31:
                    last = int(address) | ((1 << (32 - length)) - 1)
                    out.append((last, last))
        return out

    def is_own(self, version: int, destination: Intervals) -> bool | None:
        """Whether a destination is this host's; None when it is not known, or is partly so."""
        own = self.own.version(version)
        if not subtract(destination, own) and destination:
            return True
        if self.links is None or not destination or intersect(destination, own):
            return None
        return False

    def may_carry(self, name: str, others: frozenset[str]) -> bool:
        """Whether an interface may carry what comes in by others: as a part of them, or beneath them."""
        if self.links is None:
            return True
        found = [interface for interface in self.links.interfaces if interface.name == name]
        for interface in found:
            # A switch of another kind does not tell of its ports; only, they have no addresses of their own.
            if all(address.is_link_local for address, _ in interface.addresses):
                return True
            above = {other.name for other in self.links.interfaces if other.lower == interface.index}
            above.add(self._names.get(interface.master or 0, ""))
            if above & others:
                return True
        return False

    def may_be_bridge(self, name: str) -> bool:
        """Whether an interface has ports whose packets pass the tables of family bridge first."""
        index = next((row.index for row in self.links.interfaces if row.name == name), 0) if self.links else 0
        return self.links is None or any(row.master == index for row in self.links.interfaces if row.master)

    def addresses_on(self, version: int, name: str) -> Intervals:
        """Own addresses on one interface; empty where they are not known."""
        return merge(
            (int(address), int(address))
            for interface in (self.links.interfaces if self.links else ())
            if interface.name == name
            for address, _ in interface.addresses
            if address.version == version
        )

    def out_by(self, version: int, destination: Intervals) -> str | None:
        """Interface by which a forwarded packet leaves; None where it is not known."""
        found: set[str] = set()
        rest = destination
        for covered, names in self.ways(version):
            if intersect(rest, covered):
                found |= names
                rest = subtract(rest, covered)
        return next(iter(found)) if len(found) == 1 and not rest and destination else None
