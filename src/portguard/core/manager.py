"""Whose firewall decides on this host, and into which tables a heal may go."""

from __future__ import annotations

from typing import TYPE_CHECKING

from portguard.core.render import OWN_TABLE
from portguard.model.net import EVERYTHING
from portguard.model.policy import Manager, opened_to

if TYPE_CHECKING:
    from portguard.model.policy import Service
    from portguard.model.ruleset import Json, Ruleset, Table

_IPTABLES_CHAINS = frozenset({"INPUT", "FORWARD", "OUTPUT", "PREROUTING", "POSTROUTING"})
_RANK = (Manager.FIREWALLD, Manager.UFW, Manager.IPTABLES, Manager.NFTABLES)


def detect(ruleset: Ruleset) -> Manager:
    """Name who manages the firewall, by what the tables look like; ``portguard`` when nobody else filters input."""
    found = {owner for table in ruleset.tables.values() if (owner := manager_of(table)) is not None}
    return next((manager for manager in _RANK if manager in found), Manager.PORTGUARD)


def manager_of(table: Table) -> Manager | None:
    """Name who manages one table, or None where it has no say in what reaches this host."""
    if table.key == OWN_TABLE:
        return None
    if table.key.name == "firewalld":
        return Manager.FIREWALLD
    if any(name.startswith("ufw") for name in table.chains):
        return Manager.UFW
    if any(name in _IPTABLES_CHAINS and chain.base for name, chain in table.chains.items()):
        # iptables-nft names its base chains in capitals; a person writing nft does not. Tables that iptables made and
        # nobody filled (an `iptables -L` is enough) decide nothing.
        return Manager.IPTABLES if _can_drop(table) else None
    return Manager.NFTABLES if _can_drop(table) else None


def writable(table: Table) -> bool:
    """Say whether marked rules may be put into this table.

    Only into tables that a person wrote in nft's own language: firewalld, ufw and iptables lose or misread foreign rules
    (iptables-save turns a native set match into "accept everything"), and a table with an owner refuses them.
    """
    return (
        table.key.family in ("ip", "ip6", "inet")
        and "owner" not in table.flags
        and not any("docker" in name.lower() for name in (table.key.name, *table.chains))
        and manager_of(table) in (None, Manager.NFTABLES)
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
        _has(rule.expr, "drop")
        or _has(rule.expr, "reject")
        or _has(rule.expr, "vmap")
        or _has(rule.expr, "xt")
        for rules in table.rules.values()
        for rule in rules
    )


def _has(expr: tuple[Json, ...], statement: str) -> bool:
    return any(isinstance(row, dict) and statement in row for row in expr)


def command(manager: str | None, service: Service) -> str | None:
    """Spell the command that opens a service in the language of the firewall that blocks it; None where we may write."""
    if service.ports is None:
        return None
    ports, transport = service.ports, service.transport.value
    networks = [str(network) for network in opened_to(service).networks()]
    everyone = opened_to(service) == EVERYTHING
    match manager:
        case Manager.FIREWALLD.value:
            if everyone:
                return f"firewall-cmd --permanent --add-port={ports}/{transport} && firewall-cmd --reload"
            rich = " ".join(
                f'--add-rich-rule=\'rule family="{"ipv6" if ":" in network else "ipv4"}" source address="{network}"'
                f' port port="{ports}" protocol="{transport}" accept\''
                for network in networks
            )
            return f"firewall-cmd --permanent {rich} && firewall-cmd --reload"
        case Manager.UFW.value:
            span = str(ports).replace("-", ":")
            return " && ".join(
                f"ufw allow proto {transport} from {source} to any port {span} comment '{service.flow}'"
                for source in (["any"] if everyone else networks)
            )
        case Manager.IPTABLES.value:
            span = str(ports).replace("-", ":")
            return " && ".join(
                f"{'ip6tables' if ':' in source else 'iptables'} -w -I INPUT"
                f"{'' if everyone else f' -s {source}'} -p {transport} --dport {span} -j ACCEPT"
                for source in (["any"] if everyone else networks)
            )
        case _:
            return None
