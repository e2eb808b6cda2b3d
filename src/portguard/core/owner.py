"""Whose rule it is: which program, or the administrator, a table and its chains belong to."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from portguard.core.render import OWN_TABLE
from portguard.model.ruleset import Table

if TYPE_CHECKING:
    from portguard.model.ruleset import RuleRef, Ruleset


class Owner(StrEnum):
    """Who writes a rule, and so who has to change it."""

    PORTGUARD = "portguard"
    FIREWALLD = "firewalld"
    UFW = "ufw"
    DOCKER = "docker"
    PODMAN = "podman"
    LIBVIRT = "libvirt"
    FAIL2BAN = "fail2ban"
    CROWDSEC = "crowdsec"
    FOOMUURI = "foomuuri"
    SHOREWALL = "shorewall"
    IPTABLES = "iptables"
    NFTABLES = "nftables"
    """The administrator, in nft's own language."""


_CHAINS = (
    ("f2b-", Owner.FAIL2BAN),
    ("ufw-", Owner.UFW),
    ("ufw6-", Owner.UFW),
    ("docker", Owner.DOCKER),
    ("netavark", Owner.PODMAN),
    ("cni-", Owner.PODMAN),
    ("libvirt_", Owner.LIBVIRT),
)
"""Beginnings of chain names, in small letters, by which programs mark their rules."""
_TABLES = (
    ("firewalld", Owner.FIREWALLD),
    ("f2b-", Owner.FAIL2BAN),
    ("docker", Owner.DOCKER),
    ("netavark", Owner.PODMAN),
    ("libvirt", Owner.LIBVIRT),
    ("crowdsec", Owner.CROWDSEC),
    ("foomuuri", Owner.FOOMUURI),
)
_IPTABLES_CHAINS = frozenset({"INPUT", "FORWARD", "OUTPUT", "PREROUTING", "POSTROUTING"})


def owner_of(ruleset: Ruleset, ref: RuleRef) -> Owner:
    """Name who has to change a rule or policy: by its chain, else by its table."""
    table = ruleset.tables.get(ref.table, Table(key=ref.table))
    by_chain = None if table.key == OWN_TABLE else _by_name(ref.chain, _CHAINS)
    if ref.chain == "FORWARD" and "DOCKER-USER" in table.chains:
        # Docker sets the policy of that chain itself, and asks for other people's rules in its own.
        return Owner.DOCKER
    return by_chain or owner_of_table(table)


def owner_of_table(table: Table) -> Owner:
    """Name who a table as a whole belongs to."""
    if table.key == OWN_TABLE:
        return Owner.PORTGUARD
    if (owner := _by_name(table.key.name, _TABLES)) is not None:
        return owner
    if any(name.startswith(("ufw-", "ufw6-")) for name in table.chains):
        return Owner.UFW
    if "shorewall" in table.chains:
        return Owner.SHOREWALL
    if any(name in _IPTABLES_CHAINS and chain.base for name, chain in table.chains.items()):
        # iptables-nft names its base chains in capitals; a person who writes nft does not.
        return Owner.IPTABLES
    return Owner.NFTABLES


def _by_name(name: str, marks: tuple[tuple[str, Owner], ...]) -> Owner | None:
    return next((owner for beginning, owner in marks if name.lower().startswith(beginning)), None)
