"""What the vendors document: flows, components, roles, and the lines that say so."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from portguard.model.net import IPNetwork, PortRange, Transport


class Security(StrEnum):
    """Whether the document calls the flow encrypted."""

    PLAIN = "plain"
    ENCRYPTED = "encrypted"
    EITHER = "either"
    UNKNOWN = "unknown"


class Scope(StrEnum):
    """Where a flow runs: across the network, or inside one host."""

    NETWORK = "network"
    LOCALHOST = "localhost"


REQUIRED = "required"
OPTIONAL = "optional"
ONLY_LOCALHOST = "localhost"
NEED_UNKNOWN = "unknown"
FEATURE = "feature:"
"""Prefix of a need that holds only where the administrator lists the feature."""


@dataclass(frozen=True, slots=True, order=True)
class Source:
    """A line of a vendor's document, cited as ``000:19``."""

    document: str
    line: int

    def __str__(self) -> str:
        return f"{self.document}:{self.line}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A vendor's port document."""

    id: str
    product: str
    title: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Zone:
    """A kind of far side that documents speak of: who may be a client, or what a server talks to."""

    id: str
    title: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Component:
    """A product's server part, e.g. ``safeq6/terminal-server``."""

    id: str
    product: str
    title: str
    listens: bool
    """Whether it accepts connections on a server that portguard guards."""
    zone: str | None = None
    """Zone whose networks stand for its hosts where ``[hosts]`` does not name them: what runs on every workstation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Role:
    """The components that one kind of server runs."""

    id: str
    title: str
    components: tuple[str, ...]
    features: tuple[str, ...] = ()
    """Features in use wherever this role is: a payment server has ``payment`` without saying so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """One documented communication."""

    id: str
    product: str
    clients: tuple[str, ...]
    """Zones (``workstations``) and components (``printum/printmanager``) that open the connection."""
    server: str
    """Component or zone that accepts it."""
    transport: Transport
    ports: tuple[PortRange, ...]
    """Ports of the server's side; empty where the document gives none."""
    application: str
    security: Security
    need: str
    """``required``, ``optional``, ``feature:<name>``, ``localhost`` or ``unknown``."""
    scope: Scope
    setting: str | None
    """Name of the setting that supplies or changes the port."""
    purpose: str
    sources: tuple[Source, ...]
    hosts: tuple[str, ...] = ()
    """Host names the document gives for the far side, e.g. ``s3.printum.io``."""
    source_ports: tuple[PortRange, ...] = ()
    """Ports of the client's side; never demanded as listeners."""
    dynamic: bool = False
    """The ports are a range from which single ones are picked at run time: a path, not listeners."""
    note: str | None = None
    """What a reader should know: a contradiction between documents, an odd cell."""
    disputes: tuple[str, ...] = ()
    """Ids of flows whose documents state otherwise about the same thing."""

    def in_use(self, features: Collection[str]) -> bool:
        """Say whether a site with these features has the flow; ``embedded-terminal:ricoh`` implies ``embedded-terminal``."""
        feature = self.feature
        return feature is None or any(name == feature or name.startswith(f"{feature}:") for name in features)

    @property
    def feature(self) -> str | None:
        """Name of the feature that this flow belongs to, if it belongs to one."""
        return self.need.removeprefix(FEATURE) if self.need.startswith(FEATURE) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reserved:
    """A range that nobody but the product itself may use."""

    network: IPNetwork
    product: str
    sources: tuple[Source, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Catalogue:
    """Everything that is documented, of all products. Ids are unique across products."""

    documents: tuple[Document, ...] = ()
    zones: tuple[Zone, ...] = ()
    components: tuple[Component, ...] = ()
    roles: tuple[Role, ...] = ()
    flows: tuple[Flow, ...] = ()
    reserved: tuple[Reserved, ...] = ()
    digest: str = field(default="", compare=False)
    """SHA-256 of the files it was read from, hex."""

    @cached_property
    def role_by_id(self) -> Mapping[str, Role]:
        """Roles by id; every component that listens is also a role of itself alone."""
        alone = {
            component.id: Role(id=component.id, title=f"{component.title}, alone", components=(component.id,))
            for component in self.components
            if component.listens
        }
        return alone | {role.id: role for role in self.roles}

    @cached_property
    def component_by_id(self) -> Mapping[str, Component]:
        """Components by id."""
        return {component.id: component for component in self.components}

    @cached_property
    def zone_by_id(self) -> Mapping[str, Zone]:
        """Zones by id."""
        return {zone.id: zone for zone in self.zones}

    @cached_property
    def flow_by_id(self) -> Mapping[str, Flow]:
        """Flows by id."""
        return {flow.id: flow for flow in self.flows}
