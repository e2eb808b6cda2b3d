"""What rules change about packets: marks, and translations of their destination."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, NamedTuple

from portguard.core.path.constants import constant, number
from portguard.core.path.lookup import Row, together
from portguard.core.path.operands import operand
from portguard.core.path.packet import FULL, Flow, Tracking, Trail
from portguard.core.path.values import Bits, Unsure
from portguard.model.net import Intervals, intersect, subtract, union

if TYPE_CHECKING:
    from collections.abc import Iterator

    from portguard.core.path.ops import Fill, Mark, Translate
    from portguard.core.path.packet import Packet
    from portguard.core.path.rules import CompiledRule
    from portguard.core.path.world import World
    from portguard.model.ruleset import Json, TableKey


class Place(NamedTuple):
    """Where a rule is applied."""

    table: TableKey
    chain: str
    rule: CompiledRule
    depth: int

    def step(self, flow: Flow, effect: str, *, selective: bool = False) -> Trail:
        """Note what the rule does with a flow."""
        return Trail(flow.trail, self.table, self.chain, self.rule.rule, effect, selective=selective)


def divide(row: Row, flow: Flow) -> tuple[list[Flow], list[Flow]]:
    """Divide a flow into what matches, and what does not; what may do either is in both."""
    yes = intersect(flow.sources, row.yes)
    rest = subtract(flow.sources, yes)
    going: list[Flow] = []
    if yes:
        going.append(flow if not rest else flow._replace(sources=yes))
    if not rest:
        return going, []
    if maybe := intersect(rest, row.maybe):
        going.append(flow._replace(sources=maybe, doubt=row.reason or "it is not known whether it matches"))
    return going, [flow if not yes else flow._replace(sources=rest)]


def by_value(rows: list[Row] | None, flow: Flow) -> Iterator[tuple[Json, list[Flow], bool]]:
    """Divide a flow by what a map finds: each value with its flows, and at last, with True, what nothing is found for."""
    sure: Intervals = ()
    for row in rows or []:
        yield row.value, divide(row, flow)[0], False
        sure = union(sure, row.yes)
    if rest := subtract(flow.sources, sure):
        yield None, [flow._replace(sources=rest)], True


def fill(op: Fill, flow: Flow, world: World) -> tuple[list[Flow], list[Flow]]:
    """Add to a set or take out of it: flows for which the rule goes on, and those for which it breaks off."""
    packet = flow.packet
    if op.key.find(packet, world) is None:
        return [], [flow]
    if op.takes_out:
        return [flow._replace(packet=packet._replace(emptied=packet.emptied | {op.name}))], []
    filled = flow._replace(packet=packet._replace(filled=packet.filled | {op.name}))
    if op.held is None:
        return [filled], []
    held = together(op.held.find(packet, world) or [])
    # Elements time out, and somebody may make room: of what is not in it, nothing is claimed.
    row = Row(held.yes, subtract(FULL[packet.version], held.yes), None, f"set {op.name[1]} is full")
    return divide(row, filled)[0], divide(row, flow)[1]


def mark(op: Mark, place: Place, flow: Flow, world: World) -> tuple[list[Flow], list[Flow]]:
    """Set a mark: flows for which the rule goes on, and those for which it breaks off."""
    if op.lookup is None:
        found = op.value if isinstance(op.value, int) else operand(op.value).read(flow.packet, world)
        if isinstance(found, Unsure | Bits | int):
            return [_marked(op, place, flow, found if isinstance(found, int) else None)], []
        return [], [flow]  # There is nothing to read the value from.
    going: list[Flow] = []
    out: list[Flow] = []
    for value, flows, missing in by_value(op.lookup.find(flow.packet, world), flow):
        if missing:
            out.extend(flows)
        else:
            going.extend(_marked(op, place, item, number(value, "mark")) for item in flows)
    return going, out


def _marked(op: Mark, place: Place, flow: Flow, value: int | None) -> Flow:
    packet = flow.packet._replace(ct_mark=value) if op.connection else flow.packet._replace(mark=value)
    if packet == flow.packet or (op.connection and flow.packet.tracking is not Tracking.NEW):
        return flow
    return flow._replace(packet=packet, trail=place.step(flow, "sets a mark"))


def translate(op: Translate, place: Place, flow: Flow, world: World) -> tuple[list[Flow], list[Flow]]:
    """Translate the destination: flows with the new one, and those for which the rule breaks off."""
    if op.family is not None and op.family != flow.packet.version:
        return [], [flow]
    if op.lookup is None:
        return [_translated(op, op.address, op.port, place, flow, world)], []
    done: list[Flow] = []
    out: list[Flow] = []
    mapped = isinstance(op.address, dict) and "map" in op.address
    for value, flows, missing in by_value(op.lookup.find(flow.packet, world), flow):
        if missing:
            out.extend(flows)
            continue
        address, port = (value, op.port) if mapped else (op.address, value)
        if isinstance(address, dict) and "concat" in address:
            address, port = address["concat"][0], address["concat"][1]
        done.extend(_translated(op, address, port, place, item, world) for item in flows)
    return done, out


def _translated(  # noqa: PLR0917 - a rule's target and where it is applied
    op: Translate, address: Json, port: Json, place: Place, flow: Flow, world: World
) -> Flow:
    packet = flow.packet
    destination: Intervals
    if op.text == "redirect":
        name = next(iter(packet.interfaces)) if len(packet.interfaces) == 1 else None
        on = world.addresses_on(packet.version, name) if name else ()
        destination = on if len(on) == 1 and on[0][0] == on[0][1] else ()
    else:
        destination = packet.destination if address is None else _addresses(address, packet.version)
    new_port = packet.port if port is None else number(port, "port")
    where = "this host" if op.text == "redirect" else _address_text(destination, packet.version)
    if packet.transport != "icmp":
        where += f" port {'of a range' if new_port is None else new_port}"
    changed = packet._replace(
        destination=destination,
        port=new_port,
        translated=True,
        rewritten=_rewritten(packet, destination, new_port, kept=address is None and op.text == "dnat"),
        here=op.text == "redirect",
        original=(packet.destination, packet.port),
    )
    return flow._replace(packet=changed, trail=place.step(flow, f"translated to {where}"))


def _rewritten(packet: Packet, destination: Intervals, port: int | None, *, kept: bool) -> bool | None:
    """Whether a translation changes anything about a packet; None where it is not known."""
    single = len(destination) == 1 and destination[0][0] == destination[0][1]
    to_same = kept or (destination == packet.destination and single)
    to_other = bool(destination) and not intersect(destination, packet.destination)
    if to_other or (port is not None and port != packet.port):
        return True
    return False if to_same and port == packet.port else None


def _addresses(address: Json, version: int) -> Intervals:
    """Read the target of a translation; empty where it is not understood."""
    found = constant(address, "v4" if version == 4 else "v6")
    return found if isinstance(found, tuple) else ()


def _address_text(destination: Intervals, version: int) -> str:
    if not destination:
        return "an address that is not known"
    make = ipaddress.IPv4Address if version == 4 else ipaddress.IPv6Address
    first, last = make(destination[0][0]), make(destination[-1][1])
    return str(first) if first == last else f"{first}-{last}"
