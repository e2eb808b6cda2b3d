"""Answers that were found before: a tree of steps, followed as an evaluation would go.

Bounded by use: what was not asked for in a turn is forgotten at its end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from portguard.core.path.footprint import Found, Step
    from portguard.model.path import PathReport


class _Node:
    """A step with the ways that led on from it, or an answer."""

    __slots__ = ("answer", "step", "turn", "ways")

    def __init__(self) -> None:
        self.step: Step | None = None
        self.ways: dict[Found, _Node] = {}
        self.answer: PathReport | None = None
        self.turn = 0


class Known:
    """Answers by the question, and then by what was found on the way."""

    def __init__(self) -> None:
        self._roots: dict[object, _Node] = {}
        self._turn = 0

    def find(self, question: object, look: Callable[[Step], Found | None]) -> PathReport | None:
        """Follow the steps of earlier evaluations as long as they find the same; None where none of them did."""
        node = self._roots.get(question)
        while node is not None and node.step is not None:
            found = look(node.step)
            node = None if found is None else node.ways.get(found)
        if node is None:
            return None
        node.turn = self._turn
        return node.answer

    def keep(self, question: object, steps: Iterable[tuple[Step, Found]], answer: PathReport) -> None:
        """Remember an answer."""
        node = self._roots.setdefault(question, _Node())
        for step, found in steps:
            assert node.step in {None, step}, "the same question and the same findings lead to the same step"
            node.step = step
            node = node.ways.setdefault(found, _Node())
        node.answer, node.turn = answer, self._turn

    def turn(self) -> None:
        """End a turn, and forget what was of no use in it."""
        self._roots = {key: node for key, node in self._roots.items() if _used(node, self._turn)}
        self._turn += 1


def _used(node: _Node, oldest: int) -> bool:
    """Cut off what was not used since a turn; says whether anything is left."""
    node.ways = {found: after for found, after in node.ways.items() if _used(after, oldest)}
    return bool(node.ways) or (node.answer is not None and node.turn >= oldest)
