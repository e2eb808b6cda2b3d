"""The truth about a path: what a ruleset does with new connections from the network to one port of this host.

The evaluation is symbolic: all sources at once go through the base chains in the kernel's order, each rule divides them
into those that match and those that do not, and the answer is a partition of the sources. A rule of which it cannot be
known whether it matches lets the sources go both ways; where the two ways end differently, the answer is ``unknown``
with the reason, and where they end alike it is that end. So nothing that is not understood is ever guessed.

::

    ask --> packet + sources --> hooks: ingress, prerouting, input (forward, postrouting for what is translated away)
                                   | each base chain: walk (rules compiled once per table) --> fates
                                   v
                                 report: sweep over all fates --> branches

What it takes for granted: packets are ordinary first packets (see ``packet``), forwarding is on where a translation
sends them elsewhere, and no program beside netfilter (tc, XDP, IPVS) interferes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from portguard.core.path.hooks import Route
from portguard.core.path.packet import Flow, Packet
from portguard.core.path.report import report
from portguard.core.path.tables import compiled, forget_others
from portguard.core.path.world import OTHER, World
from portguard.model.net import AddressSet, Transport

if TYPE_CHECKING:
    from portguard.core.path.walk import Fate
    from portguard.model.path import PathClass, PathReport
    from portguard.model.ruleset import Ruleset
    from portguard.model.snapshot import Links

__all__ = ["evaluate"]


def evaluate(ruleset: Ruleset, ask: PathClass, links: Links | None = None) -> PathReport:
    """Partition the sources asked about by what the ruleset does with a new connection of each.

    With ``links`` a source comes in by the interface that leads back to it, and own addresses are known; without,
    any interface but loopback is possible. Sources of an IP version of which the destination has no address are not
    part of the answer: nothing is served there. The transport is a single one: TCP, UDP or ICMP (echo request).
    """
    if ask.transport not in {Transport.TCP, Transport.UDP, Transport.ICMP}:
        raise AssertionError(f"a path is asked about for one transport, not {ask.transport}")
    forget_others(ruleset)
    world = World(links, _own(ask, links))
    interfaces = _interfaces(ruleset, ask, links)
    fates: dict[int, list[Fate]] = {}
    for version in (4, 6):
        sources, destination = ask.sources.version(version), ask.destination.version(version)
        if not sources or not destination:
            continue
        route = Route(ruleset, world)
        flows = [
            Flow(
                Packet(
                    version=version,
                    transport=ask.transport.value,
                    port=ask.port,
                    destination=destination,
                    interfaces=arrived,
                ),
                part,
            )
            for part, arrived in world.arrivals(version, sources, interfaces)
        ]
        route.follow(flows, version)
        fates[version] = route.fates
    return report(fates)


def _own(ask: PathClass, links: Links | None) -> AddressSet:
    """Addresses known to be this host's."""
    own = ask.destination
    for interface in links.interfaces if links else ():
        own |= AddressSet.of(*(str(address).partition("%")[0] for address, _ in interface.addresses))
    return own


def _interfaces(ruleset: Ruleset, ask: PathClass, links: Links | None) -> frozenset[str]:
    """Interfaces by which the packets may come in. Without links: those that rules name, and one for all others."""
    if ask.interfaces is not None:
        return frozenset(ask.interfaces)
    if links is not None:
        found = frozenset(interface.name for interface in links.interfaces if interface.name != "lo")
        return found or frozenset({OTHER})
    named = {name for table in ruleset.tables.values() for name in compiled(table).interface_names()}
    devices = {
        name
        for table in ruleset.tables.values()
        for chain in table.chains.values()
        for name in chain.devices or ()
    }
    return frozenset((named | devices | {OTHER}) - {"lo"})
