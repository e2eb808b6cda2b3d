"""Say in our own words what pydantic found, and where it stands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from portguard.config.checks import FAULTS
from portguard.config.schema import TABLES, Document, keys_of
from portguard.config.sources import Layer, origin, spell
from portguard.config.values import show
from portguard.text import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pydantic import ValidationError

    from portguard.config.lines import Place
    from portguard.errors import Fault

NO_ROLE = (
    '{mode} needs a role, which says what this server is, e.g. role = "printum/all-in-one"; '
    "`portguard init` proposes one from what listens here"
)
NAMED = ("zones", "hosts", "settings")
"""Tables whose keys are names."""

MISPLACED = "belongs to the top of the file, above the first [table]"
"""TOML takes every key below a table's header as one of that table."""


def faults_of(error: ValidationError, layers: Sequence[Layer]) -> list[Fault]:
    """Translate every error."""
    found = []
    for row in error.errors(include_url=False):
        for place, message in _say(row):
            found.append(origin(layers, place).fault(place, message))
    return list(dict.fromkeys(found))


def _say(row: Any) -> Iterator[tuple[Place, str]]:
    place: Place = row["loc"]
    names = tuple(step for step in place if isinstance(step, str))
    match row["type"]:
        case str(kind) if kind == FAULTS:
            for inner, message in row["ctx"]["faults"]:
                where: Place = (*place, *inner)
                if len(where) > 1 and where[0] in NAMED and where[1] in keys_of(Document):
                    yield where[:2], MISPLACED
                else:
                    yield where, message
        case "extra_forbidden":
            yield place, _stranger(names)
        case "missing":
            yield place, "is missing"
        case "list_type" if isinstance(row["input"], dict):
            yield place, f"must be written as [[{spell(place)}]]"
        case "list_type":
            yield place, f"must be a list of tables, not {show(row['input'])}"
        case _:
            # What is left is pydantic's "this is no table" in its several names.
            yield place, f"must be a table, not {show(row['input'])}"


def _stranger(names: tuple[str, ...]) -> str:
    *above, name = names
    if above and name in keys_of(Document):
        return MISPLACED
    owners = [f"[{spell(path)}]" for path, table in TABLES.items() if path and name in keys_of(table)]
    if not above and len(owners) == 1:
        return f"is not a key of this file; it belongs under {owners[0]}"
    where = f"of [{'.'.join(above)}]" if above else "of this file"
    return f"is not a key {where}{did_you_mean(name, keys_of(TABLES[tuple(above)]))}"
