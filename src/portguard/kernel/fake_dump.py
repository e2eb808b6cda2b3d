"""The fake world as text, for tests that compare all of it with one block."""

from __future__ import annotations

from typing import TYPE_CHECKING

from portguard.model.transaction import ChainOp, RuleOp, SetOp, TableOp, Verb

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from portguard.model.listener import Listener
    from portguard.model.ruleset import Ruleset, Table
    from portguard.model.snapshot import Links


def dump(ruleset: Ruleset, listeners: Sequence[Listener], links: Links) -> str:
    """Spell the ruleset as the nft commands that would make it, then listeners and links, one a line."""
    lines = [f"generation {ruleset.generation}"]
    for table in ruleset.tables.values():
        lines += _table(table)
    lines += [_listener(listener) for listener in listeners]
    lines += _links(links)
    return "".join(f"{line}\n" for line in lines)


def _table(table: Table) -> Iterator[str]:
    """Spell a table: sets, chains, then rules, which may refer to both."""
    key = table.key
    yield str(TableOp(verb=Verb.ADD, table=key))
    for named in table.sets.values():
        yield str(SetOp(verb=Verb.ADD, table=key, set=named))
    for chain in table.chains.values():
        yield str(ChainOp(verb=Verb.ADD, table=key, chain=chain))
    for chain_name in table.chains:
        for rule in table.rules_of(chain_name):
            add = RuleOp(verb=Verb.ADD, table=key, chain=chain_name, expr=rule.expr, comment=rule.comment)
            yield f"{add} # handle {rule.handle}"


def _listener(listener: Listener) -> str:
    """Spell a listener with what is known of its owner."""
    parts = ["listener", str(listener), listener.owner.unit or "", listener.owner.process or ""]
    if listener.address.version == 6 and listener.wildcard:
        parts.append("v6only" if listener.v6only else "dual-stack")
    return " ".join(part for part in parts if part)


def _links(links: Links) -> Iterator[str]:
    """Spell interfaces, routes and neighbours."""
    for interface in links.interfaces:
        addresses = "".join(f" {address}/{length}" for address, length in interface.addresses)
        yield f"interface {interface.index} {interface.name} {'up' if interface.up else 'down'}{addresses}"
    for route in links.routes:
        via = "" if route.gateway is None else f" via {route.gateway}"
        yield f"route {route.network}{via} interface {route.interface} table {route.table}"
    for neighbour in links.neighbours:
        yield f"neighbour {neighbour.address} interface {neighbour.interface} {neighbour.mac or 'unanswered'}"
