"""The atomic nft operations of one heal, as data: built, printed, checked, then run."""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from portguard.model.nft_text import statements_text, value_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from portguard.model.ruleset import Chain, Json, Set, TableKey


class Verb(StrEnum):
    """nft's verbs, as far as portguard uses them."""

    ADD = "add"
    INSERT = "insert"
    """At the head of the chain, or before the rule ``handle``."""
    DELETE = "delete"
    FLUSH = "flush"
    """Empty a set; what it held, and whether it held anything, does not matter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TableOp:
    """Add or delete a table."""

    verb: Verb
    table: TableKey

    def json(self) -> Json:
        """Spell it as a libnftables command."""
        return {self.verb: {"table": {"family": self.table.family, "name": self.table.name}}}

    def __str__(self) -> str:
        return f"{self.verb} table {self.table}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainOp:
    """Add or delete a chain."""

    verb: Verb
    table: TableKey
    chain: Chain

    def json(self) -> Json:
        """Spell it as a libnftables command."""
        body: dict[str, Json] = {
            "family": self.table.family,
            "table": self.table.name,
            "name": self.chain.name,
        }
        if self.chain.base:
            body |= {
                "type": self.chain.type,
                "hook": self.chain.hook,
                "prio": self.chain.priority,
                "policy": self.chain.policy,
            }
        return {self.verb: {"chain": body}}

    def __str__(self) -> str:
        text = f"{self.verb} chain {self.table} {self.chain.name}"
        if self.chain.base:
            text += (
                f" {{ type {self.chain.type} hook {self.chain.hook} priority {self.chain.priority};"
                f" policy {self.chain.policy}; }}"
            )
        return text


@dataclass(frozen=True, slots=True, kw_only=True)
class SetOp:
    """Add or delete a named set with its elements, or empty it."""

    verb: Verb
    table: TableKey
    set: Set

    def json(self) -> Json:
        """Spell it as a libnftables command."""
        kind = self.set.type[0] if len(self.set.type) == 1 else list(self.set.type)
        body: dict[str, Json] = {"family": self.table.family, "table": self.table.name, "name": self.set.name}
        if self.verb is Verb.ADD:
            body |= {"type": kind, "flags": list(self.set.flags)}
            if self.set.elements:
                body["elem"] = list(self.set.elements)
        return {self.verb: {"set": body}}

    def __str__(self) -> str:
        text = f"{self.verb} set {self.table} {self.set.name}"
        if self.verb is not Verb.ADD:
            return text
        flags = f" flags {','.join(self.set.flags)};" if self.set.flags else ""
        elements = (
            f" elements = {{ {', '.join(value_text(e) for e in self.set.elements)} }};"
            if self.set.elements
            else ""
        )
        return f"{text} {{ type {' . '.join(self.set.type)};{flags}{elements} }}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ElementOp:
    """Add elements to a set, or delete them from it."""

    verb: Verb
    table: TableKey
    set: str
    elements: Sequence[Json]

    def json(self) -> Json:
        """Spell it as a libnftables command."""
        return {
            self.verb: {
                "element": {
                    "family": self.table.family,
                    "table": self.table.name,
                    "name": self.set,
                    "elem": list(self.elements),
                }
            }
        }

    def __str__(self) -> str:
        elements = ", ".join(value_text(element) for element in self.elements)
        return f"{self.verb} element {self.table} {self.set} {{ {elements} }}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleOp:
    """Add, insert or delete one rule."""

    verb: Verb
    table: TableKey
    chain: str
    expr: tuple[Json, ...] = ()
    comment: str | None = None
    handle: int | None = None
    """The rule to delete, or the one to insert before."""

    def json(self) -> Json:
        """Spell it as a libnftables command."""
        body: dict[str, Json] = {"family": self.table.family, "table": self.table.name, "chain": self.chain}
        if self.handle is not None:
            body["handle"] = self.handle
        if self.verb is not Verb.DELETE:
            body["expr"] = list(self.expr)
            if self.comment is not None:
                body["comment"] = self.comment
        return {self.verb: {"rule": body}}

    def __str__(self) -> str:
        where = f"{self.verb} rule {self.table} {self.chain}"
        if self.verb is Verb.DELETE:
            return f"{where} handle {self.handle}"
        if self.handle is not None:
            where += f" position {self.handle}"
        comment = "" if self.comment is None else f' comment "{self.comment}"'
        return f"{where} {statements_text(self.expr)}{comment}"


Operation = TableOp | ChainOp | SetOp | ElementOp | RuleOp


@dataclass(frozen=True, slots=True, kw_only=True)
class Transaction:
    """Operations that the kernel takes all together or not at all."""

    operations: tuple[Operation, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.operations)

    def to_json(self) -> str:
        """Spell it for ``nft -j -f -`` and libnftables."""
        return json.dumps({"nftables": [operation.json() for operation in self.operations]})

    def __str__(self) -> str:
        """Spell it for people and ``nft -f``, one command a line."""
        return "".join(f"{operation}\n" for operation in self.operations)
