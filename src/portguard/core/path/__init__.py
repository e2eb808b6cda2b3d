"""The truth about a path: what a ruleset does with new connections from the network to one port of this host.

The evaluation is symbolic: all sources at once go through the base chains in the kernel's order, each rule divides them
into those that match and those that do not, and the answer is a partition of the sources. A rule of which it cannot be
known whether it matches lets the sources go both ways; where the two ways end differently, the answer is ``unknown``
with the reason, and where they end alike it is that end. So nothing that is not understood is ever guessed.

::

    ask --> packet + sources --> hooks: ingress, prerouting, input (forward, postrouting for what is translated away)
                                   | each base chain: walk (rules compiled once per table) --> fates
                                   v                              ^
                                 report: sweep over all fates     | footprint: what was looked at; known: answers by
                                   v                              |            footprint, for other ports and rulesets
                                 branches

What it takes for granted: packets are ordinary first packets (see ``packet``), forwarding is on where a translation
sends them elsewhere, and no program beside netfilter (tc, XDP, IPVS) interferes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from portguard.core.path.footprint import Footprint, Found, Step, look
from portguard.core.path.hooks import Route
from portguard.core.path.known import Known
from portguard.core.path.packet import Flow, Packet
from portguard.core.path.report import forget_parts, report
from portguard.core.path.tables import compiled, keep_only
from portguard.core.path.world import OTHER, World
from portguard.model.net import AddressSet, Transport

if TYPE_CHECKING:
    from portguard.core.path.walk import Fate
    from portguard.model.path import PathClass, PathReport
    from portguard.model.ruleset import Chain, Ruleset, TableKey
    from portguard.model.snapshot import Links

__all__ = ["evaluate", "settle"]


class _Question(NamedTuple):
    """All that an answer depends on beside the rules on the way."""

    transport: str
    port: int | None
    """None: any port, as long as the rules on the way do not tell it apart from the one that was asked about."""
    destination: AddressSet
    sources: AddressSet
    interfaces: frozenset[str]
    frame: object
    """Stands for the base chains of the ruleset, and for the links."""


class _Frame(NamedTuple):
    """What decides which chains a packet enters, told by content."""

    chains: tuple[tuple[TableKey, tuple[str, ...], tuple[Chain, ...]], ...]
    unreadable: tuple[tuple[TableKey, str], ...]
    links: Links | None


class _Memory:
    """Answers found before, and what they belong to."""

    def __init__(self) -> None:
        self._framed: tuple[Ruleset, Links | None] | None = None
        self._frame: _Frame | None = None
        self._standing: object = object()
        self.known = Known()

    def settle(self, ruleset: Ruleset | None) -> None:
        self.known.turn()
        keep_only(ruleset)
        forget_parts()
        if self._framed is not None and self._framed[0] is not ruleset:
            self._framed = None

    def frame(self, ruleset: Ruleset, links: Links | None) -> object:
        """Give an object that stands for base chains and links: the same one as long as they are equal."""
        framed = self._framed
        if framed is None or framed[0] is not ruleset or framed[1] is not links:
            chains = tuple(
                (key, table.flags, tuple(chain for chain in table.chains.values() if chain.base))
                for key, table in ruleset.tables.items()
            )
            frame = _Frame(chains, tuple(ruleset.unreadable.items()), links)
            if frame != self._frame:
                self._frame, self._standing = frame, object()
            self._framed = (ruleset, links)
        return self._standing


_MEMORY = _Memory()


def settle(ruleset: Ruleset | None) -> None:
    """Say that all is asked for now, and which ruleset will be asked about next: what it has no use for is let go of."""
    _MEMORY.settle(ruleset)


def evaluate(ruleset: Ruleset, ask: PathClass, links: Links | None = None) -> PathReport:
    """Partition the sources asked about by what the ruleset does with a new connection of each.

    With ``links`` a source comes in by the interface that leads back to it, and own addresses are known; without,
    any interface but loopback is possible. Sources of an IP version of which the destination has no address are not
    part of the answer: nothing is served there. The transport is a single one: TCP, UDP or ICMP (echo request).
    """
    if ask.transport not in {Transport.TCP, Transport.UDP, Transport.ICMP}:
        raise AssertionError(f"a path is asked about for one transport, not {ask.transport}")
    interfaces = _interfaces(ruleset, ask, links)
    frame = _MEMORY.frame(ruleset, links)
    of_port = _Question(ask.transport.value, ask.port, ask.destination, ask.sources, interfaces, frame)
    of_any = of_port._replace(port=None)

    def see(step: Step) -> Found | None:
        table = ruleset.tables.get(step.table)
        return None if table is None else look(step, compiled(table), ask.port)

    for question in (of_any, of_port):
        if (found := _MEMORY.known.find(question, see)) is not None:
            return found
    footprint = Footprint(ask.port)
    answer = report(_fates(ruleset, ask, World(links, _own(ask, links)), interfaces, footprint))
    _MEMORY.known.keep(of_port if footprint.translated else of_any, footprint.steps.items(), answer)
    return answer


def _fates(
    ruleset: Ruleset, ask: PathClass, world: World, interfaces: frozenset[str], footprint: Footprint
) -> dict[int, list[Fate]]:
    """Send the packets of both IP versions on their way."""
    fates: dict[int, list[Fate]] = {}
    for version in (4, 6):
        sources, destination = ask.sources.version(version), ask.destination.version(version)
        if not sources or not destination:
            continue
        route = Route(ruleset, world, footprint)
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
    return fates


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
