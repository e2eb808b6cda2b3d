"""What interfaces, routes and neighbours say of the reserved ranges: their uses there, and what the product itself may use."""

from __future__ import annotations

from fnmatch import fnmatchcase
from functools import cached_property
from ipaddress import ip_network
from typing import TYPE_CHECKING

from portguard.model.finding import Finding, Kind, Severity
from portguard.model.net import AddressSet

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from portguard.model.net import IPAddress, IPNetwork
    from portguard.model.snapshot import Links

_NOWHERE = "no interface"
_HALF = 1
"""Prefix length up to which a route is a default: VPNs write it as two halves."""


class Ground:
    """The ranges, the interfaces on which they are allowed, and the links as last read (None: they could not be)."""

    def __init__(self, reserved: AddressSet, patterns: tuple[str, ...], links: Links | None) -> None:
        self._reserved = reserved
        self._patterns = patterns
        self._links = links

    # --- the ranges --------------------------------------------------------------------------------------------

    def reserves(self, address: IPAddress) -> bool:
        """Say whether an address lies in a range."""
        return address in self._reserved

    def overlap(self, network: IPNetwork) -> AddressSet | None:
        """Give what a network has of the ranges; None where it has nothing of them, or is everything."""
        if network.prefixlen <= _HALF:
            return None
        return (AddressSet.of(network) & self._reserved) or None

    def name(self, part: AddressSet) -> str:
        """Name the ranges that these addresses are of."""
        found = [str(net) for net in self._reserved.networks() if part & AddressSet.of(net)]
        return f"the reserved range{'s' if len(found) > 1 else ''} {', '.join(found)}"

    def around(self, address: IPAddress) -> str:
        """Name the range that an address lies in; all of them for one beside."""
        return self.name(AddressSet.of(str(address)) if self.reserves(address) else self._reserved)

    # --- where the product may use them ------------------------------------------------------------------------

    def allows(self, interface: str | None) -> bool:
        """Say whether an interface is one of the product's own."""
        return interface is not None and any(fnmatchcase(interface, pattern) for pattern in self._patterns)

    def allows_any(self, interfaces: Iterable[str]) -> bool:
        """Say whether one of these interfaces is the product's own."""
        return any(map(self.allows, interfaces))

    def concerned(self, address: IPAddress) -> bool:
        """Say whether an address is known not to be behind an interface of the product's own."""
        if not self._patterns:
            return True
        # Without the links it cannot be told. That they could not be read is a gap already.
        return self._links is not None and not self.allows(self._way_to(address))

    def allowed_address(self, address: IPAddress) -> bool:
        """Say whether an own address stands on an interface of the product's own, or may."""
        if not self._patterns or self._links is None:
            return bool(self._patterns)
        return any(
            address == own and self.allows(interface.name)
            for interface in self._links.interfaces
            for own, _ in interface.addresses
        )

    def _way_to(self, address: IPAddress) -> str | None:
        """Interface of the longest prefix that leads to an address."""
        best, way = -1, None
        for network, interface in self._ways:
            if network.prefixlen > best and network.version == address.version and address in network:
                best, way = network.prefixlen, interface
        return way

    @cached_property
    def _ways(self) -> list[tuple[IPNetwork, str | None]]:
        links = self._links
        if links is None:
            return []
        return [
            *(
                (_network(address, length), interface.name)
                for interface in links.interfaces
                for address, length in interface.addresses
            ),
            *((route.network, self._names.get(route.interface or 0)) for route in links.routes),
        ]

    @cached_property
    def _names(self) -> dict[int, str]:
        return {row.index: row.name for row in self._links.interfaces} if self._links is not None else {}

    # --- what stands there -------------------------------------------------------------------------------------

    def findings(self) -> Iterator[Finding]:
        """Name each interface on which a reserved address, route or neighbour stands, and each with a wider network.

        One finding for an interface: an address brings its connected route along, and its neighbours, and to an administrator that
        is one thing.
        """
        uses: dict[str, list[str]] = {}
        wide: dict[str, list[str]] = {}
        for interface, text, inside in self._uses():
            if not self.allows(interface):
                (uses if inside else wide).setdefault(interface, []).append(text)
        for name, texts in sorted(uses.items()):
            yield Finding(
                kind=Kind.RESERVED_ADDRESS_IN_USE,
                severity=Severity.CRITICAL,
                message=f"{texts[0]} on {name} lies in {self.name(self._reserved)}",
                subject=name,
                address=texts[0].split()[1].partition("/")[0],
                evidence={"surface": "interface", "uses": texts, "interface": name},
            )
        for name, texts in sorted(wide.items()):
            nowhere = name == _NOWHERE
            yield Finding(
                kind=Kind.RESERVED_ADDRESS_IN_USE,
                severity=Severity.NOTICE,
                message=f"{texts[0]} {'leads nowhere, and is of' if nowhere else f'on {name} contains'} "
                f"{self.name(self._reserved)}",
                subject=name if nowhere else f"{name} contains",
                evidence={"surface": "interface", "uses": texts, "interface": name},
            )

    def _uses(self) -> Iterator[tuple[str, str, bool]]:
        """Interface, what stands there, and whether it lies in a range; False: it is wider, or keeps packets from it."""
        links = self._links
        if links is None:
            return
        for interface in links.interfaces:
            for address, length in interface.addresses:
                if self.reserves(address):
                    yield interface.name, f"address {address}/{length}", True
                elif self.overlap(_network(address, length)):
                    yield interface.name, f"address {address}/{length}", False
        for route in links.routes:
            name = self._name(route.interface)
            overlap = self.overlap(route.network)
            inside = overlap is not None and overlap == AddressSet.of(route.network)
            if overlap is not None and route.interface is None and route.gateway is None:
                yield _NOWHERE, f"route {route.network}", False
            elif inside:
                yield name, f"route {route.network}", True
            elif route.gateway is not None and self.reserves(route.gateway):
                yield name, f"gateway {route.gateway}", True
            elif overlap is not None:
                yield name, f"route {route.network}", False
        for neighbour in links.neighbours:
            if self.reserves(neighbour.address):
                yield self._name(neighbour.interface), f"neighbour {neighbour.address}", True

    def _name(self, index: int | None) -> str:
        return _NOWHERE if index is None else self._names.get(index, f"interface {index}")


def _network(address: IPAddress, length: int) -> IPNetwork:
    """Network of an own address."""
    return ip_network((address.packed, length), strict=False)
