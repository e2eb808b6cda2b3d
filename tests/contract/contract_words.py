"""Short spellings for transactions, so that a case reads as what happens."""

from __future__ import annotations

import select
from typing import TYPE_CHECKING

from portguard.model.ruleset import Chain, Set, TableKey
from portguard.model.transaction import ChainOp, ElementOp, RuleOp, SetOp, TableOp, Transaction, Verb

if TYPE_CHECKING:
    from portguard.model.ruleset import Json
    from portguard.model.transaction import Operation

OURS = TableKey("inet", "portguard")
THEIRS = TableKey("ip", "filter")
INPUT = Chain(name="input", type="filter", hook="input", priority=0, policy="accept")
ACCEPT = ({"accept": None},)
DROP = ({"drop": None},)
TO_8001 = {"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": 8001}}


def tx(*operations: Operation) -> Transaction:
    return Transaction(operations=operations)


def add_table(key: TableKey = OURS) -> TableOp:
    return TableOp(verb=Verb.ADD, table=key)


def delete_table(key: TableKey = OURS) -> TableOp:
    return TableOp(verb=Verb.DELETE, table=key)


def add_chain(chain: Chain = INPUT, key: TableKey = OURS) -> ChainOp:
    return ChainOp(verb=Verb.ADD, table=key, chain=chain)


def delete_chain(name: str, key: TableKey = OURS) -> ChainOp:
    return ChainOp(verb=Verb.DELETE, table=key, chain=Chain(name=name))


def add_rule(
    comment: str | None = None,
    *,
    expr: tuple[Json, ...] = ACCEPT,
    chain: str = "input",
    key: TableKey = OURS,
    after: int | None = None,
) -> RuleOp:
    return RuleOp(verb=Verb.ADD, table=key, chain=chain, expr=expr, comment=comment, handle=after)


def insert_rule(comment: str | None = None, *, before: int | None = None) -> RuleOp:
    return RuleOp(verb=Verb.INSERT, table=OURS, chain="input", expr=ACCEPT, comment=comment, handle=before)


def delete_rule(handle: int, *, chain: str = "input") -> RuleOp:
    return RuleOp(verb=Verb.DELETE, table=OURS, chain=chain, handle=handle)


def a_set(
    *elements: Json, kind: str = "ipv4_addr", name: str = "printers", flags: tuple[str, ...] = ()
) -> Set:
    return Set(name=name, type=(kind,), flags=flags, elements=elements)


def add_set(wanted: Set) -> SetOp:
    return SetOp(verb=Verb.ADD, table=OURS, set=wanted)


def delete_set(name: str = "printers") -> SetOp:
    return SetOp(verb=Verb.DELETE, table=OURS, set=a_set(name=name))


def add_elements(*elements: Json, name: str = "printers") -> ElementOp:
    return ElementOp(verb=Verb.ADD, table=OURS, set=name, elements=elements)


def flush_set(name: str = "printers") -> SetOp:
    return SetOp(verb=Verb.FLUSH, table=OURS, set=a_set(name=name))


def for_seconds(value: Json, seconds: int) -> Json:
    """Spell an element that the kernel forgets."""
    return {"elem": {"val": value, "timeout": seconds}}


def delete_elements(*elements: Json, name: str = "printers") -> ElementOp:
    return ElementOp(verb=Verb.DELETE, table=OURS, set=name, elements=elements)


def from_set(name: str = "printers") -> Json:
    source = {"payload": {"protocol": "ip", "field": "saddr"}}
    return {"match": {"op": "==", "left": source, "right": f"@{name}"}}


def jump(chain: str) -> Json:
    return {"jump": {"target": chain}}


def readable(descriptor: int) -> bool:
    """Whether a selector wakes up for it."""
    return bool(select.select([descriptor], [], [], 0)[0])
