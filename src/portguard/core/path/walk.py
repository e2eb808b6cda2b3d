"""Follow flows through one base chain: jumps, returns, verdict maps, marks, translations."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from portguard.core.path.effects import Place, by_value, divide, fill, mark, translate
from portguard.core.path.footprint import Step
from portguard.core.path.lookup import Lookup, Row, negated, together
from portguard.core.path.ops import (
    Branching,
    Chance,
    Fill,
    Hand,
    Mark,
    Notrack,
    Opaque,
    Test,
    Translate,
    Verdict,
    Zone,
)
from portguard.core.path.packet import FULL, Flow, Tracking, Trail, joined, same_way
from portguard.core.path.runs import Run
from portguard.model.net import Intervals, intersect, subtract
from portguard.model.path import Outcome

if TYPE_CHECKING:
    from portguard.core.path.footprint import Footprint
    from portguard.core.path.packet import Packet
    from portguard.core.path.rules import CompiledRule
    from portguard.core.path.tables import CompiledTable
    from portguard.core.path.world import World
    from portguard.model.ruleset import Chain, Json

_DEEPEST = 17
"""The kernel allows 16 jumps inside each other; a listing that has more is not its own."""


class Fate(NamedTuple):
    """The end of a flow."""

    flow: Flow
    outcome: Outcome
    general: bool = False
    """Decided by a default: nothing on the way there names the sources or the port."""


class Walk:
    """One base chain. After :meth:`run`, ``accepted`` holds what goes on to the next one, ``fates`` what does not."""

    def __init__(self, table: CompiledTable, chain: Chain, world: World, footprint: Footprint) -> None:
        self._table = table
        self._key = table.table.key
        self._chain = chain
        self._world = world
        self._footprint = footprint
        self.accepted: list[Flow] = []
        self.fates: list[Fate] = []

    def run(self, flows: list[Flow]) -> None:
        """Send flows through the base chain and apply its policy to what is left."""
        by_class: dict[tuple[str, int | None], list[Flow]] = {}
        for flow in flows:
            by_class.setdefault((flow.packet.transport, flow.packet.port), []).append(flow)
        for group in by_class.values():
            for flow in self._enter(self._chain.name, group, 0):
                policy = self._chain.policy or "accept"
                ended = flow._replace(trail=Trail(flow.trail, self._key, self._chain.name, None, policy))
                if policy == "accept":
                    self.accepted.append(ended)
                else:
                    self.fates.append(Fate(ended, Outcome.DROPPED, general=True))

    def _enter(self, name: str, flows: list[Flow], depth: int) -> list[Flow]:
        """Walk a chain; give back the flows that reach its end or return."""
        if not flows:
            return []
        if depth >= _DEEPEST or name not in self._table.table.chains:
            self._concerning(name, flows)
            self._opaque(flows, name, None, f"chain {name} is not in the listing")
            return []
        back: list[Flow] = []
        live = flows
        for rule in self._concerning(name, flows):
            out: list[Flow] = []
            if isinstance(rule, Run):
                for flow in live:
                    self._run(rule, name, flow, out)
                live = joined(out)
                if not live:
                    break
                continue
            for flow in live:
                if rule.interface and self._passed_over(rule, flow.packet):
                    out.append(flow)
                    continue
                for piece in self._pieces(rule, flow):
                    self._rule(Place(self._key, name, rule, depth), piece, out, back)
            live = joined(out)
            if not live:
                break
        return joined([*live, *back])

    def _concerning(self, name: str, flows: list[Flow]) -> tuple[CompiledRule | Run, ...]:
        """Rules of a chain that any of the flows can match, and a note that they were asked for."""
        interfaces = frozenset().union(*(flow.packet.interfaces for flow in flows))
        step = Step.of(self._key, name, flows[0].packet, interfaces)
        return self._footprint.step(step, self._table).rules

    def _run(self, run: Run, chain: str, flow: Flow, out: list[Flow]) -> None:
        """Apply a run of rules that only name sources."""
        if flow.packet.masked:
            out.extend(self._opaque([flow], chain, None, "the source comes out of a translation"))
            return
        ended, rest = run.apply(flow.sources)
        for sources, line, count in ended:
            alike = "" if count == 1 else f", or one of {count} rules like it"
            step = Trail(flow.trail, self._key, chain, line.rule, line.verdict + alike)
            part = flow._replace(sources=sources, trail=step)
            if line.verdict == "accept":
                self.accepted.append(part)
            else:
                self.fates.append(Fate(part, Outcome.DROPPED))
        if rest:
            out.append(flow if not ended else flow._replace(sources=rest))

    def _pieces(self, rule: CompiledRule, flow: Flow) -> list[Flow]:
        """Tell interfaces and destinations apart as far as the rule does."""
        flows = [flow]
        if (
            rule.cuts
            and len(flow.packet.destination)
            and flow.packet.destination[0][0] != flow.packet.destination[-1][1]
        ):
            for cut in rule.cuts:
                flows = [part for item in flows for part in _cut(item, cut)]
        if rule.interface and len(flow.packet.interfaces) > 1:
            flows = [part for item in flows for part in self._by_interface(rule, item)]
        return flows

    def _passed_over(self, rule: CompiledRule, packet: Packet) -> bool:
        """Whether the interface alone keeps packets from matching: remembered, for hosts with many interfaces."""
        key = (id(rule.rule), packet.interfaces)
        found = self._table.passed_over.get(key)
        if found is None:
            op = rule.ops[0]
            found = isinstance(op, Test) and not op.negate and isinstance(op.lookup, Lookup)
            if isinstance(op, Test) and isinstance(op.lookup, Lookup) and found:
                names = (packet._replace(interfaces=frozenset({name})) for name in packet.interfaces)
                found = op.lookup.plain_interface and not any(
                    op.lookup.find(one, self._world) for one in names
                )
            self._table.passed_over[key] = found
        return found

    def _by_interface(self, rule: CompiledRule, flow: Flow) -> list[Flow]:
        key = (id(rule.rule), flow.packet.interfaces)
        groups = self._table.told_apart.get(key)
        if groups is None:
            groups = self._alike(rule, flow.packet)
            if all(isinstance(lookup, Lookup) and lookup.plain_interface for lookup in rule.interface):
                self._table.told_apart[key] = groups
        if len(groups) == 1:
            return [flow]
        return [flow._replace(packet=flow.packet._replace(interfaces=names)) for names in groups]

    def _alike(self, rule: CompiledRule, packet: Packet) -> tuple[frozenset[str], ...]:
        """Tell interfaces apart by what the rule's lookups find for each."""
        groups: dict[object, set[str]] = {}
        for name in sorted(packet.interfaces):
            one = packet._replace(interfaces=frozenset({name}))
            groups.setdefault(repr([lookup.find(one, self._world) for lookup in rule.interface]), set()).add(
                name
            )
        return tuple(frozenset(names) for names in groups.values())

    def _rule(self, place: Place, flow: Flow, out: list[Flow], back: list[Flow]) -> None:
        """Apply a rule: what does not match, or is not decided by it, goes to ``out``; what returns, to ``back``."""
        live = [flow]
        for op in place.rule.ops:
            going: list[Flow] = []
            for item in live:
                self._op(op, place, item, going, out, back)
            live = going
            if not live:
                return
        out.extend(live)

    def _op(  # noqa: PLR0917 - one dispatch over the kinds of statements
        self, op: object, place: Place, flow: Flow, going: list[Flow], out: list[Flow], back: list[Flow]
    ) -> None:
        match op:
            case Test():
                rows = op.lookup.find(flow.packet, self._world)
                if rows is None:
                    out.append(flow)
                    return
                row = negated(rows, FULL[flow.packet.version]) if op.negate else together(rows)
                matched, missed = divide(row, flow)
                going.extend(matched)
                out.extend(missed)
            case Verdict():
                self._verdict(op, place, flow, out, back)
            case Branching():
                rows = op.lookup.find(flow.packet, self._world)
                self._branch(rows or [], place, flow, out, back)
            case Chance():
                going.append(flow._replace(doubt=op.reason))
                out.append(flow)
            case Mark():
                marked, missed = mark(op, place, flow, self._world)
                going.extend(marked)
                out.extend(missed)
            case Fill():
                filled, missed = fill(op, flow, self._world)
                going.extend(filled)
                out.extend(missed)
            case Zone():
                if flow.packet.tracking is Tracking.BEFORE:
                    flow = flow._replace(packet=flow.packet._replace(tracking=Tracking.TEMPLATE))
                going.append(flow)
            case Notrack():
                if flow.packet.tracking is Tracking.BEFORE:
                    flow = flow._replace(packet=flow.packet._replace(tracking=Tracking.UNTRACKED))
                going.append(flow)
            case Translate():
                self._footprint.translated = True
                done, missed = translate(op, place, flow, self._world)
                self.accepted.extend(done)
                out.extend(missed)
            case Hand():
                step = place.step(flow, op.text)
                going.append(
                    flow._replace(trail=step, doubt="tproxy goes on only where such a socket exists")
                )
                out.append(flow)
            case Opaque():
                out.extend(self._opaque([flow], place.chain, place, op.reason))

    def _branch(self, rows: list[Row], place: Place, flow: Flow, out: list[Flow], back: list[Flow]) -> None:
        """Follow a verdict map; what no element matches goes on."""
        for value, flows, missing in by_value(rows, flow):
            verdict = _verdict_of(value)
            for item in flows:
                if missing:
                    out.append(item)
                elif verdict is None:
                    out.extend(self._opaque([item], place.chain, place, "a verdict of the map is not known"))
                else:
                    self._verdict(verdict, place, item, out, back)

    def _verdict(self, verdict: Verdict, place: Place, flow: Flow, out: list[Flow], back: list[Flow]) -> None:
        text = verdict.text or (f"{verdict.kind} {verdict.target}" if verdict.target else verdict.kind)
        jump = verdict.kind in {"jump", "goto"}
        selective = jump and place.rule.selective and not self._is_default(place.rule, verdict.target)
        step = place.step(flow, text, selective=selective)
        ended = flow._replace(trail=step)
        match verdict.kind:
            case "accept":
                masked = flow.packet.masked or verdict.masks
                self.accepted.append(ended._replace(packet=ended.packet._replace(masked=masked)))
            case "drop":
                self.fates.append(Fate(ended, Outcome.DROPPED, general=self._general(place.rule, flow)))
            case "reject":
                self.fates.append(Fate(ended, Outcome.REFUSED, general=self._general(place.rule, flow)))
                if flow.packet.translated and flow.packet.hook == "prerouting":
                    # Of a connection that is not confirmed yet, the answer may get lost on its way back.
                    lost = ended._replace(doubt="the answer to a translated packet may get lost")
                    self.fates.append(Fate(lost, Outcome.DROPPED, general=self._general(place.rule, flow)))
            case "return":
                back.append(flow)
            case "continue":
                out.append(flow)
            case _:
                returned = self._enter(verdict.target, [ended], place.depth + 1)
                resumed = [
                    item._replace(trail=flow.trail) if same_way(item.packet, flow.packet) else item
                    for item in returned
                ]
                # After goto the packet comes back to where the chain itself was entered from.
                (back if verdict.kind == "goto" else out).extend(resumed)

    def _is_default(self, rule: CompiledRule, target: str) -> bool:
        """Whether a jump by source leads to a zone with rules of its own, rather than to a chain that bans."""
        ports = any(
            item.about not in {"plain", "source"}
            for op in rule.ops
            if isinstance(op, Test | Branching)
            for item in getattr(op.lookup, "operands", ())
        )
        ends = self._table.ends(target)
        return not ports and ends is not None and ends[1]

    @staticmethod
    def _general(rule: CompiledRule, flow: Flow) -> bool:
        trail = flow.trail
        while trail is not None:
            if trail.selective:
                return False
            trail = trail.before
        return not rule.selective

    def _opaque(self, flows: list[Flow], chain: str, place: Place | None, reason: str) -> list[Flow]:
        """Let something accept, drop or pass on what it sees, and change it on the way; give back what passes on."""
        going = []
        for flow in flows:
            rule = place.rule.rule if place else None
            step = Trail(flow.trail, self._key, chain, rule, f"may decide: {reason}")
            packet = flow.packet._replace(mark=None, ct_mark=None)
            if packet.tracking is Tracking.BEFORE:
                packet = packet._replace(tracking=Tracking.UNSURE)
            changed = flow._replace(packet=packet, doubt=reason)
            self.accepted.append(changed._replace(trail=step))
            # In a chain for translations it may go anywhere from here.
            outcome = Outcome.UNKNOWN if self._chain.type == "nat" else Outcome.DROPPED
            self.fates.append(Fate(changed._replace(trail=step), outcome))
            going.append(changed)
        return going


def _cut(flow: Flow, cut: Intervals) -> list[Flow]:
    """Divide a flow by destination."""
    inside = intersect(flow.packet.destination, cut)
    if not inside or inside == flow.packet.destination:
        return [flow]
    outside = subtract(flow.packet.destination, inside)
    return [flow._replace(packet=flow.packet._replace(destination=part)) for part in (inside, outside)]


def _verdict_of(value: Json) -> Verdict | None:
    """Read the verdict of a map's element."""
    if isinstance(value, dict) and len(value) == 1:
        ((kind, body),) = value.items()
        if kind in {"accept", "drop", "return", "continue"}:
            return Verdict(kind)
        if kind in {"jump", "goto"} and isinstance(body, dict) and isinstance(body.get("target"), str):
            return Verdict(kind, body["target"])
    return None
