"""Long runs of rules that only name sources: thousands of bans are one lookup, not thousands of steps."""

from __future__ import annotations

import heapq
from bisect import bisect_left, bisect_right
from collections import Counter
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from portguard.model.net import Intervals, intersect, merge, subtract

if TYPE_CHECKING:
    from collections.abc import Sequence

    from portguard.model.ruleset import Rule

SINGLE = 32
"""Up to so many pieces each rule of a run is told apart; of more, the first one stands for all that do the same."""

_KEPT = 8
"""Answers that a run remembers."""
_ENDS = frozenset({"accept", "drop"})


class Line(NamedTuple):
    """One rule of a run."""

    rule: Rule
    verdict: str
    sources: Intervals


class Run:
    """Consecutive rules that only differ in sources and verdict, resolved: for each source the first that matches."""

    def __init__(self, lines: Sequence[Line]) -> None:
        self._lines = lines
        self._pieces = _first_of(lines)
        self._starts = [low for low, _, _ in self._pieces]
        self._by_verdict = {
            verdict: merge(
                (low, high) for low, high, place in self._pieces if lines[place].verdict == verdict
            )
            for verdict in _ENDS
        }
        self._first = {
            verdict: next((line for line in lines if line.verdict == verdict), None) for verdict in _ENDS
        }
        self._count = Counter(line.verdict for line in lines)
        self._known: dict[Intervals, tuple[list[tuple[Intervals, Line, int]], Intervals]] = {}

    def apply(self, sources: Intervals) -> tuple[list[tuple[Intervals, Line, int]], Intervals]:
        """Divide sources: those that rules end, each with its rule and how many it stands for, and the rest."""
        # The same sources are asked about port after port.
        found = self._known.get(sources)
        if found is None:
            while len(self._known) >= _KEPT:
                del self._known[next(iter(self._known))]
            found = self._known[sources] = self._apply(sources)
        return found

    def _apply(self, sources: Intervals) -> tuple[list[tuple[Intervals, Line, int]], Intervals]:
        ended: list[tuple[Intervals, Line, int]] = []
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
                ended.append((held, first, self._count[verdict]))
        return ended, rest

    def _single(self, held: Intervals) -> list[tuple[Intervals, Line, int]] | None:
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
        return [(merge(pairs), self._lines[index], 1) for index, pairs in found.items()]


def _first_of(lines: Sequence[Line]) -> list[tuple[int, int, int]]:
    """Cut all sources into pieces with the place of the first rule that names them."""
    pieces = sorted((low, high, place) for place, line in enumerate(lines) for low, high in line.sources)
    if all(before[1] < after[0] for before, after in pairwise(pieces)):
        return pieces
    return _swept(lines)


def _swept(lines: Sequence[Line]) -> list[tuple[int, int, int]]:
    """Do so where sources of several rules overlap: a sweep over their borders."""
    borders: list[tuple[int, int, bool]] = []
    for place, line in enumerate(lines):
        for low, high in line.sources:
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
