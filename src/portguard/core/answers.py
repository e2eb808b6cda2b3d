"""Answers to ``why``: the path of some sources to a port of this host, as the document that is promised. Pure."""

from __future__ import annotations

import ipaddress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from portguard.core.fix import smallest_fix
from portguard.core.path import evaluate
from portguard.core.reach import FROM_NETWORK, Reach, own_addresses
from portguard.errors import UsageError
from portguard.model.net import EVERYTHING, AddressSet, Transport
from portguard.model.path import PathClass
from portguard.model.policy import opened_to

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from portguard.model.listener import Listener
    from portguard.model.net import IPAddress
    from portguard.model.path import Branch
    from portguard.model.policy import Service
    from portguard.model.ruleset import RuleRef, Ruleset
    from portguard.model.snapshot import Snapshot

SCHEMA = 1
ELSE = "anyone else"
_LINK_LOCAL = AddressSet.of("169.254.0.0/16", "fe80::/10")
_MOST = 16
"""Networks of a branch that are spelled."""


class Answers:
    """Answers questions about one snapshot: one reading serves all. Raises UsageError for what makes no sense."""

    def __init__(
        self, snapshot: Snapshot, zones: Mapping[str, AddressSet], services: Sequence[Service] = ()
    ) -> None:
        """Take what was seen, the zones by name, and the inbound services: whom a port is documented for."""
        assert snapshot.ruleset is not None, "without a ruleset there is nothing to answer"
        self._services = services
        self._ruleset: Ruleset = snapshot.ruleset
        self._snapshot = snapshot
        self._zones = zones

    def answer(
        self, port: int, transport: Transport | None, source: str | None, to: str | None
    ) -> dict[str, Any]:
        """Answer one question."""
        listeners = [
            found
            for found in self._snapshot.listeners or ()
            if found.port == port and transport in {None, found.transport}
        ]
        chosen = transport or (listeners[0].transport if listeners else Transport.TCP)
        address = _address(source)
        document: dict[str, Any] = {
            "schema": SCHEMA,
            "port": port,
            "transport": chosen.value,
            "from": source,
            "to": to,
            "listener": self._listener([found for found in listeners if found.transport is chosen]),
        }
        if address is not None:
            destination = self._destination(address, to, self._served(chosen, port))
            document["to"] = str(next(destination.networks()).network_address)
            ask = self._ask(port, chosen, AddressSet.of(str(address)), destination)
            (branch,) = evaluate(self._ruleset, ask, self._snapshot.links).branches
            return document | self._path(ask, branch, fixed=True)
        # Asked about everyone, nobody wants to be told how to let strangers in.
        wanted = AddressSet() if source is None else EVERYTHING
        wanted |= self._documented(port, chosen)
        document["paths"] = [
            {
                "zone": zone,
                "sources": _networks(branch.sources),
                **self._path(
                    # Where a port is for everyone, its rule names no sources: not the hundreds of networks beside the zones.
                    replace(ask, sources=FROM_NETWORK) if zone == ELSE else ask,
                    branch,
                    fixed=not branch.sources - wanted,
                ),
            }
            for zone, sources in self._asked(source)
            for ask in [self._ask(port, chosen, sources, self._own(to) if to else self._served(chosen, port))]
            for branch in evaluate(self._ruleset, ask, self._snapshot.links).branches
        ]
        if not document["paths"]:
            raise UsageError(f"this host has no address of the IP version of {source or 'any source'}")
        return document

    def _asked(self, source: str | None) -> Iterator[tuple[str, AddressSet]]:
        """Name the sets of sources that a question is about."""
        if source is None:
            rest = FROM_NETWORK
            for name, addresses in self._zones.items():
                if addresses:
                    yield name, addresses
                    rest -= addresses
            yield (ELSE if self._zones else "anyone"), rest
            return
        if source in self._zones:
            yield source, self._zones[source]
            return
        try:
            yield source, AddressSet.of(source)
        except ValueError as error:
            if "host bits" in str(error):
                raise UsageError(f"{source} is no network: there are host bits in it") from None
            known = ", ".join(sorted(self._zones)) or "none is configured"
            raise UsageError(f"{source!r} is neither an address, a network nor a zone ({known})") from None

    def _own(self, to: str | None) -> AddressSet:
        own = own_addresses(self._snapshot.links)
        if to is None:
            return own
        address = _address(to)
        if address is None:
            raise UsageError(f"--to {to!r} is not an address")
        if address not in own:
            raise UsageError(f"{to} is not an address of this host")
        return AddressSet.of(str(address))

    def _served(self, transport: Transport, port: int) -> AddressSet:
        """Own addresses at which somebody listens on a port; all of them while nobody does."""
        return Reach(self._ruleset, self._snapshot.links, self._snapshot.listeners).destination(
            transport, port
        )

    def _destination(self, source: IPAddress, to: str | None, served: AddressSet) -> AddressSet:
        """Own address that a client would connect to: the one asked for, else one on the interface towards it where the port is served."""
        own = self._own(to)
        if to is None and served.version(source.version):
            own = served
        if source in self._own(None) or source.is_loopback:
            raise UsageError(f"{source} is this host itself: its connections do not come from the network")
        if source.is_multicast or source.is_unspecified:
            raise UsageError(f"{source} is nobody's address: no connection comes from it")
        if to is None and not source.is_link_local:
            own -= _LINK_LOCAL  # Out of reach for it, and the only IPv6 addresses of many hosts.
        addresses = own.version(source.version)
        if not addresses:
            reason = f"{to} is not" if to else "this host has no such address"
            raise UsageError(f"{source} is IPv{source.version}, and {reason}")
        near = self._on_the_way(source)
        first = next((part for part in near if part in own), None)
        if first is None:
            first = (ipaddress.IPv4Address if source.version == 4 else ipaddress.IPv6Address)(addresses[0][0])
        return AddressSet.of(str(first).partition("%")[0])

    def _on_the_way(self, source: IPAddress) -> list[IPAddress]:
        links = self._snapshot.links
        if links is None:
            return []
        routes = [
            route
            for route in links.routes
            if route.table == 254 and route.network.version == source.version and source in route.network
        ]
        if not routes:
            return []
        best = min(routes, key=lambda route: (-route.network.prefixlen, route.metric))
        found = [
            address
            for interface in links.interfaces
            if interface.index == best.interface
            for address, _ in interface.addresses
            if address.version == source.version
        ]
        return [best.source, *found] if best.source is not None else found

    @staticmethod
    def _ask(port: int, transport: Transport, sources: AddressSet, destination: AddressSet) -> PathClass:
        return PathClass(transport=transport, port=port, destination=destination, sources=sources)

    def _listener(self, listeners: list[Listener]) -> dict[str, Any]:
        if self._snapshot.listeners is None:
            return {"state": "unknown", "address": None, "unit": None}
        if not listeners:
            return {"state": "absent", "address": None, "unit": None}
        best = min(listeners, key=lambda found: (found.loopback, not found.wildcard))
        state = "loopback" if best.loopback else "listening"
        return {"state": state, "address": str(best.address), "unit": best.owner.unit}

    def _documented(self, port: int, transport: Transport) -> AddressSet:
        """Sources that a port is documented for."""
        out = AddressSet()
        for service in self._services:
            if (
                service.transport is transport
                and service.ports is not None
                and service.ports.first <= port <= service.ports.last
            ):
                out |= opened_to(service)
        return out

    def _path(self, ask: PathClass, branch: Branch, *, fixed: bool) -> dict[str, Any]:
        """Describe a path; ``fixed`` asks for the smallest change that would open it."""
        fix = smallest_fix(self._ruleset, ask, branch, self._snapshot.links) if fixed else None
        return {
            "path": {
                "state": branch.outcome.value,
                "by": None if branch.by is None else _rule(branch.by),
                "trail": [{**_rule(step.at), "effect": step.effect} for step in branch.trail],
                "reason": branch.reason,
            },
            "fix": None
            if fix is None
            else {
                "owner": fix.owner.value,
                "command": fix.command,
                "also_opens": list(fix.also_opens[:_MOST]),
                "then": None if fix.then is None else _rule(fix.then),
            },
        }


def _address(text: str | None) -> IPAddress | None:
    """Read a single address, an IPv4 address in the words of IPv6 as such; None when it is something else."""
    try:
        read = None if text is None else ipaddress.ip_address(text)
    except ValueError:
        return None
    return getattr(read, "ipv4_mapped", None) or read


def _networks(sources: AddressSet) -> list[str]:
    """Spell a branch's sources: whole, or the first of them and how many more there are."""
    networks = [str(network) for network in sources.networks()]
    if len(networks) <= _MOST:
        return networks
    return [*networks[:_MOST], f"and {len(networks) - _MOST} more networks"]


def _rule(ref: RuleRef) -> dict[str, Any]:
    return {"table": str(ref.table), "chain": ref.chain, "handle": ref.handle, "text": ref.text}
