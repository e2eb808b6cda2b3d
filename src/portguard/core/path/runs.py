"""Long runs of rules that only name sources: thousands of bans are one lookup, not thousands of steps."""

from __future__ import annotations

import heapq
from bisect import bisect_left, bisect_right
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from portguard.core.path.constants import constant
from portguard.model.net import Intervals, intersect, merge, subtract

if TYPE_CHECKING:
    from collections.abc import Sequence

    from portguard.model.ruleset import Json, Rule

SINGLE = 32
"""Up to so many pieces each rule of a run is told apart; of more, the first one stands for all that do the same."""

_KEPT = 8
"""Answers that a run remembers."""
_QUIET = frozenset({"counter", "log"})
_ENDS = frozenset({"accept", "drop"})


class Shape(NamedTuple):
    """A rule that asks for nothing but source, protocol and port by constants, and then ends."""

    rule: Rule
    source: Intervals | None
    version: int | None
    """IP version that its source implies; None: either."""
    transport: str | None
    ports: Intervals | None
    verdict: str


def shape_of(rule: Rule) -> Shape | None:
    """Read a rule that is no more than a shape. None: it is more, or something of it is not understood."""
    source: Intervals | None = None
    version: int | None = None
    transport: str | None = None
    ports: Intervals | None = None
    for place, statement in enumerate(rule.expr):
        if not isinstance(statement, dict) or len(statement) != 1:
            return None
        ((kind, body),) = statement.items()
        if kind in _QUIET:
            continue
        if kind in _ENDS:
            ended = place == len(rule.expr) - 1
            return Shape(rule, source, version, transport, ports, kind) if ended else None
        if kind != "match" or not isinstance(body, dict) or body.get("op") != "==":
            return None
        match body.get("left"):
            case {"payload": {"protocol": ("ip" | "ip6") as family, "field": "saddr"}} if source is None:
                version = 4 if family == "ip" else 6
                source = _numbers(body.get("right"), f"v{version}")
                if source is None:
                    return None
            case {"payload": {"protocol": ("tcp" | "udp") as protocol, "field": "dport"}} if ports is None:
                transport = protocol
                ports = _numbers(body.get("right"), "port")
                if ports is None:
                    return None
            case _:
                return None
    return None


def _numbers(right: Json, kind: str) -> Intervals | None:
    """Read a constant; a named set, a catch-all or anything else that is not plain is left to the full compiler."""
    if isinstance(right, str) and right.startswith("@"):
        return None
    found = constant(right, kind)
    return found if isinstance(found, tuple) else None


class Run:
    """Consecutive rules that only differ in sources and verdict, resolved: for each source the first that matches."""

    def __init__(self, version: int, shapes: Sequence[Shape]) -> None:
        self.version = version
        self._shapes = shapes
        self._pieces = _first_of(shapes)
        self._starts = [low for low, _, _ in self._pieces]
        self._by_verdict = {
            verdict: merge(
                (low, high) for low, high, place in self._pieces if shapes[place].verdict == verdict
            )
            for verdict in _ENDS
        }
        self._first = {
            verdict: next((shape for shape in shapes if shape.verdict == verdict), None) for verdict in _ENDS
        }
        self._known: dict[Intervals, tuple[list[tuple[Intervals, Shape, int]], Intervals]] = {}

    def apply(self, sources: Intervals) -> tuple[list[tuple[Intervals, Shape, int]], Intervals]:
        """Divide sources: those that rules end, each with its rule and how many it stands for, and the rest."""
        # The same sources are asked about port after port.
        if sources not in self._known:
            while len(self._known) >= _KEPT:
                del self._known[next(iter(self._known))]
            self._known[sources] = self._apply(sources)
        return self._known[sources]

    def _apply(self, sources: Intervals) -> tuple[list[tuple[Intervals, Shape, int]], Intervals]:
        ended: list[tuple[Intervals, Shape, int]] = []
        rest = sources
        for verdict in sorted(_ENDS):
            held = intersect(sources, self._by_verdict[verdict])
            if not held:
                continue
            rest = subtract(rest, held)
            first = self._first[verdict]
            if len(held) <= SINGLE and (single := self._single(held)) is not None:
                ended.extend(single)
            elif first is not None:
                ended.append((held, first, sum(1 for shape in self._shapes if shape.verdict == verdict)))
        return ended, rest

    def _single(self, held: Intervals) -> list[tuple[Intervals, Shape, int]] | None:
        """Tell apart the rules that end some sources; None when there are too many of them."""
        found: dict[int, list[tuple[int, int]]] = {}
        for low, high in held:
            place = max(bisect_right(self._starts, low) - 1, 0)
            if bisect_left(self._starts, high + 1) - place > SINGLE:
                return None
            while place < len(self._pieces) and self._pieces[place][0] <= high:
                start, end, index = self._pieces[place]
                if end >= low:
                    found.setdefault(index, []).append((max(low, start), min(high, end)))
                place += 1
        if len(found) > SINGLE:
            return None
        return [(merge(pairs), self._shapes[index], 1) for index, pairs in found.items()]


def _first_of(shapes: Sequence[Shape]) -> list[tuple[int, int, int]]:
    """Cut all sources into pieces with the place of the first rule that names them: a sweep over their borders."""
    borders: list[tuple[int, int, bool]] = []
    for place, shape in enumerate(shapes):
        for low, high in shape.source or ():
            borders.append((low, place, True))
            borders.append((high + 1, place, False))
    borders.sort()
    out: list[tuple[int, int, int]] = []
    waiting: list[int] = []
    closed: Counter[int] = Counter()
    at = 0
    index = 0
    while index < len(borders):
        here = borders[index][0]
        while waiting and closed[waiting[0]]:
            closed[heapq.heappop(waiting)] -= 1
        if waiting and here > at:
            if out and out[-1][2] == waiting[0] and out[-1][1] == at - 1:
                out[-1] = (out[-1][0], here - 1, waiting[0])
            else:
                out.append((at, here - 1, waiting[0]))
        at = here
        while index < len(borders) and borders[index][0] == here:
            _, place, opens = borders[index]
            if opens:
                # Intervals of one rule are disjoint and not adjacent, so it is not open already.
                heapq.heappush(waiting, place)
            else:
                closed[place] += 1
            index += 1
    return out
