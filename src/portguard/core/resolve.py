"""Fill this site's networks into the documents: catalogue + configuration -> policy."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from portguard.errors import ConfigError, Fault
from portguard.model.flow import FEATURE, ONLY_LOCALHOST, REQUIRED, Flow, Scope
from portguard.model.net import EVERYTHING, AddressSet, PortRange, Transport
from portguard.model.policy import Direction, Mode, Policy, Service, UndefinedZone
from portguard.text import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterator

    from portguard.model.config import Config
    from portguard.model.flow import Catalogue

ANY = "any"
"""The zone that holds every address."""

NEVER_OPEN_TO_ALL = frozenset({"redis", "redis-sentinel", "redis-cluster", "jmx", "jmx-rmi", "jdwp"})
"""Applications whose undefined clients are let in from nowhere: a wrong guess here is a breach, not an outage."""

_WIDE = 64
"""A range of more ports than this is a path from which single ports are picked, never a list of listeners."""


class _Side(NamedTuple):
    """The far side of a flow as this site knows it."""

    zone: str
    peers: AddressSet
    undefined: bool


def resolve(config: Config, catalogue: Catalogue) -> Policy:
    """Work out what must be open on this host, and to whom.

    Raises ConfigError for a role that does not exist, and in the modes that close anything for each zone that a flow
    needs and the configuration does not define: closing a port to a guessed set of clients would lock people out.
    """
    faults: list[Fault] = []
    components: list[str] = []
    features = set(config.features)
    for role in config.roles:
        known = catalogue.role_by_id.get(role)
        if known is None:
            hint = did_you_mean(role, catalogue.role_by_id)
            faults.append(Fault(file=_file(config), path="role", message=f"no role {role!r}{hint}"))
        else:
            components += [name for name in known.components if name not in components]
            features.update(known.features)
    if faults:
        raise ConfigError(faults)

    resolver = _Resolver(config, catalogue, frozenset(components), frozenset(features))
    services = [*resolver.failsafe(), *resolver.extras()]
    for flow in sorted(catalogue.flows, key=lambda flow: flow.id):
        if resolver.in_use(flow):
            services += resolver.services(flow)
    undefined = tuple(
        UndefinedZone(zone=zone, flows=tuple(flows), opened_to_anyone=bool(opened))
        for (zone, opened), flows in sorted(resolver.undefined.items())
    )
    faults = list(_closing_faults(config, undefined))
    if faults:
        raise ConfigError(faults)
    reserved = AddressSet.of(*(row.network for row in catalogue.reserved), *config.reserved)
    return Policy(
        roles=config.roles,
        mode=config.mode,
        manager=config.manager,
        services=tuple(services),
        zones={**config.zones, **config.hosts},
        undefined=undefined,
        reserved=reserved,
        reserved_interfaces=config.reserved_interfaces,
        admins=config.zones.get("admins", AddressSet()),
        limits=config.limits,
        confirm_within=config.confirm_within,
        listener_grace=config.listener_grace,
        config_digest=config.digest,
        catalogue_digest=catalogue.digest,
    )


def _closing_faults(config: Config, undefined: tuple[UndefinedZone, ...]) -> Iterator[Fault]:
    """Find why a mode that closes anything may not be entered."""
    if not config.mode.closes:
        return
    if config.mode is Mode.ENFORCE:
        yield Fault(
            file=_file(config),
            path="mode",
            message="enforce denies what is not documented and is not available in this version; use contain",
        )
    for row in undefined:
        yield Fault(
            file=_file(config),
            path=f"hosts.{row.zone}" if "/" in row.zone else f"zones.{row.zone}",
            message=f"must be defined before mode {config.mode.value} may close anything: "
            f"needed by {', '.join(row.flows)}",
        )


def _file(config: Config) -> str:
    return str(config.files[0]) if config.files else "configuration"


class _Resolver:
    """Holds what every flow is resolved against, and collects the zones that nobody defined."""

    def __init__(
        self, config: Config, catalogue: Catalogue, components: frozenset[str], features: frozenset[str]
    ) -> None:
        self.config = config
        self.features = features
        self.catalogue = catalogue
        self.components = components
        self.undefined: dict[tuple[str, bool], list[str]] = {}

    def in_use(self, flow: Flow) -> bool:
        """Say whether the flow concerns this host: not an unused feature, and one end stands here."""
        if not flow.in_use(self.features):
            return False
        return flow.server in self.components or any(client in self.components for client in flow.clients)

    def failsafe(self) -> Iterator[Service]:
        for row in self.config.failsafe:
            name = f"failsafe/{row.transport}-{row.ports}"
            yield self._added(name, row.transport, row.ports, row.zone, unit=None)

    def extras(self) -> Iterator[Service]:
        for row in self.config.extra:
            name = f"extra/{row.transport}-{row.ports}"
            yield self._added(name, row.transport, row.ports, row.zone, unit=row.unit)

    def _added(
        self, name: str, transport: Transport, ports: PortRange, zone: str, *, unit: str | None
    ) -> Service:
        side = self._side(zone, name, sensitive=False)
        return Service(
            flow=name,
            transport=transport,
            ports=ports,
            direction=Direction.INBOUND,
            zone=side.zone,
            peers=side.peers,
            need="optional",
            application=name.partition("/")[0],
            listener_expected=False,
            unit=unit,
        )

    def services(self, flow: Flow) -> Iterator[Service]:
        """Resolve one flow to its services: one per transport, port range and far side."""
        if flow.server in self.components:
            for side in self._clients(flow):
                yield from self._expand(flow, Direction.INBOUND, side)
        else:
            side = self._side(flow.server, flow.id, sensitive=False, report=False)
            yield from self._expand(flow, Direction.OUTBOUND, side)

    def _clients(self, flow: Flow) -> Iterator[_Side]:
        """Far sides that the flow lets in. Clients on this very host need no path: loopback is always open."""
        local = flow.need == ONLY_LOCALHOST or flow.scope is Scope.LOCALHOST
        sides: list[_Side] = []
        if not local:
            for client in flow.clients:
                here = client in self.components
                if here and client not in self.config.hosts:
                    continue
                sides.append(self._side(client, flow.id, sensitive=flow.application in NEVER_OPEN_TO_ALL))
        yield from sides or [_Side("this host", AddressSet(), undefined=False)]

    def _side(self, name: str, flow: str, *, sensitive: bool, report: bool = True) -> _Side:
        if name == ANY:
            return _Side(ANY, EVERYTHING, undefined=False)
        component = self.catalogue.component_by_id.get(name)
        peers = self.config.zones.get(name) if component is None else self.config.hosts.get(name)
        if peers is None and component is not None and component.zone is not None:
            # It runs on hosts that are a zone already: on every workstation, say.
            return self._side(component.zone, flow, sensitive=sensitive, report=report)
        if peers is not None:
            return _Side(name, peers, undefined=False)
        if report:
            self.undefined.setdefault((name, not sensitive), []).append(flow)
        return _Side(name, AddressSet() if sensitive else EVERYTHING, undefined=True)

    def _expand(self, flow: Flow, direction: Direction, side: _Side) -> Iterator[Service]:
        override = self.config.settings.get(flow.setting) if flow.setting else None
        ranges: tuple[PortRange | None, ...] = (override,) if override else flow.ports or (None,)
        inbound = direction is Direction.INBOUND
        local = inbound and side.zone == "this host"
        for transport in flow.transport.each() or (Transport.UNKNOWN,):
            for ports in ranges if transport is not Transport.ICMP else (None,):
                expected = (
                    inbound
                    and ports is not None
                    and (flow.need == REQUIRED or flow.need.startswith(FEATURE))
                    and not flow.dynamic
                    and len(ports) <= _WIDE
                    # "TCP/UDP" in one cell does not say that both are listened on; TCP is the one that is.
                    and not (flow.transport is Transport.BOTH and transport is Transport.UDP)
                )
                yield Service(
                    flow=flow.id,
                    transport=transport,
                    ports=ports,
                    direction=direction,
                    zone=side.zone,
                    peers=side.peers,
                    need=flow.need,
                    application=flow.application,
                    local=local,
                    listener_expected=expected,
                    dynamic=flow.dynamic or (ports is not None and len(ports) > _WIDE),
                )
