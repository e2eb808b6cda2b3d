"""What earlier base chains did with a flow: kept apart, so that flows can be joined again behind each chain."""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING

from portguard.core.path.packet import Flow, joined, meets

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


class Past:
    """One base chain behind a flow, with the flows as it let them through."""

    __slots__ = ("_highest", "_starts", "before", "parts", "strict")

    def __init__(self, before: Past | None, parts: Sequence[Flow], *, strict: bool) -> None:
        self.before = before
        self.parts = sorted(
            ((low, high, flow) for flow in parts for low, high in flow.sources), key=lambda row: row[:2]
        )
        self.strict = strict
        """The chain drops some of what it sees: what it accepts, it accepts on purpose."""
        self._starts = [low for low, _, _ in self.parts]
        self._highest: list[int] = []
        for _, high, _ in self.parts:
            self._highest.append(max(high, self._highest[-1]) if self._highest else high)

    def chain(self) -> Iterator[Past]:
        """This base chain and those before it, last first."""
        at: Past | None = self
        while at is not None:
            yield at
            at = at.before

    def of(self, flow: Flow, most: int) -> list[Flow]:
        """Parts from which a flow came, no more than ``most`` different ones."""
        found: dict[int, Flow] = {}
        for low, high in flow.sources:
            place = bisect_right(self._starts, high) - 1
            while place >= 0 and self._highest[place] >= low:
                _, end, part = self.parts[place]
                if end >= low and id(part) not in found and _same_packets(part, flow):
                    found[id(part)] = part
                    if len(found) >= most:
                        return list(found.values())
                place -= 1
        return list(found.values())


def _same_packets(part: Flow, flow: Flow) -> bool:
    if not part.packet.interfaces & flow.packet.interfaces:
        return False
    if part.packet.translated != flow.packet.translated:
        return True
    return meets(part.packet.destination, flow.packet.destination) or not flow.packet.destination


def onward(accepted: list[Flow], *, strict: bool) -> list[Flow]:
    """Join what a base chain let through, and keep how it got through in the past."""
    groups: dict[int, list[Flow]] = {}
    for flow in accepted:
        groups.setdefault(id(flow.past), []).append(flow)
    out: list[Flow] = []
    for group in groups.values():
        past = Past(group[0].past, group, strict=strict)
        out.extend(flow._replace(trail=None, past=past) for flow in group)
    return joined(out)
