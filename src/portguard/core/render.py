"""Turn the policy into rules: portguard's own table, and the marked rules it puts into other people's chains."""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING

from portguard.model.net import EVERYTHING, Transport
from portguard.model.policy import opened_to
from portguard.model.ruleset import Chain, Json, Rule, Set, Table, TableKey

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from portguard.model.net import Intervals, PortRange
    from portguard.model.policy import Policy, Service

OWN_TABLE = TableKey("inet", "portguard")
OWN_CHAIN = "input"
OWN_PRIORITY = -10
"""Just before the priority that most firewalls use (0): counters see what the others then decide on."""

MARK = "portguard:"
"""Head of the comment of every rule that portguard puts anywhere. A name for people: nothing is decided by it alone."""

ARMED = "armed"
"""Set of the own table that lets the closing rules take effect: protocols, with a timeout until somebody confirms."""

ALLOW_SETS = {4: "portguard_allow4", 6: "portguard_allow6"}
"""Sets that an administrator may refer to in rules of their own, for portguard to fill: address . protocol . port."""

_ADDRESS_TYPE = {4: "ipv4_addr", 6: "ipv6_addr"}
_PROTOCOL = {4: "ip", 6: "ip6"}


def own_table(policy: Policy) -> Table:
    """Render the whole of ``inet portguard`` as the kernel should list it; handles are left at 0.

    Every rule accepts, so their order does not matter: an accept here is final for this chain only, and any other
    base chain can still drop.
    """
    rules = list(_always())
    sets: dict[str, Set] = {}
    for service in policy.inbound:
        rules += (_marked(service, OWN_CHAIN, match) for match in _from_sets(service, sets))
    chain = Chain(name=OWN_CHAIN, type="filter", hook="input", priority=OWN_PRIORITY, policy="accept")
    return Table(key=OWN_TABLE, chains={OWN_CHAIN: chain}, rules={OWN_CHAIN: _distinct(rules)}, sets=sets)


def _always() -> Iterator[Rule]:
    """Rules that keep a host alive whatever else is closed: they come first, before anything of the documents."""
    yield _plain("established", match({"ct": {"key": "state"}}, ["established", "related"], op="in"))
    yield _plain("loopback", match({"meta": {"key": "iifname"}}, "lo"))
    # nft knows these two names by itself; "ipv6-icmp" is known only where there is an /etc/protocols.
    yield _plain("icmp", match({"meta": {"key": "l4proto"}}, {"set": ["icmp", "icmpv6"]}))
    # A DHCP client's answers are not "established": without them the host loses its own address.
    yield _plain("dhcp", match(field("udp", "dport"), 68))
    yield _plain("dhcpv6", match(field("udp", "dport"), 546))


def _plain(name: str, match: Json) -> Rule:
    return Rule(chain=OWN_CHAIN, expr=(match, {"accept": None}), comment=f"{MARK}{name}")


def _from_sets(service: Service, sets: dict[str, Set]) -> Iterator[tuple[Json, ...]]:
    """Matches of one service in the own table, one per IP version; its networks go into a named set of the zone."""
    ports = port_match(service.transport, service.ports)
    peers = opened_to(service)
    if ports is None or not peers:
        return
    if peers == EVERYTHING:
        yield (ports,)
        return
    for version in (4, 6):
        intervals = peers.version(version)
        if not intervals:
            continue
        name = f"{identifier(service.zone)}_{version}"
        sets.setdefault(
            name,
            Set(
                name=name,
                type=(_ADDRESS_TYPE[version],),
                flags=("interval",),
                elements=tuple(elements(intervals, version)),
            ),
        )
        yield (match(field(_PROTOCOL[version], "saddr"), f"@{name}"), ports)


def guest_rules(
    service: Service, chain: str, family: str, versions: Collection[int] = (4, 6)
) -> tuple[Rule, ...]:
    """Render the marked rules of a service for a chain of somebody else's table, for some IP versions.

    The networks are written into the rule: a set would be one more object in a table that is not ours.
    """
    peers = opened_to(service)
    ports = port_match(service.transport, service.ports)
    if peers == EVERYTHING and ports is not None:
        return (_marked(service, chain, (ports,)),)  # one rule for both versions
    rules = []
    for version in {"ip": (4,), "ip6": (6,), "inet": (4, 6)}[family]:
        what = _echo_request(version) if service.transport is Transport.ICMP else ports
        members = list(elements(peers.version(version), version))
        if what is None or not members or version not in versions:
            continue
        sources = members[0] if len(members) == 1 else {"set": members}
        from_peers = () if peers == EVERYTHING else (match(field(_PROTOCOL[version], "saddr"), sources),)
        rules.append(_marked(service, chain, (*from_peers, what)))
    return tuple(rules)


def _marked(service: Service, chain: str, match: tuple[Json, ...]) -> Rule:
    return Rule(chain=chain, expr=_verdict(match), comment=f"{MARK}{service.flow}")


def allow_elements(services: Iterable[Service], version: int) -> tuple[Json, ...]:
    """Elements for ``portguard_allow4`` or ``portguard_allow6``, each once, in a stable order."""
    out: dict[str, Json] = {}
    for service in services:
        if service.ports is None or service.transport not in (Transport.TCP, Transport.UDP):
            continue
        for network in elements(opened_to(service).version(version), version):
            row = {"concat": [network, service.transport.value, _ports(service.ports)]}
            out.setdefault(repr(row), row)
    return tuple(out.values())


def port_match(transport: Transport, ports: PortRange | None) -> Json | None:
    """Match of a transport and its server port; None where there is no port to match."""
    if ports is None or transport not in (Transport.TCP, Transport.UDP):
        return None
    return match(field(transport.value, "dport"), _ports(ports))


def _echo_request(version: int) -> Json:
    """Match of a ping, which has no port."""
    return match(field("icmp" if version == 4 else "icmpv6", "type"), "echo-request")


def elements(intervals: Intervals, version: int) -> Iterator[Json]:
    """Spell address intervals as the kernel lists them: an address, a prefix where it is one, else a range."""
    address = ipaddress.IPv4Address if version == 4 else ipaddress.IPv6Address
    bits = 32 if version == 4 else 128
    for low, high in intervals:
        size = high - low + 1
        if size == 1:
            yield str(address(low))
        elif size & (size - 1) == 0 and low % size == 0:
            yield {"prefix": {"addr": str(address(low)), "len": bits - (size.bit_length() - 1)}}
        else:
            yield {"range": [str(address(low)), str(address(high))]}


def _verdict(match: tuple[Json, ...]) -> tuple[Json, ...]:
    return (*match, {"counter": None}, {"accept": None})


def _distinct(rules: Iterable[Rule]) -> tuple[Rule, ...]:
    """Keep one rule per body: two flows may document the same port for the same zone."""
    seen: dict[str, Rule] = {}
    for rule in rules:
        seen.setdefault(repr(rule.expr), rule)
    return tuple(seen.values())


def match(left: Json, right: Json, *, op: str = "==") -> Json:
    """Spell a comparison."""
    return {"match": {"op": op, "left": left, "right": right}}


def field(protocol: str, name: str) -> Json:
    """Spell a field of a header."""
    return {"payload": {"protocol": protocol, "field": name}}


def _ports(ports: PortRange) -> Json:
    return ports.first if ports.first == ports.last else {"range": [ports.first, ports.last]}


def identifier(name: str) -> str:
    """Make a zone's name one that nft can read back (``man nft``, lexical conventions)."""
    return re.sub(r"[^A-Za-z0-9/_.-]", "_", name)
