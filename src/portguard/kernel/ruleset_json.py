"""Read ``nft -j list ruleset`` as nft 1.0.6 to 1.1.3 print it. Pure: the listing is fetched elsewhere.

What is no listing raises: a truncated or foreign document must never look like an empty ruleset. Inside a
listing every object is kept in its own table, so that one odd object costs that table and no other.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from portguard.errors import ObserveError
from portguard.model.elements import Elements
from portguard.model.ruleset import Chain, Rule, Ruleset, Set, Table, TableKey

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from portguard.model.ruleset import Json

UNREADABLE_FLAGS = "unreadable"
"""Stands for table flags that nft printed as garbage (1.0.6 prints any flag as some string of its memory)."""

_TABLE_FLAGS = frozenset({"dormant", "owner", "persist"})
_HOOK_PRIORITY = {"raw": -300, "mangle": -150, "dstnat": -100, "filter": 0, "security": 50, "srcnat": 100}


def parse_ruleset(document: Json, *, generation: int, terse: bool = False) -> Ruleset:
    """Build the ruleset from a decoded listing.

    ``terse`` says that the listing was made with ``--terse``: elements of sets are then not read, and stay
    unknown. Raises ObserveError when the document is not a listing at all. A table with an object that has not
    the shape of nft's JSON goes to ``unreadable``.
    """
    builders: dict[TableKey, _TableBuilder] = {}
    for kind, body in _objects(document):
        if kind == "metainfo":
            continue
        key = _table_key(kind, body)
        builder = builders.get(key)
        if builder is None:
            if kind != "table":
                raise ObserveError(f"the listing of the ruleset names a {kind} of {key} before that table")
            builder = builders[key] = _TableBuilder(key)
        builder.add(kind, body, terse=terse)
    return Ruleset(
        generation=generation,
        tables={key: builder.table() for key, builder in builders.items() if builder.fault is None},
        unreadable={key: builder.fault for key, builder in builders.items() if builder.fault is not None},
    )


def _objects(document: Json) -> list[tuple[str, Mapping[str, Json]]]:
    """Take the listing apart into its objects, or say why it is none."""
    if not isinstance(document, dict) or not isinstance(document.get("nftables"), list):
        raise ObserveError("what nft printed is not a listing of a ruleset")
    out: list[tuple[str, Mapping[str, Json]]] = []
    for item in document["nftables"]:
        if not isinstance(item, dict) or len(item) != 1:
            raise ObserveError("the listing of the ruleset holds something that is not one object")
        ((kind, body),) = item.items()
        if not isinstance(body, dict):
            raise ObserveError(f"the listing of the ruleset holds a {kind} without content")
        out.append((kind, body))
    if not out or out[0][0] != "metainfo":
        # libnftables starts every listing with it, so a document without it is somebody else's or the tail of one.
        raise ObserveError("the listing of the ruleset does not start with its metainfo")
    return out


def _table_key(kind: str, body: Mapping[str, Json]) -> TableKey:
    """Say which table an object belongs to."""
    family, name = body.get("family"), body.get("name" if kind == "table" else "table")
    if not isinstance(family, str) or not isinstance(name, str):
        raise ObserveError(f"the listing of the ruleset holds a {kind} that names no table")
    return TableKey(family, name)


class _TableBuilder:
    """Collects the objects of one table in the kernel's order."""

    def __init__(self, key: TableKey) -> None:
        self.key = key
        self.fault: str | None = None
        self._handle = 0
        self._flags: tuple[str, ...] = ()
        self._chains: dict[str, Chain] = {}
        self._rules: dict[str, list[Rule]] = {}
        self._sets: dict[str, Set] = {}
        self._filled: set[str] = set()

    def add(self, kind: str, body: Mapping[str, Json], *, terse: bool) -> None:
        """Take one object in. A malformed one makes the table unreadable, with the first reason kept."""
        try:
            if kind == "table":
                self._handle = _number(body.get("handle", 0))
                self._flags = _flags(body.get("flags"), _TABLE_FLAGS)
            elif kind == "chain":
                chain = _chain(body)
                self._chains[chain.name] = chain
            elif kind == "rule":
                rule = _rule(body)
                self._rules.setdefault(rule.chain, []).append(rule)
                self._filled.update(_filled_sets(rule.expr))
            elif kind in {"set", "map"}:
                found = _set(body, terse=terse)
                self._sets[found.name] = found
            # Counters, quotas, limits, helpers, flowtables: the rules that refer to them carry their names.
        except (ValueError, TypeError, KeyError) as fault:
            self.fault = (
                self.fault
                or f"its {kind} {body.get('name') or body.get('handle') or ''} is not understood: {fault}"
            )

    def table(self) -> Table:
        """Freeze what was collected."""
        return Table(
            key=self.key,
            handle=self._handle,
            flags=self._flags,
            chains=self._chains,
            rules={chain: tuple(rules) for chain, rules in self._rules.items()},
            sets={name: self._with_origin(found) for name, found in self._sets.items()},
        )

    def _with_origin(self, found: Set) -> Set:
        """Mark a set that rules fill: nft 1.0.6 does not print its ``dynamic`` flag."""
        if found.dynamic or found.name not in self._filled:
            return found
        return replace(found, dynamic=True)


def _chain(body: Mapping[str, Json]) -> Chain:
    name = _word(body["name"])
    handle = _number(body.get("handle", 0))
    if "hook" not in body:
        return Chain(name=name, handle=handle)
    priority = body["prio"]
    if isinstance(priority, str):
        # Never printed by the versions known; nft takes it as input, so a later one may print it.
        priority = _HOOK_PRIORITY[priority]
    devices = body.get("dev")
    policy = body.get("policy")
    return Chain(
        name=name,
        handle=handle,
        type=_word(body["type"]),
        hook=_word(body["hook"]),
        priority=_number(priority),
        policy=None if policy is None else _word(policy),
        devices=None if devices is None else _words(devices),
    )


def _rule(body: Mapping[str, Json]) -> Rule:
    expr = body.get("expr", [])
    if not isinstance(expr, list):
        raise TypeError("its statements are not a list")
    comment = body.get("comment")
    return Rule(
        chain=_word(body["chain"]),
        handle=_number(body.get("handle", 0)),
        expr=tuple(expr),
        comment=comment if isinstance(comment, str) else None,
    )


def _set(body: Mapping[str, Json], *, terse: bool) -> Set:
    flags = _flags(body.get("flags"), None)
    value = body.get("map")
    elements = body.get("elem")
    if elements is not None and not isinstance(elements, list | Elements):
        raise TypeError("its elements are not a list")
    size, statements = body.get("size"), body.get("stmt", [])
    return Set(
        name=_word(body["name"]),
        handle=_number(body.get("handle", 0)),
        type=_datatypes(body["type"]),
        map=None if value is None else " . ".join(_datatypes(value)),
        flags=flags,
        elements=_elements(elements, terse=terse),
        dynamic="dynamic" in flags,
        size=None if size is None else _number(size),
        statements=tuple(statements) if isinstance(statements, list) else (statements,),
    )


def _elements(listed: Json, *, terse: bool) -> Sequence[Json] | None:
    """Elements as they are listed; a full listing leaves out those of an empty set, a terse one all that were not fetched."""
    if listed is None and terse:
        return None
    return listed if isinstance(listed, Elements) else tuple(listed or ())


def _datatypes(value: Json) -> tuple[str, ...]:
    """Read ``"ipv4_addr"``, ``["ipv4_addr", "inet_service"]``, or the expression of a ``typeof`` declaration."""
    if isinstance(value, str):
        return (value,)
    if isinstance(value, list):
        return tuple(kind for item in value for kind in _datatypes(item))
    if isinstance(value, dict):
        inner = value.get("typeof", value)
        if isinstance(inner, dict) and isinstance(inner.get("concat"), list):
            return tuple(kind for item in inner["concat"] for kind in _datatypes(item))
        return ("typeof",)
    raise TypeError(f"its type {value!r} is not understood")


def _filled_sets(expr: tuple[Json, ...]) -> set[str]:
    """Name the sets to which a rule adds elements as packets pass."""
    out: set[str] = set()
    for statement in expr:
        if not isinstance(statement, dict):
            continue
        for kind in ("set", "map"):
            body = statement.get(kind)
            target = body.get(kind) if isinstance(body, dict) else None
            if isinstance(target, str):
                out.add(target.removeprefix("@"))
    return out


def _flags(value: Json, known: frozenset[str] | None) -> tuple[str, ...]:
    """Read flags, printed as a string, as a list, or (table flags of nft 1.0.6) as a string of nft's memory."""
    if value is None:
        return ()
    words = tuple(value) if isinstance(value, list) else (value,)
    if known is not None and not all(isinstance(word, str) and word in known for word in words):
        return (UNREADABLE_FLAGS,)
    return tuple(_word(word) for word in words)


def _words(value: Json) -> tuple[str, ...]:
    return tuple(_word(item) for item in value) if isinstance(value, list) else (_word(value),)


def _word(value: Json) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not a name")
    return value


def _number(value: Json) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{value!r} is not a number")
    return value
