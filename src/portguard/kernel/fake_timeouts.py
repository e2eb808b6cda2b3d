"""Elements that the kernel forgets: what a set with ``flags timeout`` does as time passes.

As the kernel does it (``tests/contract``): an element goes when its time has run out, without an announcement, and a
listing says in whole seconds what is left. Adding one that is there does not prolong it, as in kernels before 6.12.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from portguard.model.apply import Tables
    from portguard.model.ruleset import Json, Table, TableKey

_UNTIL = "until"
"""Where the moment is kept at which an element goes; no listing shows it."""


def passed(tables: Tables, now: float) -> Tables:
    """Take out what has expired, and note for what is new when it will."""
    return replace(tables, tables=_each(tables.tables, lambda elements: _kept(elements, now)))


def listed(tables: Mapping[TableKey, Table], now: float) -> Mapping[TableKey, Table]:
    """Give the tables as a listing shows them now."""
    return _each(tables, lambda elements: tuple(_shown(element, now) for element in _kept(elements, now)))


def _each(
    tables: Mapping[TableKey, Table], change: Callable[[tuple[Json, ...]], tuple[Json, ...]]
) -> Mapping[TableKey, Table]:
    out = dict(tables)
    for key, table in tables.items():
        sets = {
            name: replace(row, elements=change(tuple(row.elements)))
            for name, row in table.sets.items()
            if "timeout" in row.flags and row.elements
        }
        if sets:
            out[key] = replace(table, sets={**table.sets, **sets})
    return out


def _kept(elements: Iterable[Json], now: float) -> tuple[Json, ...]:
    noted = [_noted(element, now) for element in elements]
    return tuple(element for element in noted if _until(element) > now)


def _noted(element: Json, now: float) -> Json:
    match element:
        case {"elem": {"timeout": seconds, **rest}} if _UNTIL not in rest:
            return {"elem": {**element["elem"], _UNTIL: now + seconds}}
        case _:
            return element


def _until(element: Json) -> float:
    match element:
        case {"elem": {"until": moment}}:
            return float(moment)
        case _:
            return float("inf")


def _shown(element: Json, now: float) -> Json:
    match element:
        case {"elem": {"until": moment, **rest}}:
            return {"elem": {**rest, "expires": int(moment - now)}}
        case _:
            return element
