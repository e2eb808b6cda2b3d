r"""The rules of mode ``contain``, and the kernel's dead man before them.

Three base chains lead to the closing rules only for protocols in the set ``armed``. Its elements have a timeout until a
person confirms: if nobody can, the kernel forgets them, and nothing is closed any longer, without anybody's help.

::

    prerouting (mangle) --> only @armed, not lo, not established, to this host --> contain      (also what is DNATed)
                       \-> only @armed, not lo, not established                --> reserved_in
    input (-20)        ---> only @armed, not lo, not established                --> contain      (also what is redirected)
    output (-20)       ---> only @armed, not lo, not established                --> reserved_out

Every closing rule drops and carries all its conditions itself, so their order takes no part, as in the rest of the table,
and a rule that is mended comes at the end. ``accept`` rules before drops would depend on it: one that somebody deletes and
a heal appends would shut a documented zone out.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from portguard.core.render import ARMED, MARK, elements, field, identifier, match
from portguard.model.net import Transport
from portguard.model.policy import opened_to
from portguard.model.ruleset import Chain, Json, Rule, Set, Table
from portguard.model.transaction import ElementOp, SetOp, Transaction, Verb

if TYPE_CHECKING:
    from collections.abc import Iterator

    from portguard.model.containment import ClosedPort, Closing
    from portguard.model.net import AddressSet
    from portguard.model.policy import Policy
    from portguard.model.ruleset import TableKey

PORTS, RESERVED_IN, RESERVED_OUT = "contain", "reserved_in", "reserved_out"
_PREROUTING, _INPUT, _OUTPUT = "contain_prerouting", "contain_input", "contain_output"
_BASE = (
    # Before destinations are translated: afterwards the port is a container's.
    Chain(name=_PREROUTING, type="filter", hook="prerouting", priority=-150, policy="accept"),
    Chain(name=_INPUT, type="filter", hook="input", priority=-20, policy="accept"),
    Chain(name=_OUTPUT, type="filter", hook="output", priority=-20, policy="accept"),
)
_REGULAR = tuple(Chain(name=name) for name in (PORTS, RESERVED_IN, RESERVED_OUT))
CHAINS = frozenset(chain.name for chain in (*_BASE, *_REGULAR))
"""Chains that stand in the own table only while something may be closed."""

PROTOCOLS = ("tcp", "udp")
"""What the dead man holds. ICMP and neighbour discovery are in none of it."""
_RESERVED = "reserved_range_"  # no zone has an underscore in its name

_NOT_ESTABLISHED = match({"ct": {"key": "state"}}, ["invalid", "new", "untracked"], op="in")
_TO_THIS_HOST = match({"fib": {"result": "type", "flags": ["daddr"]}}, "local")
_SADDR = {4: ("ip", "saddr"), 6: ("ip6", "saddr")}
_DADDR = {4: ("ip", "daddr"), 6: ("ip6", "daddr")}
_DHCP_CLIENT, _DHCP_SERVER = ((68, 68), (546, 546)), ((67, 67), (547, 547))


def with_closing(table: Table, policy: Policy, closing: Closing, armed: tuple[Json, ...] | None) -> Table:
    """Add the closing part to the own table. ``armed`` are the dead man's elements; None: whatever the kernel holds."""
    sets = {ARMED: Set(name=ARMED, type=("inet_proto",), flags=("timeout",), elements=armed)}
    for version, kind in ((4, "ipv4_addr"), (6, "ipv6_addr")):
        if members := tuple(elements(policy.reserved.version(version), version)):
            name = f"{_RESERVED}{version}"
            sets[name] = Set(name=name, type=(kind,), flags=("interval",), elements=members)
    rules = {
        _PREROUTING: (
            _jump(_PREROUTING, PORTS, "iifname", _TO_THIS_HOST),
            _jump(_PREROUTING, RESERVED_IN, "iifname"),
        ),
        _INPUT: (_jump(_INPUT, PORTS, "iifname"),),
        _OUTPUT: (_jump(_OUTPUT, RESERVED_OUT, "oifname"),),
        PORTS: tuple(rule for port in closing.ports for rule in _port(port, policy)),
        RESERVED_IN: tuple(_reserved(RESERVED_IN, policy.reserved, closing)),
        RESERVED_OUT: tuple(_reserved(RESERVED_OUT, policy.reserved, closing)),
    }
    return replace(
        table,
        chains={**table.chains, **{chain.name: chain for chain in (*_BASE, *_REGULAR)}},
        rules={**table.rules, **rules},
        sets={**table.sets, **sets},
    )


def arm(table: TableKey, seconds: int) -> Transaction:
    """Start the dead man, or start it anew: before kernel 6.12, adding alone prolongs nothing that the set holds."""
    running = tuple({"elem": {"val": name, "timeout": seconds}} for name in PROTOCOLS)
    return Transaction(
        operations=(_flush(table), ElementOp(verb=Verb.ADD, table=table, set=ARMED, elements=running))
    )


def confirm(table: TableKey) -> Transaction:
    """Make what is armed permanent. The kernel refuses it when the time has run out: nothing is armed by that."""
    return Transaction(
        operations=tuple(
            ElementOp(verb=verb, table=table, set=ARMED, elements=PROTOCOLS)
            for verb in (Verb.DELETE, Verb.ADD)
        )
    )


def disarm(table: TableKey) -> Transaction:
    """End all closing at once, whatever else the table holds."""
    return Transaction(operations=(_flush(table),))


def _flush(table: TableKey) -> SetOp:
    return SetOp(verb=Verb.FLUSH, table=table, set=Set(name=ARMED, type=("inet_proto",), elements=()))


def armed_for(table: Table | None) -> float | None:
    """Seconds that the dead man of a table still runs: infinite when it was confirmed, None when it is not armed."""
    found = table.sets.get(ARMED) if table is not None else None
    if found is None or not found.elements:
        return None
    return max(_seconds(element) for element in found.elements)


def _seconds(element: Json) -> float:
    match element:
        case {"elem": {"expires": int() | float() as left}} | {"elem": {"timeout": int() | float() as left}}:
            return float(left)
        case _:
            return float("inf")


def _jump(chain: str, target: str, interface: str, *more: Json) -> Rule:
    conditions = (
        match({"meta": {"key": "l4proto"}}, f"@{ARMED}"),
        match({"meta": {"key": interface}}, "lo", op="!="),
        _NOT_ESTABLISHED,
        *more,
    )
    return Rule(
        chain=chain, expr=(*conditions, {"jump": {"target": target}}), comment=f"{MARK}{chain} {target}"
    )


def _port(port: ClosedPort, policy: Policy) -> Iterator[Rule]:
    """Drop everybody whom the documents do not let in, of each IP version."""
    number = match(field(port.transport.value, "dport"), port.port)
    services = [
        service
        for service in policy.inbound
        if service.zone in port.zones
        and service.transport is port.transport
        and service.ports is not None
        and port.port in service.ports
    ]
    for version, family in ((4, "ipv4"), (6, "ipv6")):
        # The sets of the zones stand in the table already, for the rules that let them in.
        zones = sorted({identifier(row.zone) for row in services if opened_to(row).version(version)})
        others = [match(field(*_SADDR[version]), f"@{zone}_{version}", op="!=") for zone in zones]
        version_only = match({"meta": {"key": "nfproto"}}, family)
        yield _drop(PORTS, f"contain {port.port}/{port.transport}", *(others or [version_only]), number)


def _reserved(chain: str, reserved: AddressSet, closing: Closing) -> Iterator[Rule]:
    """Drop what comes from a reserved range, or goes there, but for what must never be closed."""
    inward = chain == RESERVED_IN
    interface = "iifname" if inward else "oifname"
    elsewhere = [match({"meta": {"key": interface}}, name, op="!=") for name in closing.interfaces]
    kept = {
        Transport.TCP: closing.safe_tcp,
        Transport.UDP: (*closing.safe_udp, *(_DHCP_CLIENT if inward else _DHCP_SERVER)),
    }
    for version in (4, 6):
        if not reserved.version(version):
            continue
        side = _SADDR[version] if inward else _DADDR[version]
        for transport, ports in kept.items():
            yield _drop(
                chain,
                f"contain reserved {transport}",
                match(field(*side), f"@{_RESERVED}{version}"),
                match(field(transport.value, "dport"), {"set": [*map(_range, sorted(ports))]}, op="!="),
                *elsewhere,
            )


def _range(ports: tuple[int, int]) -> Json:
    return ports[0] if ports[0] == ports[1] else {"range": list(ports)}


def _drop(chain: str, name: str, *conditions: Json) -> Rule:
    return Rule(chain=chain, expr=(*conditions, {"counter": None}, {"drop": None}), comment=f"{MARK}{name}")
