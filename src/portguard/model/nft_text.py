"""nft's text for libnftables' JSON: what a person reads in ``plan``, ``why`` and the journal.

It is for reading. What is compared, committed and evaluated is always the JSON itself.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from portguard.model.ruleset import Json


def value_text(value: Json) -> str:
    """Spell a value: a number, an address, a range, a set, a reference to a set."""
    match value:
        case str() | int():
            return str(value)
        case {"prefix": {"addr": addr, "len": length}}:
            return f"{addr}/{length}"
        case {"range": [first, last]}:
            return f"{value_text(first)}-{value_text(last)}"
        case {"set": members} if isinstance(members, list):
            return f"{{ {', '.join(value_text(member) for member in members)} }}"
        case {"concat": parts}:
            return " . ".join(value_text(part) for part in parts)
        case _:
            return json.dumps(value)


def statements_text(expr: Sequence[Json]) -> str:
    """Spell the statements of a rule; what has no spelling here is shown as its JSON, never left out."""
    return " ".join(json.dumps(statement) for statement in expr)
