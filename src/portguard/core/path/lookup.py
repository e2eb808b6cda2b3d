"""Looking a key up among constants: a plain comparison, an anonymous or named set, a map."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from portguard.core.path.constants import Constant, Names, compared, constant, number, unmasked
from portguard.core.path.operands import mask_of, operand
from portguard.core.path.packet import FULL
from portguard.core.path.values import ABSENT, Bits, BySource, Operand, Unsure
from portguard.model.net import Intervals, intersect, merge, subtract, union

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from portguard.core.path.packet import Packet
    from portguard.core.path.world import World
    from portguard.model.ruleset import Json, TableKey


class Row(NamedTuple):
    """Sources for which a lookup finds one value."""

    yes: Intervals
    maybe: Intervals
    """Sources for which it may find it, beside those of ``yes``."""
    value: Json
    reason: str | None = None
    """Why it is only maybe."""


class Group(NamedTuple):
    """Elements with the same value, and the same constants beside the source's."""

    dims: tuple[Constant | None, ...]
    """Constants by operand; None at the source's place, and where a constant is not understood."""
    sources: Intervals | None
    """Sources that the elements name; None: the key holds no source."""
    value: Json
    odd: str | None = None
    """Why the elements may or may not match: a constant that is not understood, a limit."""
    number: int = 0
    """Its place among the groups of the lookup."""


_NOT_UNDERSTOOD = "an element of it is not understood"
_LIMITED = "a limit of its element lets some through and others not"
_LIMITS = frozenset({"limit", "quota", "ct count"})
"""What an element may carry along that breaks the rule off, though it is found."""
_FEW = 8
"""Up to so many groups are tried one by one."""


class _Index:
    """Finds groups by their constant at the place that tells most of them apart."""

    def __init__(self, groups: Sequence[Group], places: Sequence[int]) -> None:
        kinds = {place: {group.dims[place] for group in groups} for place in places}
        self.place = max(places, key=lambda place: len(kinds[place]), default=0)
        self._single: dict[int, list[Group]] = {}
        self._wide: list[Group] = []
        for group in groups:
            dim = group.dims[self.place]
            if isinstance(dim, tuple) and len(dim) == 1 and dim[0][0] == dim[0][1]:
                self._single.setdefault(dim[0][0], []).append(group)
            else:
                self._wide.append(group)

    def find(self, value: int) -> list[Group]:
        """Groups that a value may match, in order."""
        single = self._single.get(value, [])
        return sorted((*single, *self._wide), key=lambda group: group.number) if self._wide else single


class Lookup:
    """A compiled key with compiled elements."""

    def __init__(
        self,
        keys: Sequence[Json],
        elements: Iterable[tuple[Json, Json]] | None,
        *,
        name: tuple[TableKey, str] | None = None,
    ) -> None:
        """Compile. ``elements`` are (key, value) pairs, None when a named set was not read; ``name`` is the set's."""
        self.masks = [mask_of(key) for key in keys]
        self.operands = [
            operand(key["&"][0] if mask is not None else key)
            for key, mask in zip(keys, self.masks, strict=True)
        ]
        self.name = name
        self.unread = elements is None
        self.catchall: Json = None
        self.has_catchall = False
        self.at = next((place for place, item in enumerate(self.operands) if item.source), None)
        self.groups = self._grouped(elements or ())
        self._index: _Index | None = None

    @property
    def interface(self) -> bool:
        """Whether interfaces must be told apart before the lookup."""
        return any(item.interface for item in self.operands)

    @property
    def plain_interface(self) -> bool:
        """Whether it looks at the name of the interface and at nothing else."""
        return len(self.operands) == 1 and self.operands[0].kind == "name" and self.name is None

    def cuts(self) -> list[Intervals]:
        """Sets of destinations that elements tell apart."""
        return [
            dim
            for place, item in enumerate(self.operands)
            if item.destination
            for group in self.groups
            if isinstance(dim := group.dims[place], tuple)
        ]

    def find(self, packet: Packet, world: World) -> list[Row] | None:
        """Say which sources find which value. None: the packet has no such key, and the rule breaks off."""
        full = FULL[packet.version]
        values = [item.read(packet, world) for item in self.operands]
        if ABSENT in values:
            return None
        unsure = next((value.reason for value in values if isinstance(value, Unsure)), None)
        if any(isinstance(value, Bits) for value in values):
            unsure = unsure or "some of its bits are not known"
        if self.unread:
            return [Row((), full, None, f"the elements of {self._spelled()} were not read")]
        rows: list[Row] = []
        for group in self._candidates(values):
            row = self._row(group, values, full)
            if row is None or not (row.yes or row.maybe):
                continue
            if unsure:
                row = Row((), union(row.yes, row.maybe), row.value, unsure)
            rows.append(row)
        if self.has_catchall:
            found = merge(pair for row in rows for pair in row.yes)
            perhaps = merge(pair for row in rows for pair in row.maybe)
            rest = subtract(full, union(found, perhaps))
            left = subtract(perhaps, found)
            reason = next((row.reason for row in rows if row.reason), None)
            rows.append(Row(rest, left, self.catchall, reason))
        if self.name is not None and self.name in packet.emptied:
            taken = f"rules on the way may have taken it out of {self._spelled()}"
            rows = [Row((), union(row.yes, row.maybe), row.value, taken) for row in rows]
        if self.name is not None and self.name in packet.filled:
            rows.append(Row((), full, None, f"rules on the way may have added it to {self._spelled()}"))
        return rows

    def _candidates(self, values: list[object]) -> Iterable[Group]:
        """Groups that may match: of many, those that an index finds."""
        if len(self.groups) <= _FEW:
            return self.groups
        if self._index is None:
            self._index = _Index(self.groups, [n for n in range(len(self.operands)) if n != self.at])
        value = values[self._index.place]
        return self._index.find(value) if isinstance(value, int) else self.groups

    def holding(self, place: int, value: int) -> tuple[object, ...]:
        """Tell what the groups that hold a value at an operand's place are beside that: equal for values treated alike."""
        values: list[object] = [None] * len(self.operands)
        values[place] = value
        return tuple(
            (*group.dims[:place], *group.dims[place + 1 :], group.sources, repr(group.value), group.odd)
            for group in self._candidates(values)
            if isinstance(dim := group.dims[place], tuple) and _in(value, dim)
        )

    def _row(self, group: Group, values: list[object], full: Intervals) -> Row | None:
        """Sources for which the elements of a group match, and those for which they may."""
        # A source that was translated may read as anything.
        moved = self.at is not None and isinstance(values[self.at], Unsure)
        sources = full if group.sources is None or moved else intersect(full, group.sources)
        perhaps: Intervals = ()
        reason = group.odd
        for place, value in enumerate(values):
            dim = group.dims[place]
            if isinstance(value, Unsure) and value.within is not None and isinstance(dim, tuple):
                if not intersect(value.within, dim):
                    return None
                continue
            if place == self.at or dim is None or isinstance(value, Unsure | Bits):
                continue
            if isinstance(value, BySource):
                known = merge(pair for _, part in value.kinds for pair in part)
                held = merge(
                    pair
                    for kind, part in value.kinds
                    if isinstance(dim, tuple) and _in(kind, dim)
                    for pair in part
                )
                perhaps = union(
                    intersect(perhaps, union(held, subtract(full, known))), subtract(sources, known)
                )
                sources = intersect(sources, held)
                reason = reason or "the way back to the source is not known"
            elif isinstance(dim, Names):
                if not isinstance(value, str) or not dim.hold(value):
                    return None
            elif not isinstance(value, int) or not _in(value, dim):
                return None
        if group.odd:
            return Row((), union(sources, perhaps), group.value, reason)
        return Row(sources, perhaps, group.value, reason if perhaps else None)

    def _grouped(self, elements: Iterable[tuple[Json, Json]]) -> list[Group]:
        found: dict[object, tuple[tuple[Constant | None, ...], list[tuple[int, int]], Json, str | None]] = {}
        alone = self.at == 0 and len(self.operands) == 1
        mask = self.masks[0] if self.masks else None
        for key, value in elements:
            wrapped = isinstance(key, dict) and "elem" in key
            bare = key["elem"]["val"] if wrapped else key
            limited = wrapped and not _LIMITS.isdisjoint(key["elem"])
            if bare == "*":
                self.has_catchall, self.catchall = True, value
                continue
            if (
                alone
                and value is None
                and not limited
                and isinstance(read := self._constant(self.operands[0], mask, bare), tuple)
            ):
                # Sets of addresses have a hundred thousand elements: nothing is made for each.
                found.setdefault(((None,), "None", None), ((None,), [], None, None))[1].extend(read)
                continue
            parts = bare["concat"] if isinstance(bare, dict) and "concat" in bare else [bare]
            if len(parts) != len(self.operands):
                dims: list[Constant | None] = [None] * len(self.operands)
            else:
                dims = [
                    self._constant(item, mask, part)
                    for item, mask, part in zip(self.operands, self.masks, parts, strict=True)
                ]
            own = dims[self.at] if self.at is not None else None
            odd = _NOT_UNDERSTOOD if any(dim is None for dim in dims) else _LIMITED if limited else None
            if self.at is not None:
                dims[self.at] = None
            sources = own if isinstance(own, tuple) else FULL[6]
            slot = (tuple(dims), repr(value), odd)
            entry = found.setdefault(slot, (tuple(dims), [], value, odd))
            entry[1].extend(sources)
        return [
            Group(dims, merge(pairs) if self.at is not None else None, value, odd, number)
            for number, (dims, pairs, value, odd) in enumerate(found.values())
        ]

    @staticmethod
    def _constant(item: Operand, mask: int | None, part: Json) -> Constant | None:
        read = constant(part, item.kind)
        if mask is None or not isinstance(read, tuple):
            return read
        return unmasked(read, mask, item.kind)

    def _spelled(self) -> str:
        return f"set {self.name[1]}" if self.name else "the set"


def comparison(op: str, left: Json, right: Json) -> Lookup:
    """Compile ``left op right`` with an ordering operator as a lookup of the numbers for which it holds."""
    found = Lookup([left], [])
    kind = found.operands[0].kind
    numbers = compared(op, right, kind)
    if numbers is not None and found.masks[0] is not None:
        numbers = None  # ``(address & mask) < x`` is not turned around.
    if numbers is None:
        found.groups = [Group((None,), FULL[6] if found.at is not None else None, None, odd=_NOT_UNDERSTOOD)]
    elif found.at is not None:
        found.groups = [Group((None,), numbers, None)]
    else:
        found.groups = [Group((numbers,), None, None)]
    return found


def negated(rows: list[Row], full: Intervals) -> Row:
    """Turn membership around, for ``!=``."""
    joined = together(rows)
    return Row(
        subtract(full, union(joined.yes, joined.maybe)),
        subtract(joined.maybe, joined.yes),
        None,
        joined.reason,
    )


def together(rows: list[Row]) -> Row:
    """Join rows into membership, whatever the values."""
    if len(rows) == 1:
        return rows[0]
    yes = merge(pair for row in rows for pair in row.yes)
    maybe = merge(pair for row in rows for pair in row.maybe)
    return Row(yes, subtract(maybe, yes), None, next((row.reason for row in rows if row.reason), None))


class Flags(NamedTuple):
    """``left in a,b`` (any of the flags is set) and ``left ! a,b`` (none is)."""

    item: Operand
    mask: int | None
    """None: the flags are not understood."""
    wanted: bool

    @property
    def interface(self) -> bool:
        """Flags do not depend on the interface."""
        return self.item.interface

    def cuts(self) -> list[Intervals]:
        """Flags tell no destinations apart."""
        return []

    def find(self, packet: Packet, world: World) -> list[Row] | None:
        """Say which sources match, as :meth:`Lookup.find` does."""
        full = FULL[packet.version]
        value = self.item.read(packet, world)
        if value is ABSENT:
            return None
        if isinstance(value, int):
            value = Bits(value, 0)
        if self.mask is None or not isinstance(value, Bits):
            reason = value.reason if isinstance(value, Unsure) else "its flags are not understood"
            return [Row((), full, None, reason)]
        if value.value & self.mask:
            return [Row(full, (), None)] if self.wanted else []
        if value.unknown & self.mask:
            return [Row((), full, None, "some of its bits are not known")]
        return [] if self.wanted else [Row(full, (), None)]


def flags(op: str, left: Json, right: Json) -> Flags:
    """Compile ``left in right`` or ``left ! right``."""
    item = operand(left)
    return Flags(item, number(right, item.kind) if item.kind != "name" else None, op == "in")


def _in(value: int, numbers: Intervals) -> bool:
    return any(low <= value <= high for low, high in numbers)
