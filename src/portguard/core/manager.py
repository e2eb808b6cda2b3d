"""Whose firewall decides on this host, and into which tables a heal may go."""

from __future__ import annotations

from typing import TYPE_CHECKING

from portguard.core.owner import Owner, owner_of_table
from portguard.model.policy import Manager

if TYPE_CHECKING:
    from portguard.model.ruleset import Json, Ruleset, Table

_RANK = (Manager.FIREWALLD, Manager.UFW, Manager.IPTABLES, Manager.NFTABLES)
_OF_OWNER = {Owner.FIREWALLD: Manager.FIREWALLD, Owner.UFW: Manager.UFW, Owner.IPTABLES: Manager.IPTABLES}
"""Owners that manage the host's firewall in a language of their own; all others write nft."""


def detect(ruleset: Ruleset) -> Manager:
    """Name who manages the firewall, by what the tables look like; ``portguard`` when nobody else filters input."""
    found = {owner for table in ruleset.tables.values() if (owner := manager_of(table)) is not None}
    return next((manager for manager in _RANK if manager in found), Manager.PORTGUARD)


def manager_of(table: Table) -> Manager | None:
    """Name who manages one table, or None where it has no say in what reaches this host."""
    owner = owner_of_table(table)
    if owner in (Owner.FIREWALLD, Owner.UFW):
        return _OF_OWNER[owner]
    # Tables that iptables made and nobody filled (an `iptables -L` is enough) decide nothing.
    if owner is Owner.PORTGUARD or not _can_drop(table):
        return None
    return _OF_OWNER.get(owner, Manager.NFTABLES)


def writable(table: Table) -> bool:
    """Say whether marked rules may be put into this table.

    Only into tables that a person wrote in nft's own language: firewalld, ufw and iptables lose or misread foreign rules
    (iptables-save turns a native set match into "accept everything"), other programs make their tables anew, and a table
    with an owner refuses them.
    """
    return (
        table.key.family in ("ip", "ip6", "inet")
        and "owner" not in table.flags
        and owner_of_table(table) is Owner.NFTABLES
        and not any(name.lower().startswith("docker") for name in table.chains)
        and not any(_has(rule.expr, "xt") for rules in table.rules.values() for rule in rules)
    )


def _can_drop(table: Table) -> bool:
    """Say whether anything in the table can keep a packet from reaching this host."""
    if not any(chain.hook in ("prerouting", "input", "ingress") for chain in table.chains.values()):
        return False
    if any(
        chain.policy == "drop" and chain.hook in ("prerouting", "input") for chain in table.chains.values()
    ):
        return True
    # A verdict map may hold a drop that no rule spells.
    return any(
        _has(rule.expr, statement)
        for rules in table.rules.values()
        for rule in rules
        for statement in ("drop", "reject", "vmap", "xt")
    )


def _has(expr: tuple[Json, ...], statement: str) -> bool:
    return any(isinstance(row, dict) and statement in row for row in expr)
