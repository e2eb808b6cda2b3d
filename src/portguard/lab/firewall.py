"""Rulesets of the lab's server that are not portguard's: what the site has, and what somebody brings along. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from portguard.core.resolve import NEVER_OPEN_TO_ALL
from portguard.model.net import EVERYTHING, AddressSet, Transport
from portguard.model.policy import opened_to

if TYPE_CHECKING:
    from portguard.model.policy import Policy

SITE = "site"
INTRUDER = "intruder"


def site(policy: Policy) -> str:
    """Spell the site's own table: it keeps everybody but the documented peers from Redis and JMX.

    Mode ``heal`` closes nothing, so without it a role with Redis would begin with a critical finding. Empty where the
    role documents no such port.
    """
    allowed: dict[tuple[Transport, str], AddressSet] = {}
    for service in policy.inbound:
        if service.application in NEVER_OPEN_TO_ALL and service.ports is not None and not service.local:
            key = (service.transport, str(service.ports))
            allowed[key] = allowed.get(key, AddressSet()) | opened_to(service)
    rules = [
        f"    {'ip' if version == 4 else 'ip6'} saddr != {{ {', '.join(networks)} }} {transport} dport {ports} drop"
        for (transport, ports), peers in sorted(allowed.items())
        if peers != EVERYTHING
        for version in (4, 6)
        if (networks := [str(net) for net in peers.networks() if net.version == version])
    ]
    if not rules:
        return ""
    lines = "\n".join(rules)
    return (
        f"table inet {SITE} {{\n  chain input {{\n    type filter hook input priority 0; policy accept;\n"
        f"{lines}\n  }}\n}}\n"
    )


def intruder() -> str:
    """Spell a table as another team's play might bring it: sensible rules, and a drop policy for all the rest."""
    return (
        f"table inet {INTRUDER} {{\n"
        "  chain input {\n"
        "    type filter hook input priority 0; policy drop;\n"
        "    ct state established,related accept\n"
        '    iifname "lo" accept\n'
        "    meta l4proto { icmp, ipv6-icmp } accept\n"
        "  }\n"
        "}\n"
    )
