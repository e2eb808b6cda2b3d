"""Which role a server seems to have, judged by what listens on it: evidence for a person who decides.

A port number proves little. Ports that servers of every kind have (SSH, HTTP, a database) weigh a quarter of the
others, and never make a role by themselves unless something that listens also bears the product's name.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from portguard.core.resolve import resolve
from portguard.model.config import Config
from portguard.model.net import Transport

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from portguard.model.flow import Catalogue, Role
    from portguard.model.listener import Listener

_NAMES = {"safeq6": ("safeq", "ysoft"), "papercut": ("papercut", "pc-app"), "cups": ("cupsd", "cups")}
"""What else than the product's own id its units, programs and packages are called by."""

_GENERAL_TCP = frozenset(
    {
        21,
        22,
        25,
        53,
        80,
        110,
        111,
        139,
        143,
        389,
        443,
        445,
        636,
        1433,
        3306,
        5000,
        5432,
        6379,
        8080,
        8443,
        9090,
    }
)
_GENERAL_UDP = frozenset({53, 67, 68, 111, 123, 137, 138, 161, 162, 514, 5353})
_GENERAL = 0.25
"""Weight of a port that servers of every kind have."""

_STRAY = 0.5
"""Weight of a documented port that listens and does not belong to the role: a host may run other things as well."""

_NAMED = 0.3
"""What a product's name among the listeners adds to the fit of its roles."""

_ENOUGH, _ENOUGH_NAMED = 0.6, 0.3
"""Fits from which a role is proposed: without, and with the product's name among the listeners."""

_MORE_ROLES = 3


class Port(NamedTuple):
    """A port as documents and sockets share it."""

    transport: Transport
    number: int

    def __str__(self) -> str:
        return f"{self.number}/{self.transport}"

    @property
    def general(self) -> bool:
        """Whether servers of every kind have it."""
        return self.number in (_GENERAL_TCP if self.transport is Transport.TCP else _GENERAL_UDP)


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """The ports that one role documents on its own side."""

    required: frozenset[Port]
    """A role without a listener there is not complete."""
    documented: frozenset[Port]
    """Required, optional, and those of every feature."""
    features: Mapping[str, frozenset[Port]]
    """Ports that a feature demands beyond what is required."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A role, and what speaks for and against it."""

    role: Role
    needs: Needs
    fit: float
    """From 0 to 1, and 0.3 more where the product's name was found."""
    listening: tuple[Port, ...]
    missing: tuple[Port, ...]
    """Required, and nobody listens."""
    names: tuple[str, ...]
    """Units, programs and packages that bear the product's name."""

    @property
    def convincing(self) -> bool:
        """Whether it may be proposed, rather than only mentioned."""
        if self.names:
            return self.fit - _NAMED >= _ENOUGH_NAMED
        return self.fit >= _ENOUGH and any(not port.general for port in self.listening)


def candidates(
    catalogue: Catalogue, listeners: Iterable[Listener], *, given: Collection[str] = ()
) -> tuple[Candidate, ...]:
    """Every role that at least one listener speaks for, the best first; ``given`` roles even without any."""
    rows = tuple(listeners)
    open_ports = frozenset(Port(row.transport, row.port) for row in rows)
    needs = {role.id: needs_of(catalogue, role) for role in catalogue.role_by_id.values()}
    anywhere = frozenset[Port]().union(*(row.documented for row in needs.values()))
    words = _words(rows)
    found = [
        _candidate(role, needs[role.id], open_ports & anywhere, _named(role, words))
        for role in catalogue.role_by_id.values()
    ]
    order = {
        role.id: number for number, role in enumerate((*catalogue.roles, *catalogue.role_by_id.values()))
    }
    named = {role.id for role in catalogue.roles}
    return tuple(
        sorted(
            (row for row in found if row.listening or row.role.id in given),
            # Of roles that fit alike the one with more required ports says more; then one that somebody gave a name.
            key=lambda row: (
                -round(row.fit, 6),
                -len(row.needs.required & open_ports),
                row.role.id not in named,
                order[row.role.id],
            ),
        )
    )


def choose(found: tuple[Candidate, ...]) -> tuple[Candidate, ...]:
    """Choose the best role, and further ones of products at work here that explain what it leaves unexplained.

    Nothing where no role is convincing.
    """
    chosen = [row for row in found[:1] if row.convincing]
    if not chosen:
        return ()
    left = frozenset(port for row in found for port in row.listening) - chosen[0].needs.documented
    products = {_product(chosen[0].role)} | {_product(row.role) for row in found if row.names}
    for _ in range(_MORE_ROLES):
        further = [
            row
            for row in found
            if not row.missing
            and _product(row.role) in products
            and any(row.names or not port.general for port in left.intersection(row.listening))
        ]
        if not further:
            break
        # The one that explains most, with the fewest documented ports beyond.
        best = max(
            further, key=lambda row: (len(left.intersection(row.listening)), -len(row.needs.documented))
        )
        chosen.append(best)
        left -= best.needs.documented
    return tuple(chosen)


def features_in_use(
    chosen: Iterable[Candidate], listeners: Iterable[Listener]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Name the features whose every port listens: those that nothing else explains, and those that share their ports."""
    open_ports = frozenset(Port(row.transport, row.port) for row in listeners)
    by_ports: dict[frozenset[Port], list[str]] = {}
    for row in chosen:
        for name, ports in row.needs.features.items():
            if ports and ports <= open_ports and name not in row.role.features:
                by_ports.setdefault(ports, []).append(name)
    sure = [names[0] for names in by_ports.values() if len(set(names)) == 1]
    shared = [name for names in by_ports.values() if len(set(names)) > 1 for name in names]
    return tuple(dict.fromkeys(sorted(sure))), tuple(dict.fromkeys(sorted(shared)))


def needs_of(catalogue: Catalogue, role: Role) -> Needs:
    """Work out which ports a role demands, by the same resolution that guards it later."""
    flows = [row for row in catalogue.flows if row.feature and row.server in role.components]
    features = sorted({row.feature for row in flows if row.feature})
    policy = resolve(Config(roles=(role.id,), features=tuple(features)), catalogue)
    required: set[Port] = set()
    documented: set[Port] = set()
    demanded: dict[str, set[Port]] = {name: set() for name in features}
    for service in policy.inbound:
        if service.ports is None or service.dynamic:
            continue
        numbers = range(service.ports.first, service.ports.last + 1)
        documented.update(Port(service.transport, number) for number in numbers)
        if not service.listener_expected:
            continue
        # Of a short range the first port stands for all: which of them is used, the documents leave open.
        port = Port(service.transport, service.ports.first)
        flow = catalogue.flow_by_id[service.flow]
        if flow.in_use(role.features):
            required.add(port)
        for name in features:
            if flow.feature and flow.in_use((name,)):
                demanded[name].add(port)
    return Needs(
        required=frozenset(required),
        documented=frozenset(documented),
        features={name: frozenset(ports - required) for name, ports in demanded.items()},
    )


def _candidate(role: Role, needs: Needs, open_ports: frozenset[Port], names: tuple[str, ...]) -> Candidate:
    hit = _weight(needs.required & open_ports)
    optional = _weight((needs.documented - needs.required) & open_ports) / 2
    miss = _weight(needs.required - open_ports)
    stray = _STRAY * _weight(open_ports - needs.documented)
    whole = hit + optional + miss + stray
    return Candidate(
        role=role,
        needs=needs,
        fit=((hit + optional) / whole if whole else 0.0) + (_NAMED if names else 0.0),
        listening=tuple(sorted(needs.documented & open_ports, key=_order)),
        missing=tuple(sorted(needs.required - open_ports, key=_order)),
        names=names,
    )


def _weight(ports: Iterable[Port]) -> float:
    return sum(_GENERAL if port.general else 1.0 for port in ports)


def _order(port: Port) -> tuple[int, str]:
    return (port.number, port.transport)


def _product(role: Role) -> str:
    return role.id.partition("/")[0]


def _words(listeners: Iterable[Listener]) -> tuple[str, ...]:
    """Everything that the holders of sockets are called by, once each."""
    owners = [row.owner for row in listeners]
    words = [word for row in owners for word in (row.unit, row.process, row.exe, row.package) if word]
    return tuple(dict.fromkeys(words))


def _named(role: Role, words: tuple[str, ...]) -> tuple[str, ...]:
    """Words that name the role's product: at their beginning, or after anything but a letter."""
    product = _product(role)
    names = "|".join(re.escape(name) for name in (product, *_NAMES.get(product, ())))
    pattern = re.compile(rf"(?<![a-z])(?:{names})", re.IGNORECASE)
    return tuple(word for word in words if pattern.search(word))
