"""Who reaches which port of this host: one path evaluation per port, shared by everything that asks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from portguard.core.path import evaluate
from portguard.model.net import EVERYTHING, LOOPBACK, AddressSet, merge
from portguard.model.path import Branch, Outcome, PathClass, PathReport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from portguard.model.listener import Listener
    from portguard.model.net import PortRange, Transport
    from portguard.model.ruleset import Ruleset
    from portguard.model.snapshot import Links

FROM_NETWORK = EVERYTHING - LOOPBACK
"""Sources of packets that come in from outside; loopback never passes a firewall's network rules."""


class Reach:
    """Path evaluations over one ruleset. Pure: the same questions have the same answers."""

    def __init__(
        self,
        ruleset: Ruleset | None,
        links: Links | None,
        listeners: Iterable[Listener] | None,
        checkpoint: Callable[[], None] | None = None,
    ) -> None:
        """Begin with no answers. ``checkpoint`` is called before each evaluation, and may end everything by raising."""
        self._ruleset = ruleset
        self._links = links
        self._checkpoint = checkpoint
        self._own = own_addresses(links)
        self._bound: dict[tuple[Transport, int], list[Listener]] = {}
        for listener in listeners or ():
            self._bound.setdefault((listener.transport, listener.port), []).append(listener)
        self._reports: dict[tuple[Transport, int | None], PathReport] = {}

    def port(self, transport: Transport, port: int | None) -> PathReport:
        """Say what happens to new connections from anywhere to a port; unknown where the ruleset could not be read."""
        key = (transport, port)
        if key not in self._reports:
            self._reports[key] = self._evaluate(transport, port)
        return self._reports[key]

    def ports(self, transport: Transport, ports: PortRange | None) -> tuple[PathReport, ...]:
        """Evaluate a service's ports. Of a range both ends are asked: what lies between is not claimed."""
        if ports is None:
            return (self.port(transport, None),)
        return tuple(self.port(transport, port) for port in dict.fromkeys((ports.first, ports.last)))

    def _evaluate(self, transport: Transport, port: int | None) -> PathReport:
        if self._ruleset is None:
            return PathReport(
                branches=(
                    Branch(
                        sources=FROM_NETWORK,
                        outcome=Outcome.UNKNOWN,
                        by=None,
                        reason="the ruleset could not be read",
                    ),
                )
            )
        if self._checkpoint is not None:
            self._checkpoint()
        destination = self.destination(transport, port)
        versions = AddressSet(
            FROM_NETWORK.v4 if destination.v4 else (), FROM_NETWORK.v6 if destination.v6 else ()
        )
        ask = PathClass(transport=transport, port=port, destination=destination, sources=versions)
        return evaluate(self._ruleset, ask, self._links)

    def destination(self, transport: Transport, port: int | None) -> AddressSet:
        """Own addresses at which the port is served; all of them while nobody listens."""
        served = AddressSet()
        for listener in self._bound.get((transport, port), ()) if port is not None else ():
            if not listener.loopback:
                served |= self._served(listener)
        return served or self._own

    def _served(self, listener: Listener) -> AddressSet:
        if listener.wildcard:
            return AddressSet(
                self._own.v4 if 4 in listener.versions else (), self._own.v6 if 6 in listener.versions else ()
            )
        mapped = getattr(listener.address, "ipv4_mapped", None)
        return AddressSet.of(str(mapped or listener.address).partition("%")[0])


def own_addresses(links: Links | None) -> AddressSet:
    """Addresses of this host that others can reach; every address when they could not be read."""
    if links is None:
        return EVERYTHING
    pairs: dict[int, list[tuple[int, int]]] = {4: [], 6: []}
    for interface in links.interfaces:
        for address, _ in interface.addresses:
            if not address.is_loopback:
                pairs[address.version].append((int(address), int(address)))
    return AddressSet(merge(pairs[4]), merge(pairs[6]))
