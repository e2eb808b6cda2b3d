"""The command that lets sources through to a port, in the language of whoever owns the rule that shuts it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from portguard.core.owner import Owner

if TYPE_CHECKING:
    from collections.abc import Sequence

    from portguard.model.net import IPNetwork, Transport
    from portguard.model.ruleset import RuleRef


def remedy(
    owner: Owner,
    by: RuleRef,
    transport: Transport,
    ports: str,
    networks: Sequence[IPNetwork] | None,
    *,
    head: bool = False,
    most: int | None = 3,
) -> str:
    """Spell the change for networks (None: everyone). For people, not for running unread.

    Of more than ``most`` networks the others are counted (None: all are spelled). ``ports`` is a port or a range, ``8001`` or ``20-21``; ``head`` puts an nft rule at the head of a chain whose policy decides.
    """
    given: list[str | None] = [None] if networks is None else [_spelled(network) for network in networks]
    spelled = [_one(owner, by, transport.value, ports, network, head=head) for network in given[:most]]
    more = f"  # and {len(given) - most} more networks" if most is not None and len(given) > most else ""
    return " && ".join(dict.fromkeys(spelled)) + more


def _spelled(network: IPNetwork) -> str:
    return str(network.network_address) if network.prefixlen == network.max_prefixlen else str(network)


def _one(owner: Owner, by: RuleRef, transport: str, ports: str, network: str | None, *, head: bool) -> str:
    """Spell it for one network; None stands for everyone."""
    six = network is not None and ":" in network
    span = ports.replace("-", ":")
    match owner:
        case Owner.FIREWALLD if network is None:
            return f"firewall-cmd --permanent --add-port={ports}/{transport} && firewall-cmd --reload"
        case Owner.FIREWALLD:
            rule = (
                f'rule family="{"ipv6" if six else "ipv4"}" source address="{network}"'
                f' port port="{ports}" protocol="{transport}" accept'
            )
            return f"firewall-cmd --permanent --add-rich-rule='{rule}' && firewall-cmd --reload"
        case Owner.UFW:
            return f"ufw insert 1 allow proto {transport} from {network or 'any'} to any port {span}"
        case Owner.FAIL2BAN:
            return f"fail2ban-client unban {'--all' if network is None else network.partition('/')[0]}"
        case Owner.CROWDSEC:
            return "cscli decisions delete " + ("--all" if network is None else f"--range {network}")
        case Owner.PORTGUARD:
            return "portguard mode heal  # or document the port: [[extra]] in /etc/portguard/portguard.toml"
        case Owner.DOCKER | Owner.PODMAN | Owner.LIBVIRT | Owner.IPTABLES:
            program = "ip6tables" if six else "iptables"
            chain = "DOCKER-USER" if owner is Owner.DOCKER else by.chain
            source = "" if network is None else f" -s {network}"
            return f"{program} -w -I {chain}{source} -p {transport} --dport {span} -j ACCEPT"
        case _:
            source = "" if network is None else f"{'ip6' if six else 'ip'} saddr {network} "
            what = f"{source}{transport} dport {ports} accept"
            if by.handle is not None:
                return f"nft insert rule {by.table} {by.chain} position {by.handle} {what}"
            return f"nft {'insert' if head else 'add'} rule {by.table} {by.chain} {what}"
