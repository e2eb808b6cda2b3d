"""The command that shuts a port to all but some, in the language of whoever owns the rule that lets them in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from portguard.core.owner import Owner, owner_of

if TYPE_CHECKING:
    from portguard.model.net import AddressSet, Transport
    from portguard.model.ruleset import RuleRef, Ruleset

_LONGEST = 256
"""Characters of a command: an alert keeps so many, and half of one must not be run."""
CONTAIN = "portguard mode contain"
"""What closes it where there is no rule to change, or the owner's language cannot say "all but these" in a line."""


def shutting(
    ruleset: Ruleset | None, by: RuleRef | None, transport: Transport, port: int, keep: AddressSet
) -> str:
    """Spell the change; ``keep`` are the addresses that are to get through as before. For people, not for running unread."""
    if ruleset is None or by is None or by.table not in ruleset.tables:
        return CONTAIN
    owner = owner_of(ruleset, by)
    if owner is Owner.NFTABLES:
        command = _nft(by, transport, port, keep)
        return command if len(command) <= _LONGEST else CONTAIN
    if keep:
        return CONTAIN
    match owner:
        case Owner.FIREWALLD:
            rule = f'rule priority="-100" port port="{port}" protocol="{transport}" drop'
            return f"firewall-cmd --permanent --add-rich-rule='{rule}' && firewall-cmd --reload"
        case Owner.UFW:
            return f"ufw insert 1 deny in proto {transport} from any to any port {port}"
        case Owner.IPTABLES:
            program = "ip6tables" if by.table.family == "ip6" else "iptables"
            return f"{program} -w -I {by.chain} ! -i lo -p {transport} --dport {port} -j DROP"
        case _:
            return CONTAIN


def _nft(by: RuleRef, transport: Transport, port: int, keep: AddressSet) -> str:
    """Drop right before the rule that lets it in, or at the end of the chain whose policy does.

    What is kept is left out of the drop: an accept would let it past the rules that come after, too.
    """
    place = f"{by.table} {by.chain}"
    begin = f"nft add rule {place}" if by.handle is None else f"nft insert rule {place} position {by.handle}"
    what = f'{begin} iifname != "lo" {transport} dport {port}'
    versions = [row for row in (("ip", 4), ("ip6", 6)) if by.table.family not in {"ip", "ip6"} - {row[0]}]
    kept = {
        word: [str(network) for network in keep.networks() if network.version == version]
        for word, version in versions
    }
    if not any(kept.values()):
        return f"{what} drop"
    return " && ".join(
        f"{what} {word} saddr != {{ {', '.join(networks)} }} drop"
        if networks
        else f"{what} meta protocol {word} drop"
        for word, networks in kept.items()
    )
