"""A site to test with: policies, listeners, links and rulesets with sane defaults."""

from __future__ import annotations

import ipaddress
from functools import cache
from typing import TYPE_CHECKING

from portguard.catalogue.load import load
from portguard.core.resolve import resolve
from portguard.model.config import Config, Failsafe
from portguard.model.listener import Listener, Owner
from portguard.model.net import AddressSet, PortRange, Transport
from portguard.model.policy import Mode, Policy
from portguard.model.ruleset import Chain, Json, Rule, Ruleset, Table, TableKey
from portguard.model.snapshot import Interface, Links, Snapshot

if TYPE_CHECKING:
    from portguard.model.flow import Catalogue

ZONES = {
    "workstations": AddressSet.of("10.1.0.0/16", "2001:db8:1::/48"),
    "printers": AddressSet.of("10.2.0.0/16"),
    "admins": AddressSet.of("10.9.0.0/24"),
}
HOSTS = {"printum/redis-sentinel": AddressSet.of("10.0.0.11")}
LINKS = Links(
    interfaces=(
        Interface(index=1, name="lo", up=True, addresses=((ipaddress.ip_address("127.0.0.1"), 8),)),
        Interface(
            index=2,
            name="eth0",
            up=True,
            addresses=((ipaddress.ip_address("10.1.0.1"), 16), (ipaddress.ip_address("2001:db8:1::1"), 64)),
        ),
    )
)


@cache
def catalogue() -> Catalogue:
    """Read the shipped catalogue once."""
    return load()


def config(**changes: object) -> Config:
    """Configure an all-in-one Printum server."""
    given: dict[str, object] = {
        "roles": ("printum/all-in-one",),
        "mode": Mode.HEAL,
        "zones": ZONES,
        "hosts": HOSTS,
        "failsafe": (Failsafe(transport=Transport.TCP, ports=PortRange(22, 22), zone="admins"),),
        "listener_grace": 0.0,
    }
    return Config(**{**given, **changes})  # type: ignore[arg-type]


def policy(**changes: object) -> Policy:
    """Resolve that configuration."""
    return resolve(config(**changes), catalogue())


def listener(port: int, address: str = "0.0.0.0", **changes: object) -> Listener:
    """Bind a socket."""
    given: dict[str, object] = {
        "transport": Transport.TCP,
        "address": ipaddress.ip_address(address),
        "port": port,
        "inode": port,
        "cookie": port,
        "owner": Owner(process="server", unit="server.service", pid=100 + port),
    }
    return Listener(**{**given, **changes})  # type: ignore[arg-type]


def documented(policy_: Policy) -> tuple[Listener, ...]:
    """Bind every socket that the policy expects, on both IP versions."""
    ports = sorted(
        {(row.transport, row.ports.first) for row in policy_.inbound if row.listener_expected and row.ports}
    )
    return tuple(listener(port, "::", transport=transport, v6only=False) for transport, port in ports)


def ruleset(*tables: Table, generation: int = 1) -> Ruleset:
    """Put tables together."""
    return Ruleset(generation=generation, tables={table.key: table for table in tables})


def match(protocol: str, field: str, right: Json) -> Json:
    """Match a field of a header."""
    return {
        "match": {"op": "==", "left": {"payload": {"protocol": protocol, "field": field}}, "right": right}
    }


def input_table(
    *exprs: tuple[Json, ...], policy: str = "accept", name: str = "filter", priority: int = 0
) -> Table:
    """Make somebody's table with a chain on the input hook."""
    rules = tuple(Rule(chain="input", handle=10 + number, expr=expr) for number, expr in enumerate(exprs))
    chain = Chain(name="input", handle=1, type="filter", hook="input", priority=priority, policy=policy)
    return Table(key=TableKey("inet", name), handle=1, chains={"input": chain}, rules={"input": rules})


ESTABLISHED: tuple[Json, ...] = (
    {"match": {"op": "in", "left": {"ct": {"key": "state"}}, "right": ["established", "related"]}},
    {"accept": None},
)


def snapshot(rules: Ruleset, listeners: tuple[Listener, ...] = (), links: Links | None = LINKS) -> Snapshot:
    """See the world."""
    return Snapshot(listeners=listeners, ruleset=rules, links=links)
