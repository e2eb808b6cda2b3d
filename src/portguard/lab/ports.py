"""Which ports the lab listens on, and which it connects to. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from portguard.model.net import Transport
from portguard.model.policy import opened_to

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from portguard.lab.listeners import Spec
    from portguard.lab.topology import Source, Topology
    from portguard.model.policy import Policy, Service

LONGEST_RANGE = 16
"""Ports of a documented range on which the lab stands; of a longer one the products pick single ports at run time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """One connection to try: from where, to which port of the server."""

    source: Source
    zone: str
    """Zone of the service, or ``stranger``."""
    flow: str
    transport: str
    port: int
    version: int = 4

    def __str__(self) -> str:
        return f"{self.source.client} -> {self.port}/{self.transport} (IPv{self.version})"


def documented(policy: Policy) -> list[Spec]:
    """List the listeners for every documented inbound port: on loopback only where nobody outside may come."""
    specs: dict[tuple[str, int], bool] = {}
    for service in policy.inbound:
        for port in ports_of(service):
            key = (service.transport.value, port)
            specs[key] = specs.get(key, True) and service.local
    return [(transport, port, local) for (transport, port), local in sorted(specs.items())]


def ports_of(service: Service) -> range:
    """Ports of a service on which the lab stands; none for ICMP, for what has no port, and for long ranges."""
    ports = service.ports
    if ports is None or service.transport not in (Transport.TCP, Transport.UDP):
        return range(0)
    if service.dynamic or len(ports) > LONGEST_RANGE:
        return range(0)
    return range(ports.first, ports.last + 1)


def probes(policy: Policy, topology: Topology, versions: Iterable[int]) -> list[Probe]:
    """List every documented connection from outside, each from a client of its zone."""
    return [
        probe
        for version in versions
        for service in policy.inbound
        for probe in _probes(service, topology, version)
    ]


def _probes(service: Service, topology: Topology, version: int) -> Iterator[Probe]:
    peers = opened_to(service)
    source = topology.source_for(peers) if peers.version(version) else None
    if source is None:
        return
    for port in ports_of(service):
        yield Probe(
            source=source,
            zone=service.zone,
            flow=service.flow,
            transport=service.transport.value,
            port=port,
            version=version,
        )


def undocumented(policy: Policy, wish: int) -> int:
    """Find a TCP port that no document of the role names, from ``wish`` upwards; ranges of dynamic ports do not count."""
    taken = {
        port
        for service in policy.inbound
        if service.transport is Transport.TCP and service.ports is not None and not service.dynamic
        for port in range(service.ports.first, service.ports.last + 1)
    }
    return next(port for port in range(wish, 65536) if port not in taken)
