"""From the ends of all flows to a partition of the sources: who gets through, and which rule decides."""

from __future__ import annotations

import ipaddress
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from portguard.model.net import AddressSet, Intervals, intersect, merge, subtract
from portguard.model.nft_text import statements_text
from portguard.model.path import Branch, Outcome, PathReport, Step
from portguard.model.ruleset import RuleRef

if TYPE_CHECKING:
    from collections.abc import Iterator

    from portguard.core.path.packet import Flow, Trail
    from portguard.core.path.past import Past
    from portguard.core.path.walk import Fate

_SHUT = frozenset({Outcome.DROPPED, Outcome.REFUSED})

EITHER = "it is shut, and whether the client is told is not known"
"""Reason given with ``dropped`` where some packets may be rejected instead."""


class End(NamedTuple):
    """A fate with the rule that is to be named for it."""

    fate: Fate
    sources: Intervals
    decider: Trail | None


class _Branch(NamedTuple):
    """A branch before its rules are spelled."""

    outcome: Outcome
    ends: tuple[End, ...]
    general: bool
    reason: str | None


def report(fates: dict[int, list[Fate]]) -> PathReport:
    """Partition the sources of each version by their fate."""
    found: dict[object, tuple[_Branch, dict[int, list[Intervals]]]] = {}
    for version, ended in fates.items():
        ends = [end for fate in ended for end in _ends(fate)]
        for active, part in _partition(tuple(end.sources for end in ends)).items():
            branch = _judged([ends[place] for place in active])
            key = (branch.outcome, branch.general, branch.reason, _name(branch.ends[0]))
            parts = found.setdefault(key, (branch, {}))[1]
            parts.setdefault(version, []).append(part)
    return PathReport(
        branches=tuple(
            _spelled(branch, AddressSet(*(_together(tuple(parts.get(version, ()))) for version in (4, 6))))
            for branch, parts in found.values()
        )
    )


def _ends(fate: Fate) -> Iterator[End]:
    """Name the decider of a fate: of what got through, the rule that let it through a chain that drops others."""
    if fate.outcome is not Outcome.OPEN:
        yield End(fate, fate.flow.sources, fate.flow.trail)
        return
    past: Past | None = fate.flow.past
    rest = fate.flow.sources
    chains = list(past.chain()) if past else []
    for chain in sorted(chains, key=lambda chain: not chain.strict):
        for part in _explicit(chain, fate.flow, rest):
            if shared := intersect(rest, part.sources):
                yield End(fate, shared, part.trail)
                rest = subtract(rest, shared)
        if not rest:
            return
    last = chains[0].of(fate.flow._replace(sources=rest), len(chains[0].parts) + 1) if chains else []
    for part in last:
        if shared := intersect(rest, part.sources):
            yield End(fate, shared, part.trail)
            rest = subtract(rest, shared)
    if rest:
        yield End(fate, rest, None)


def _explicit(chain: Past, flow: Flow, rest: Intervals) -> list[Flow]:
    parts = chain.of(flow._replace(sources=rest), len(chain.parts) + 1) if rest else []
    return [
        part
        for part in parts
        if part.trail is not None and part.trail.rule is not None and part.trail.effect.startswith("accept")
    ]


def forget_parts() -> None:
    """Let go of the partitions that are kept for the next ports: of a large set they are large."""
    _together.cache_clear()
    _partition.cache_clear()


@lru_cache(maxsize=16)
def _together(parts: tuple[Intervals, ...]) -> Intervals:
    """Join pieces that make one branch."""
    return parts[0] if len(parts) == 1 else merge(pair for part in parts for pair in part)


@lru_cache(maxsize=16)
def _partition(parts: tuple[Intervals, ...]) -> dict[tuple[int, ...], Intervals]:
    """Cut sources that may overlap into pieces that lie in the same parts: a sweep over the borders.

    Port after port has the same parts where no rule names the port; the last results are kept.
    """
    pairs = sorted(pair for part in parts for pair in part)
    if all(before[1] < after[0] for before, after in pairwise(pairs)):
        # Hardly ever can one source meet several ends, and with large sets the sweep costs ten times this question.
        return {(place,): part for place, part in enumerate(parts) if part}
    borders: list[tuple[int, bool, int]] = []
    for place, part in enumerate(parts):
        for low, high in part:
            borders.append((low, True, place))
            borders.append((high + 1, False, place))
    borders.sort()
    out: dict[tuple[int, ...], list[tuple[int, int]]] = {}
    active: set[int] = set()
    at = 0
    for start, opens, place in borders:
        if active and start > at:
            out.setdefault(tuple(sorted(active)), []).append((at, start - 1))
        at = start
        if opens:
            active.add(place)
        else:
            active.discard(place)
    return {places: merge(pairs) for places, pairs in out.items()}


def _judged(ends: list[End]) -> _Branch:
    """Say what the sources meet that may meet any of these ends."""
    outcomes = {end.fate.outcome for end in ends}
    # Named is the end that is sure to be met where the others are only possible; of those, the last on the way.
    sure = [end for end in ends if end.fate.flow.doubt is None]
    ends = [*sure, *reversed([end for end in ends if end.fate.flow.doubt is not None])]
    if len(outcomes) == 1 and outcomes != {Outcome.UNKNOWN}:
        general = outcomes <= _SHUT and all(end.fate.general for end in ends)
        return _Branch(ends[0].fate.outcome, tuple(ends), general, None)
    if outcomes <= _SHUT:
        general = all(end.fate.general for end in ends)
        return _Branch(Outcome.DROPPED, tuple(ends), general, EITHER)
    return _Branch(Outcome.UNKNOWN, tuple(ends), False, _reason(ends))  # noqa: FBT003 - a field of a tuple


def _reason(ends: list[End]) -> str:
    doubts = list(dict.fromkeys(end.fate.flow.doubt for end in ends if end.fate.flow.doubt))
    if doubts:
        return "; ".join(doubts[:2])
    packets = [end.fate.flow.packet for end in ends]
    if len({packet.interfaces for packet in packets}) > 1:
        return "it depends on the interface: " + _listed(
            (", ".join(sorted(end.fate.flow.packet.interfaces)), end.fate.outcome) for end in ends
        )
    return "it depends on the address they connect to: " + _listed(
        (_addresses(end.fate.flow.packet.destination, end.fate.flow.packet.version), end.fate.outcome)
        for end in ends
    )


def _listed(cases: Iterator[tuple[str, Outcome]]) -> str:
    out: dict[str, str] = {}
    for what, outcome in cases:
        out[what] = outcome if what not in out else f"{out[what]} or {outcome}"
    return ", ".join(f"{outcome} by {what}" for what, outcome in list(out.items())[:4])


def _addresses(destination: Intervals, version: int) -> str:
    make = ipaddress.IPv4Address if version == 4 else ipaddress.IPv6Address
    first = ", ".join(
        str(make(low)) if low == high else f"{make(low)}-{make(high)}" for low, high in destination[:3]
    )
    return first + (" ..." if len(destination) > 3 else "")


def _name(end: End) -> object:
    """Tell deciders apart."""
    at = end.decider
    return None if at is None else (at.table, at.chain, at.rule.handle if at.rule else None, at.effect)


def _spelled(branch: _Branch, sources: AddressSet) -> Branch:
    end = branch.ends[0]
    steps = [_step(trail) for trail in _steps(end)]
    return Branch(
        sources=sources,
        outcome=branch.outcome,
        by=None if end.decider is None else _ref(end.decider),
        general=branch.general,
        reason=branch.reason,
        trail=tuple(steps),
    )


def _steps(end: End) -> list[Trail]:
    """List what happened on the way, first things first; of a chain that many rules accept in, nothing."""
    out: list[Trail] = []
    flow = end.fate.flow._replace(sources=end.sources)
    _unroll(flow.trail, out)
    past: Past | None = flow.past
    for chain in past.chain() if past else ():
        parts = chain.of(flow, 2)
        if len(parts) == 1:
            _unroll(parts[0].trail, out)
    out.reverse()
    return out


def _unroll(trail: Trail | None, out: list[Trail]) -> None:
    while trail is not None:
        out.append(trail)
        trail = trail.before


def _step(trail: Trail) -> Step:
    effect = (
        f"policy {trail.effect}"
        if trail.rule is None and trail.effect in {"accept", "drop"}
        else trail.effect
    )
    return Step(at=_ref(trail), effect=effect)


def _ref(trail: Trail) -> RuleRef:
    if trail.rule is None:
        return RuleRef(table=trail.table, chain=trail.chain, handle=None, text=f"policy {trail.effect}")
    return RuleRef(
        table=trail.table,
        chain=trail.chain,
        handle=trail.rule.handle,
        text=statements_text(trail.rule.expr),
        comment=trail.rule.comment,
    )
