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
    translated: bool = False,
) -> str:
    """Spell the change for networks (None: everyone). For people, not for running unread.

    Of more than ``most`` networks the others are counted (None: all are spelled). ``ports`` is a port or a range, ``8001`` or ``20-21``; ``head`` puts an nft rule at the head of a chain whose policy decides. ``translated``: the packets
    read another port by then, so that rules have to ask for the one that the client wrote.
    """
    given: list[str | None] = [None] if networks is None else [_spelled(network) for network in networks]
    spelled = [
        _one(owner, by, transport.value, ports, network, head=head, translated=translated)
        for network in given[:most]
    ]
    more = f"  # and {len(given) - most} more networks" if most is not None and len(given) > most else ""
    return " && ".join(dict.fromkeys(spelled)) + more


def _spelled(network: IPNetwork) -> str:
    return str(network.network_address) if network.prefixlen == network.max_prefixlen else str(network)


def _one(
    owner: Owner,
    by: RuleRef,
    transport: str,
    ports: str,
    network: str | None,
    *,
    head: bool,
    translated: bool,
) -> str:
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
            # "insert 1" is no position for an IPv6 rule where there are rules of IPv4.
            return f"ufw prepend allow proto {transport} from {network or 'any'} to any port {span}"
        case Owner.FAIL2BAN:
            return f"fail2ban-client unban {'--all' if network is None else network.partition('/')[0]}"
        case Owner.CROWDSEC:
            return "cscli decisions delete " + ("--all" if network is None else f"--range {network}")
        case Owner.PORTGUARD:
            return "portguard mode heal  # or document the port: [[extra]] in /etc/portguard/portguard.toml"
        case Owner.SHOREWALL:
            return _shorewall(by, transport, span, network)
        case Owner.FOOMUURI if "-" in by.chain:
            return _foomuuri(by, transport, ports, network)
        case Owner.DOCKER | Owner.PODMAN | Owner.LIBVIRT | Owner.IPTABLES if not _is_native(owner, by):
            program = "ip6tables" if six else "iptables"
            chain = "DOCKER-USER" if owner is Owner.DOCKER else by.chain
            source = "" if network is None else f" -s {network}"
            port = f"-m conntrack --ctorigdstport {span}" if translated else f"--dport {span}"
            return f"{program} -w -I {chain}{source} -p {transport} {port} -j ACCEPT"
        case _:
            source = "" if network is None else f"{'ip6' if six else 'ip'} saddr {network} "
            port = (
                f"meta l4proto {transport} ct original proto-dst {ports}"
                if translated
                else f"{transport} dport {ports}"
            )
            what = f"{source}{port} accept"
            if by.handle is not None:
                return f"nft insert rule {by.table} {by.chain} position {by.handle} {what}"
            return f"nft {'insert' if head else 'add'} rule {by.table} {by.chain} {what}"


def _is_native(owner: Owner, by: RuleRef) -> bool:
    """Whether a container engine writes its rules as nft, in a table that iptables does not see."""
    return owner in {Owner.DOCKER, Owner.PODMAN} and by.table.name in {"docker-bridges", "netavark"}


def _shorewall(by: RuleRef, transport: str, span: str, network: str | None) -> str:
    """Put a rule before all others. Chains are named ``net-fw``; those that zones share name none."""
    version = "6" if by.table.family == "ip6" else ""
    zone = by.chain.removesuffix("-fw") if by.chain.endswith("-fw") else "all"
    spelled = network if network is None or not version else f"<{network}>"
    source = zone if spelled is None else f"{zone}:{spelled}"
    rule = f"ACCEPT {source} fw {transport} {span}"
    folder = f"/etc/shorewall{version}"
    return f"sed -i '/^?SECTION NEW/a {rule}' {folder}/rules && shorewall{version} reload"


def _foomuuri(by: RuleRef, transport: str, ports: str, network: str | None) -> str:
    """Put a rule before all others of a pair of zones: chains are named ``public-localhost_4``."""
    section = by.chain.removesuffix("_4").removesuffix("_6")
    rule = f"{transport} {ports}" + ("" if network is None else f" saddr {network}")
    file = "/etc/foomuuri/00-portguard.conf"
    return f"printf '{section} {{\\n  {rule}\\n}}\\n' >> {file} && foomuuri reload"
