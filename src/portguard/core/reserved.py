"""Find any use of a range that nobody but the product itself may use."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from portguard.model.finding import Finding, Kind, Severity
from portguard.model.net import AddressSet

if TYPE_CHECKING:
    from collections.abc import Iterator

    from portguard.model.net import IPNetwork
    from portguard.model.policy import Policy
    from portguard.model.snapshot import Links, Snapshot


def reserved_findings(policy: Policy, snapshot: Snapshot) -> Iterator[Finding]:
    """Name each interface on which a reserved address, route or neighbour stands; one finding per interface.

    An address brings its connected route along, and its neighbours: to an administrator that is one thing.
    """
    if snapshot.links is None:
        return
    names = {interface.index: interface.name for interface in snapshot.links.interfaces}
    uses: dict[str, list[str]] = {}
    for index, text in _uses(snapshot.links, policy.reserved):
        name = names.get(index, f"interface {index}") if index is not None else "no interface"
        if not any(fnmatchcase(name, pattern) for pattern in policy.reserved_interfaces):
            uses.setdefault(name, []).append(text)
    for name, texts in sorted(uses.items()):
        yield Finding(
            kind=Kind.RESERVED_ADDRESS_IN_USE,
            severity=Severity.CRITICAL,
            message=f"{texts[0]} on {name} lies in the reserved range {policy.reserved}",
            subject=name,
            address=texts[0].split()[1].partition("/")[0],
            evidence={"uses": texts, "interface": name},
        )


def _uses(links: Links, reserved: AddressSet) -> Iterator[tuple[int | None, str]]:
    for interface in links.interfaces:
        for address, length in interface.addresses:
            if address in reserved:
                yield interface.index, f"address {address}/{length}"
    for route in links.routes:
        if _inside(route.network, reserved):
            yield route.interface, f"route {route.network}"
        elif route.gateway is not None and route.gateway in reserved:
            yield route.interface, f"gateway {route.gateway}"
    for neighbour in links.neighbours:
        if neighbour.address in reserved:
            yield neighbour.interface, f"neighbour {neighbour.address}"


def _inside(network: IPNetwork, reserved: AddressSet) -> bool:
    """Say whether a network lies wholly in the range; a wider one that merely contains it is no use of it."""
    return not AddressSet.of(network) - reserved
