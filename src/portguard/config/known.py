"""What the rest of a configuration may refer to: names and reserved ranges, from the catalogue and from itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from portguard.config import values
from portguard.model.policy import ANYONE
from portguard.text import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from portguard.model.flow import Catalogue
    from portguard.model.net import IPNetwork

ANY = "any"
"""The zone of every address; it cannot be defined otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """Names that may be used, and ranges that may not."""

    roles: frozenset[str]
    features: frozenset[str]
    settings: frozenset[str]
    components: frozenset[str]
    zones: frozenset[str]
    """Zones of the catalogue."""
    defined: frozenset[str]
    """Names that this configuration defines in ``[zones]``."""
    used: frozenset[str]
    """Names that its own entries give in ``from``: a zone of the site's own is one that these use."""
    reserved: tuple[tuple[IPNetwork, str], ...]
    """Ranges, each with who reserves it."""
    names: bool = True
    """False when a part of the catalogue or the configuration could not be read: then no name is called unknown."""

    @classmethod
    def of(cls, catalogue: Catalogue, document: Mapping[str, Any], *, names: bool) -> Known:
        """Collect from a catalogue and from a document that is not validated yet."""
        zones = document.get("zones")
        return cls(
            roles=frozenset(catalogue.role_by_id),
            features=frozenset(flow.feature for flow in catalogue.flows if flow.feature),
            settings=frozenset(flow.setting for flow in catalogue.flows if flow.setting),
            components=frozenset(catalogue.component_by_id),
            zones=frozenset(catalogue.zone_by_id),
            defined=frozenset(zones if isinstance(zones, dict) else ()),
            used=frozenset(_used(document)),
            reserved=(
                *((row.network, row.product) for row in catalogue.reserved),
                *((net, "reserved.ranges") for net in _ranges(document)),
            ),
            names=names,
        )

    def check(self, name: str, known: Iterable[str], what: str) -> None:
        """Raise ValueError when a name is not among those known."""
        known = set(known)
        if self.names and name not in known:
            raise ValueError(f"no {what} {values.show(name)}{did_you_mean(name, known)}")

    def check_zone(self, name: str) -> None:
        """Raise ValueError unless a zone may be defined under this name."""
        if name in (ANY, ANYONE):
            raise ValueError(f"{name!r} stands for every address and cannot be defined")
        if name in self.components:
            raise ValueError(f"{name!r} is a component: give its servers in [hosts]")
        if name not in self.zones:
            values.zone_name(name)
            self.check(name, self.zones | self.used, "zone")

    def check_reserved(self, net: IPNetwork) -> None:
        """Raise ValueError when a network lies in a reserved range. One that is wider than the range may hold it."""
        for reserved, owner in self.reserved:
            # Of two networks of one version one holds the other, or they are disjoint.
            if (
                net.version == reserved.version
                and net.prefixlen >= reserved.prefixlen
                and net.network_address in reserved
            ):
                raise ValueError(f"{values.spell(net)} lies in the reserved range {reserved} ({owner})")


def _used(document: Mapping[str, Any]) -> Iterator[str]:
    failsafe = document.get("failsafe")
    inbound = failsafe.get("inbound") if isinstance(failsafe, dict) else None
    for rows in (inbound, document.get("extra")):
        for row in rows if isinstance(rows, list) else ():
            if isinstance(row, dict) and isinstance(row.get("from"), str):
                yield row["from"]


def _ranges(document: Mapping[str, Any]) -> Iterator[IPNetwork]:
    reserved = document.get("reserved")
    ranges = reserved.get("ranges") if isinstance(reserved, dict) else None
    for item in ranges if isinstance(ranges, list) else ():
        try:
            yield values.network(item)
        except ValueError:
            continue  # the schema reports it
