"""The order in which the kernel sends a packet through the base chains of its hooks."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from portguard.core.path.footprint import Step
from portguard.core.path.packet import LOOPBACK, Flow, Tracking, Trail, joined, meets
from portguard.core.path.past import onward
from portguard.core.path.tables import compiled
from portguard.core.path.walk import Fate, Walk
from portguard.model.path import Outcome
from portguard.model.ruleset import only_shuts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from portguard.core.path.footprint import Footprint
    from portguard.core.path.world import World
    from portguard.model.ruleset import Chain, Ruleset, Table

CONNTRACK = -200
"""NF_IP_PRI_CONNTRACK: chains before it see no connection."""
NAT = {"prerouting": -100, "input": 100, "postrouting": 100}
"""Where the kernel calls all nat chains of a hook, whatever their own priority (nf_nat_register_fn)."""


_BRIDGED = ("ingress", "prerouting", "input")
_TIED = "of chains at the priority of nat, which come before the translation is not known"


class Station(NamedTuple):
    """A base chain in the order of its hook."""

    table: Table
    chain: Chain

    @property
    def priority(self) -> int:
        """Priority at which the kernel really calls it."""
        own = self.chain.priority or 0
        return NAT.get(self.chain.hook or "", own) if self.chain.type == "nat" else own


class Route:
    """Sends flows through hook after hook and collects how they end."""

    def __init__(self, ruleset: Ruleset, world: World, footprint: Footprint) -> None:
        self._ruleset = ruleset
        self._world = world
        self._footprint = footprint
        self.fates: list[Fate] = []

    def follow(self, flows: list[Flow], version: int) -> None:
        """Follow new packets from the network card to a socket, or to where they are forwarded."""
        flows = self._hook("ingress", flows, version)
        flows = self._hook("prerouting", flows, version)
        here: list[Flow] = []
        away: list[Flow] = []
        for flow in flows:
            packet = flow.packet
            own = packet.here or not packet.translated or self._world.is_own(version, packet.destination)
            if own and not packet.here and packet.translated and meets(packet.destination, LOOPBACK[version]):
                # The kernel takes such packets from the network only where it was told to (route_localnet).
                unsure = flow._replace(doubt="whether packets from the network get to loopback is not known")
                self.fates.append(Fate(unsure, Outcome.DROPPED))
                here.append(unsure)
                continue
            if own is not False:
                doubt = flow.doubt if own else "whether the translated destination is this host is not known"
                here.append(flow._replace(doubt=doubt))
            if not own:
                doubt = (
                    flow.doubt
                    if own is False
                    else "whether the translated destination is this host is not known"
                )
                away.append(flow._replace(doubt=doubt))
        here = self._hook("input", here, version)
        away = self._hook("postrouting", self._hook("forward", away, version), version)
        ended = self._unread(self._bridged([*here, *away]), version)
        self.fates.extend(Fate(flow, Outcome.OPEN) for flow in ended)

    def _bridged(self, flows: list[Flow]) -> list[Flow]:
        """Tell what a table of family bridge may have dropped before: such tables are not evaluated."""
        for table, chain in (row for hook in _BRIDGED for row in self._ruleset.base_chains(hook, "bridge")):
            for flow in flows[:1]:
                step = Step.of(table.key, chain.name, flow.packet, flow.packet.interfaces)
                self._footprint.step(step, compiled(table))
            ends = compiled(table).ends(chain.name)
            if "dormant" in table.flags or ends is None or not ends[0]:
                continue
            doubt = f"what table {table.key} does with packets that a bridge takes in is not evaluated"
            for flow in flows:
                if any(self._world.may_be_bridge(name) for name in flow.packet.interfaces):
                    trail = Trail(flow.trail, table.key, chain.name, None, "may decide: it is not evaluated")
                    self.fates.append(Fate(flow._replace(trail=trail, doubt=doubt), Outcome.DROPPED))
        return flows

    def _unread(self, flows: list[Flow], version: int) -> list[Flow]:
        """Tell what may be otherwise because of a table that could not be read.

        Whatever got through so far may still be dropped there. What was shut out may have been translated, or marked, there before.
        """
        families = {"inet", "netdev", "ip" if version == 4 else "ip6"}
        shut = tuple(self.fates)
        for key, reason in self._ruleset.unreadable.items():
            if key.family not in families:
                continue
            others = [(flow, Outcome.UNKNOWN) for flow in flows]
            for fate in shut:
                told = Outcome.REFUSED if fate.outcome is Outcome.DROPPED else Outcome.DROPPED
                others.append((fate.flow, told if only_shuts(key) else Outcome.UNKNOWN))
            doubt = f"table {key} could not be read: {reason}"
            for flow, outcome in others:
                step = Trail(flow.trail, key, "", None, "may decide: it could not be read")
                self.fates.append(Fate(flow._replace(trail=step, doubt=doubt), outcome))
        return flows

    def _hook(self, hook: str, flows: list[Flow], version: int) -> list[Flow]:
        flows = [flow._replace(packet=flow.packet._replace(hook=hook)) for flow in flows]
        stations = self._stations(hook, version)
        place = 0
        while place < len(stations) and flows:
            station = stations[place]
            alike = [other for other in stations[place:] if other.priority == station.priority]
            flows = self._at_once(alike, flows)
            place += len(alike)
        if hook == "prerouting":
            flows = [now for flow in flows for now in _tracked(flow, CONNTRACK + 1)]
        return flows

    def _at_once(self, stations: list[Station], flows: list[Flow]) -> list[Flow]:
        """Send flows through base chains of one priority."""
        nat = [station for station in stations if station.chain.type == "nat"]
        others = [station for station in stations if station.chain.type != "nat"]
        orders = [[*nat, *others], [*others, *nat]] if nat and others else [stations]
        out: list[Flow] = []
        for order in orders:
            # When nat was registered, with the first of all its chains, is not to be seen.
            under_way = flows if len(orders) == 1 else [flow._replace(doubt=_TIED) for flow in flows]
            for station in order:
                under_way = self._station(station, under_way)
            out += under_way
        return joined(out) if len(orders) > 1 else out

    def _stations(self, hook: str, version: int) -> list[Station]:
        """Base chains of a hook in the order in which the kernel calls them."""
        families = ("inet", "netdev") if hook == "ingress" else ("inet", "ip" if version == 4 else "ip6")
        found = [
            Station(table, chain)
            for table, chain in self._ruleset.base_chains(hook, *families)
            if "dormant" not in table.flags
        ]
        # All nat chains of a hook are called at one priority, in the order of their own.
        return sorted(found, key=lambda station: station.priority)

    def _station(self, station: Station, flows: list[Flow]) -> list[Flow]:
        """Send flows through one base chain, and note what it did."""
        chain = station.chain
        through: list[Flow] = []
        beside: list[Flow] = []
        for flow in flows:
            for now in _tracked(flow, station.priority) if chain.hook == "prerouting" else (flow,):
                for part, passes in self._concerned(station, now):
                    (through if passes else beside).append(part)
        if through:
            table = compiled(station.table)
            walk = Walk(table, chain, self._world, self._footprint)
            walk.run(through)
            self.fates.extend(walk.fates)
            ends = table.ends(chain.name)
            through = onward(walk.accepted, strict=ends is not None and ends[0])
        out = joined([*beside, *through])
        if chain.hook == "prerouting" and station.priority == CONNTRACK:
            out = [later for flow in out for later in _tracked(flow, CONNTRACK + 1)]
        return out

    def _concerned(self, station: Station, flow: Flow) -> Iterator[tuple[Flow, bool]]:
        """Say whether a flow passes a base chain; both where that is not known."""
        chain = station.chain
        packet = flow.packet
        done = packet.translated if chain.hook == "prerouting" else packet.masked
        if chain.type == "nat" and (done or packet.tracking is not Tracking.NEW):
            # Translations are set up once, that of the source apart from that of the destination, and only for tracked packets.
            yield flow, False
            return
        if "unreadable" in station.table.flags:
            doubt = f"the flags of table {station.table.key} could not be read: it may be dormant"
            yield flow._replace(doubt=doubt), True
            yield flow._replace(doubt=doubt), False
            return
        if chain.hook == "ingress":
            yield from self._at_device(chain, flow)
            return
        yield flow, True

    def _at_device(self, chain: Chain, flow: Flow) -> Iterator[tuple[Flow, bool]]:
        """Divide a flow by the devices of an ingress chain."""
        if chain.devices is None:
            doubt = f"on which devices chain {chain.name} works is not shown by this nft"
            yield flow._replace(doubt=doubt), True
            yield flow._replace(doubt=doubt), False
            return
        at = flow.packet.interfaces & set(chain.devices)
        if at:
            yield flow._replace(packet=flow.packet._replace(interfaces=at)), True
        if rest := flow.packet.interfaces - at:
            other = flow._replace(packet=flow.packet._replace(interfaces=rest))
            carriers = [name for name in chain.devices if self._world.may_carry(name, rest)]
            if carriers:
                doubt = f"whether {carriers[0]} carries the packets of {', '.join(sorted(rest))} is not known"
                yield other._replace(doubt=doubt), True
                yield other._replace(doubt=doubt), False
            else:
                yield other, False


def _tracked(flow: Flow, priority: int) -> tuple[Flow, ...]:
    """Let connection tracking see a flow, where a chain of this priority comes after it."""
    if flow.packet.tracking not in {Tracking.BEFORE, Tracking.TEMPLATE} or priority < CONNTRACK:
        return (flow,)
    tracked = flow._replace(packet=flow.packet._replace(tracking=Tracking.NEW))
    if priority > CONNTRACK:
        return (tracked,)
    doubt = "a chain at the very priority of connection tracking may run before or after it"
    return (flow._replace(doubt=doubt), tracked._replace(doubt=doubt))
