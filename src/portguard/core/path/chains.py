"""Chains compiled for walking: which rules of a chain can concern a packet at all, found without trying each of them.

Rules are sketched first and compiled when a packet comes by that they may match. Ports that no rule tells apart share what
was found for one of them.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING, NamedTuple

from portguard.core.path.ops import Branching, Verdict
from portguard.core.path.rules import CompiledRule, compile_rule
from portguard.core.path.runs import Line, Run
from portguard.core.path.sketch import Sketch, sketch

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence

    from portguard.model.net import Intervals
    from portguard.model.ruleset import Rule, Set, TableKey

_WORTH_A_RUN = 8
"""So many plain rules one after the other are one lookup; fewer are walked one by one."""


class Concern:
    """The rules of a chain that packets of a class can match, in order. Equal ones are one object."""

    __slots__ = ("_pieces", "_ports", "rules")

    def __init__(self, rules: tuple[CompiledRule | Run, ...]) -> None:
        self.rules = rules
        asked = [rule.ports for rule in rules if isinstance(rule, CompiledRule)]
        known = [found for found in asked if found is not None]
        self._ports = [one for found in known for one in found] if len(known) == len(asked) else None
        self._pieces: dict[int, Hashable] = {}

    def piece(self, port: int | None) -> Hashable:
        """Give something that is equal for ports between which none of the rules can tell."""
        if port is None or self._ports is None:
            return port
        if port not in self._pieces:
            self._pieces[port] = tuple(lookup.holding(place, port) for lookup, place in self._ports)
        return self._pieces[port]


class _Class(NamedTuple):
    """Packets that the sketches of a chain do not tell apart."""

    version: int
    transport: str
    port: int | None
    """A piece between the ports that sketches name; None: the port is not known."""
    names: frozenset[str]
    """Those interfaces by which it may have come in that sketches name."""


class _Index:
    """Places of the rules of one version and transport, by what limits them further."""

    def __init__(self, sketches: Sequence[Sketch], version: int, transport: str) -> None:
        self.free: list[int] = []
        """Rules that neither port nor interface limits."""
        self.of_port: dict[int, list[int]] = {}
        self.of_ports: list[tuple[int, Intervals]] = []
        self.of_name: dict[str, list[int]] = {}
        borders: set[int] = set()
        for place, row in enumerate(sketches):
            if row.version not in {None, version} or row.transport not in {None, transport}:
                continue
            if row.ports is not None:
                for low, high in row.ports:
                    borders.update((low, high + 1))
                if len(row.ports) == 1 and row.ports[0][0] == row.ports[0][1]:
                    self.of_port.setdefault(row.ports[0][0], []).append(place)
                else:
                    self.of_ports.append((place, row.ports))
            elif row.names is not None:
                for name in row.names:
                    self.of_name.setdefault(name, []).append(place)
            else:
                self.free.append(place)
        self.borders = sorted(borders)
        self.names = frozenset(name for row in sketches for name in row.names or ())

    def places(self, port: int | None, names: frozenset[str], sketches: Sequence[Sketch]) -> list[int]:
        """Find the rules that packets to a port (None: to any), by some of the named interfaces, can match."""
        found: set[int] = set()
        if port is None:
            found.update(place for places in self.of_port.values() for place in places)
            found.update(place for place, _ in self.of_ports)
        else:
            found.update(self.of_port.get(port, ()))
            found.update(
                place for place, ports in self.of_ports if any(low <= port <= high for low, high in ports)
            )
        limited = [place for place in found if (by := sketches[place].names) is None or by & names]
        limited += [place for name in names for place in self.of_name.get(name, ())]
        return sorted({*limited, *self.free}) if limited else self.free


class CompiledChain:
    """The rules of one chain that can decide or change something."""

    def __init__(
        self,
        rules: Iterable[Rule],
        table: TableKey,
        sets: Mapping[str, Set],
        before: CompiledChain | None = None,
    ) -> None:
        """Sketch the rules. What is the same as in the chain ``before``, an earlier version, is taken over."""
        self._table = table
        self.sets = sets
        self.sketched: dict[int, Sketch] = {}
        """By the identity of the rule, which a sketch keeps alive."""
        self._sources: dict[int, Intervals | None] = {}
        """Sources that plain rules name, by the identity of the rule."""
        self.compiled: dict[int, CompiledRule | None] = {}
        self.runs: dict[tuple[int, ...], Run] = {}
        self._indexes: dict[tuple[int, str], _Index] = {}
        self._found: dict[_Class, Concern] = {}
        self.concerns: dict[tuple[int, ...], Concern] = {}
        """By the identities of their rules, which they keep alive."""
        self._verdicts: frozenset[tuple[str, str]] | None = None
        old = before.sketched if before is not None else {}
        self._sketches = [old.get(id(rule)) or sketch(rule) for rule in rules]
        self.sketched = {id(row.rule): row for row in self._sketches}
        self._before = None if before is None else (before.runs, before.concerns)
        if before is not None:
            self.compiled = {
                key: rule
                for key, rule in before.compiled.items()
                if key in self.sketched and _same_sets(rule, before.sets, sets)
            }

    def settle(self) -> None:
        """Let go of the version before this one."""
        self._before = None

    def every(self) -> Iterator[CompiledRule]:
        """All rules, compiled."""
        for row in self._sketches:
            rule = self._compile(row)
            if rule is not None:
                yield rule

    def verdicts(self) -> frozenset[tuple[str, str]]:
        """Kind and target of each verdict in the chain."""
        if self._verdicts is None:
            self._verdicts = frozenset(pair for row in self._sketches for pair in self._verdicts_of(row))
        return self._verdicts

    def _verdicts_of(self, row: Sketch) -> Iterator[tuple[str, str]]:
        if row.verdict is not None:
            yield row.verdict
            return
        rule = self._compile(row)
        for op in rule.ops if rule is not None else ():
            if isinstance(op, Verdict):
                yield op.kind, op.target
            elif isinstance(op, Branching):
                yield from op.verdicts()

    def concerning(
        self, version: int, transport: str, port: int | None, interfaces: frozenset[str]
    ) -> Concern:
        """Rules that packets of a class can match, in order; they came in by one of these interfaces."""
        index = self._indexes.get((version, transport))
        if index is None:
            index = self._indexes[version, transport] = _Index(self._sketches, version, transport)
        piece = None if port is None else bisect_right(index.borders, port)
        key = _Class(version, transport, piece, interfaces & index.names)
        found = self._found.get(key)
        if found is None:
            places = index.places(port, key.names, self._sketches)
            found = self._found[key] = self._concern(places, key)
        return found

    def _concern(self, places: Sequence[int], packets: _Class) -> Concern:
        rules = tuple(self._concerning(places, packets))
        key = tuple(map(id, rules))
        if key not in self.concerns:
            old = self._before[1].get(key) if self._before is not None else None
            self.concerns[key] = old or Concern(rules)
        return self.concerns[key]

    def _concerning(self, places: Sequence[int], packets: _Class) -> Iterator[CompiledRule | Run]:
        run: list[Sketch] = []
        for place in places:
            row = self._sketches[place]
            # A translation may have made the port unknown: then a rule that names one is no sure match.
            if row.plain and (row.ports is None or packets.port is not None) and self._sources_of(row):
                run.append(row)
                continue
            if run:
                yield from self._run(run)
                run = []
            rule = self._compile(row)
            if rule is not None and rule.concerns(packets.version, packets.transport):
                yield rule
        yield from self._run(run)

    def _sources_of(self, row: Sketch) -> Intervals | None:
        key = id(row.rule)
        if key not in self._sources:
            self._sources[key] = None if row.source is None else row.sources()
        return self._sources[key]

    def _run(self, rows: list[Sketch]) -> Iterator[CompiledRule | Run]:
        """Give a run of plain rules as one lookup; a short one rule by rule."""
        if len(rows) < _WORTH_A_RUN:
            for row in rows:
                if (rule := self._compile(row)) is not None:
                    yield rule
            return
        key = tuple(map(id, rows))
        if key not in self.runs:
            old = self._before[0].get(key) if self._before is not None else None
            self.runs[key] = old or Run(
                [
                    Line(row.rule, row.verdict[0] if row.verdict else "", self._sources_of(row) or ())
                    for row in rows
                ]
            )
        yield self.runs[key]

    def _compile(self, row: Sketch) -> CompiledRule | None:
        key = id(row.rule)
        if key not in self.compiled:
            self.compiled[key] = compile_rule(row.rule, self._table, self.sets)
        return self.compiled[key]


def _same_sets(rule: CompiledRule | None, before: Mapping[str, Set], now: Mapping[str, Set]) -> bool:
    return rule is None or all(before.get(name) is now.get(name) for name in rule.sets)
