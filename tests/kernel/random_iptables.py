"""Random rules of iptables, as ``iptables-restore`` takes them: what nft shows of most of them is their name alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random

    from portguard.model.ruleset import Json

SOURCES = {
    4: ("10.1.0.7", "10.9.0.1", "10.1.0.0/16", "192.0.2.0/24", "172.20.0.0/16"),
    6: ("fd01::7", "fd01::/64", "2001:db8::/32", "fd20::/32"),
}
DESTINATIONS = {4: ("10.1.0.1", "10.2.0.1", "10.0.0.0/8"), 6: ("fd01::1", "fd02::1", "fd01::/16")}
PORTS = ("80", "443", "631", "8080", "80:443", "1:1023", ":100", "600:")
FLAGS = ("--syn", "! --syn", "--tcp-flags SYN,ACK SYN", "--tcp-flags ALL NONE", "! --tcp-flags SYN,RST SYN")
TYPES = {
    4: ("echo-request", "8", "any", "8/0", "8/3", "destination-unreachable"),
    6: ("echo-request", "128", "128/0", "1", "134"),
}
MARKS = (
    "MARK --set-xmark 0x1", "MARK --set-xmark 0x4/0xf", "MARK --or-mark 0x1", "MARK --and-mark 0xfe", "CONNMARK --save-mark",
    "CONNMARK --restore-mark", "CONNMARK --set-mark 1", "CONNMARK --set-xmark 0x3/0x1",
)  # fmt: skip


def tables(draw: random.Random, version: int) -> str:
    """Draw the tables of one IP version."""
    adm = "icmp-host-prohibited" if version == 4 else "icmp6-adm-prohibited"
    ends = ["ACCEPT", "ACCEPT", "DROP", "REJECT", f"REJECT --reject-with {adm}", "RETURN", "LOG"]
    out = _table(draw, version, "filter", ("INPUT", "FORWARD"), [*ends, "jump", "goto"])
    if draw.random() < 0.5:
        out += _table(draw, version, "mangle", ("PREROUTING", "INPUT"), [*MARKS, "ACCEPT", "DROP", "jump"])
    if draw.random() < 0.4:
        targets = ["ACCEPT", "DROP", "NOTRACK", "CT --notrack", "CT --zone 3"]
        out += _table(draw, version, "raw", ("PREROUTING",), targets)
    if draw.random() < 0.5:
        to = "10.3.0.10:8080" if version == 4 else "[fd03::10]:8080"
        targets = ["REDIRECT --to-ports 8080", f"DNAT --to-destination {to}", "ACCEPT", "RETURN"]
        out += _table(draw, version, "nat", ("PREROUTING",), targets)
    return out


def _table(draw: random.Random, version: int, name: str, bases: tuple[str, ...], targets: list[str]) -> str:
    others = [f"U{place}" for place in range(draw.randrange(3))] if name in {"filter", "mangle"} else []
    lines = [f"*{name}"]
    lines += [
        f":{base} {'DROP' if name == 'filter' and draw.random() < 0.4 else 'ACCEPT'} [0:0]" for base in bases
    ]
    lines += [f":{other} - [0:0]" for other in others]
    for place, chain in enumerate((*others, *bases)):
        below = others[:place]  # A chain leads only to those before it: so there is no loop.
        for _ in range(draw.randrange(6)):
            match, protocol = _match(draw, version)
            target = draw.choice(targets)
            if target in {"jump", "goto"}:
                if not below:
                    continue
                target = ("-j " if target == "jump" else "-g ") + draw.choice(below)
            else:
                target = f"-j {target}"
            if name == "nat" and protocol not in {"tcp", "udp"}:
                continue
            if target == "-j REJECT" and protocol == "tcp" and draw.random() < 0.5:
                target += " --reject-with tcp-reset"
            lines.append(f"-A {chain} {match} {target}")
    return "\n".join((*lines, "COMMIT", ""))


def _match(draw: random.Random, version: int) -> tuple[str, str | None]:
    """Draw what a rule asks for, and the protocol that its target may count on."""
    out: list[str] = []
    icmp = "icmp" if version == 4 else "icmpv6"
    protocol = draw.choice(["tcp", "tcp", "udp", "udp", icmp, None, None])
    if draw.random() < 0.4:
        out.append(_turned(draw, f"-s {draw.choice(SOURCES[version])}"))
    if draw.random() < 0.15:
        out.append(_turned(draw, f"-d {draw.choice(DESTINATIONS[version])}"))
    if draw.random() < 0.2:
        out.append(_turned(draw, f"-i {draw.choice(['eth0', 'eth1', 'eth+', 'lo'])}"))
    if protocol is not None and draw.random() < 0.15:
        out.append(f"! -p {protocol}")
        protocol = None
    elif protocol is not None:
        out += [f"-p {protocol}", *_header(draw, version, protocol)]
    if draw.random() < 0.35:
        out.append(_extension(draw, version))
    return " ".join(out), protocol


def _header(draw: random.Random, version: int, protocol: str) -> list[str]:
    if draw.random() < 0.3:
        return []
    if protocol not in {"tcp", "udp"}:
        option = "--icmp-type" if version == 4 else "--icmpv6-type"
        return [_turned(draw, f"{option} {draw.choice(TYPES[version])}")]
    several = _turned(draw, f"--dports {draw.choice(['80,443', '80:500,8080', '631'])}")
    found = [_turned(draw, f"--dport {draw.choice(PORTS)}"), f"-m multiport {several}"]
    if protocol == "tcp":
        found.append(draw.choice(FLAGS))
    return [draw.choice(found)]


def _extension(draw: random.Random, version: int) -> str:
    states = ["NEW", "INVALID", "RELATED,ESTABLISHED", "NEW,RELATED", "UNTRACKED", "DNAT", "NEW,DNAT"]
    sources = ["10.1.0.1-10.1.0.7", "10.9.0.0-10.9.255.255"] if version == 4 else ["fd01::1-fd01::8"]
    kinds: Json = ["LOCAL", "UNICAST", "MULTICAST"]
    marks = ["0x1", "0x0", "0x1/0xf", "0x5/0x5", "0x3"]
    found = [
        f"-m conntrack {_turned(draw, f'--ctstate {draw.choice(states)}')}",
        f"-m mark {_turned(draw, f'--mark {draw.choice(marks)}')}",
        f"-m connmark {_turned(draw, f'--mark {draw.choice(marks)}')}",
        f"-m addrtype {_turned(draw, f'--src-type {draw.choice(kinds)}')}",
        f"-m addrtype {_turned(draw, f'--dst-type {draw.choice(kinds)}')}",
        f"-m addrtype --src-type UNICAST {_turned(draw, f'--dst-type {draw.choice(kinds)}')}",
        f"-m iprange {_turned(draw, f'--src-range {draw.choice(sources)}')}",
        "-m pkttype --pkt-type unicast",
        f"-m conntrack {_turned(draw, '--ctorigdstport 80:443')}",
    ]
    return draw.choice(found) + draw.choice(["", " -m comment --comment why"])


def _turned(draw: random.Random, match: str) -> str:
    return f"! {match}" if draw.random() < 0.25 else match
