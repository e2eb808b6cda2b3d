"""Random rulesets as nft text, and random probes that have a chance to meet their constants.

All is drawn from a seed, so that one number names a ruleset with its probes. Hypothesis drew them first: nothing is shrunk
here, as each packet is the kernel's word on one listing, and drawing alone took it longer than all packets and evaluations.
"""

from __future__ import annotations

import ipaddress
from random import Random
from typing import TYPE_CHECKING, Concatenate, ParamSpec, TypeVar

from packets import BEHIND, Probe

from path_questions import ADDRESSES
from portguard.model.net import Transport

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

T = TypeVar("T")
P = ParamSpec("P")

PORTS = (80, 443, 631, 8080, 9100)
"""Ports at which something listens, so that what gets through is seen to."""
SOURCES = {
    4: (
        "10.1.0.7",
        "10.1.2.3",
        "10.1.2.255",
        "10.9.0.1",
        "10.9.255.254",
        "172.20.1.1",
        "192.0.2.7",
        "203.0.113.200",
    ),
    6: ("fd01::7", "fd01::1:3", "2001:db8::1", "2001:db8:ffff::1", "fd20::5", "fd02::9", "2001:db8:1::80"),
}
NETWORKS = {
    4: ("10.0.0.0/8", "10.1.2.0/24", "10.9.0.0/16", "172.16.0.0/12", "192.0.2.7", "203.0.113.128/25", "10.1.0.0-10.1.2.3",
        "10.1.2.254", "0.0.0.0/1"),
    6: ("fd00::/8", "fd01::/64", "2001:db8::/32", "2001:db8::1", "fd01::7-fd01::1:2", "fd20::/16", "::/1"),
}  # fmt: skip
OWN = {v: tuple(a for items in ADDRESSES.values() for a in items if ("." in a) == (v == 4)) for v in (4, 6)}
LAST = {4: "10.1.0.9", 6: "fd01::9"}
WORD = {4: "ip", 6: "ip6"}


class Draw:
    """Draws at random; the same seed draws the same."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)

    def __call__(self, what: Callable[[Draw], T]) -> T:
        return what(self)


def pick(options: Sequence[T]) -> Callable[[Draw], T]:
    """Draw one of the options."""
    return lambda draw: draw.random.choice(options)


def number(least: int, most: int) -> Callable[[Draw], int]:
    """Draw a number between two, both of them possible."""
    return lambda draw: draw.random.randint(least, most)


def some(options: Sequence[T], most: int) -> Callable[[Draw], list[T]]:
    """Draw one to ``most`` different options."""
    return lambda draw: draw.random.sample(options, draw.random.randint(1, min(most, len(options))))


def drawn(make: Callable[Concatenate[Draw, P], T]) -> Callable[P, Callable[[Draw], T]]:
    """Turn a function that draws into something that can be drawn."""

    def given(*args: P.args, **more: P.kwargs) -> Callable[[Draw], T]:
        return lambda draw: make(draw, *args, **more)

    return given


ports = pick([*map(str, PORTS), "80-443", "600-9000", "22"])


def disjoint(networks: list[str]) -> list[str]:
    """Leave out what overlaps with something before it: a set with intervals refuses it."""
    kept: list[tuple[int, int, int]] = []
    out = []
    for text in networks:
        first, _, last = text.partition("-")
        if last:
            low, high = ipaddress.ip_address(first), ipaddress.ip_address(last)
        else:
            net = ipaddress.ip_network(first)
            low, high = net[0], net[-1]
        span = (low.version, int(low), int(high))
        if all(span[0] != v or span[2] < a or span[1] > b for v, a, b in kept):
            kept.append(span)
            out.append(text)
    return out


@drawn
def address_set(draw: Draw, version: int) -> str:
    networks = draw(some([*NETWORKS[version], *SOURCES[version]], 4))
    return "{ " + ", ".join(disjoint(networks)) + " }"


@drawn
def port_set(draw: Draw) -> str:
    chosen = draw(some(["80", "443", "631", "8080", "9100", "9101-9200", "20-25"], 3))
    return "{ " + ", ".join(chosen) + " }"


@drawn
def source_match(draw: Draw, version: int) -> str:
    word = WORD[version]
    form = draw(pick(["eq", "eq", "ne", "set", "neset", "named", "nenamed", "mask"]))
    one = draw(pick([*NETWORKS[version], *SOURCES[version]]))
    if form == "eq":
        return f"{word} saddr {one}"
    if form == "ne":
        return f"{word} saddr != {one}"
    if form in {"set", "neset"}:
        return f"{word} saddr {'!= ' if form == 'neset' else ''}{draw(address_set(version))}"
    if form in {"named", "nenamed"}:
        return f"{word} saddr {'!= ' if form == 'nenamed' else ''}@s{version}"
    if version == 4:
        return draw(pick(["ip saddr & 255.255.0.255 == 10.1.0.3", "ip saddr & 255.255.0.255 == 10.9.0.1"]))
    return "ip6 saddr & ffff:: == fd01::"


@drawn
def other_match(draw: Draw, version: int, hook: str, proto: str, family: str) -> str:
    word = WORD[version]
    only_tcp = [
        "tcp flags syn",
        "tcp flags & (fin|syn|rst|ack) == syn",
        "tcp flags & (fin|syn|rst|ack) != syn",
        "tcp flags & ack == ack",
        f"{word} saddr . tcp dport @c{version}",
        f"{word} saddr . tcp dport != @c{version}",
        f"{word} daddr . tcp dport {{ {OWN[version][0]} . 80, {OWN[version][1]} . 443 }}",
    ]
    plain = [
        f"{word} daddr {draw(pick(OWN[version]))}",
        f"{word} daddr != {draw(pick(OWN[version]))}",
        f"{word} daddr {{ {', '.join(OWN[version][:2])} }}",
        "meta l4proto tcp",
        "meta l4proto { tcp, udp }",
        "meta l4proto != udp",
        "ip protocol tcp" if version == 4 else "ip6 nexthdr tcp",
        "ip protocol != udp" if version == 4 else "ip6 nexthdr != udp",
        "meta pkttype host",
        "meta mark 0x1",
        "meta mark != 0x1",
        "meta mark & 0x3 == 0x2",
        "meta mark { 0x0, 0x2 }",
        'iifname "eth0"',
        'iifname != "eth0"',
        'iifname "eth*"',
        'iifname { "eth1", "wg0" }',
        'iif "eth1"',
        'oifname "eth0"',
        'oifname != "eth0"',
        f"{word} saddr . th dport @c{version}",
        f"{word} saddr . {word} daddr {{ {draw(pick(SOURCES[version]))} . {draw(pick(OWN[version]))} }}",
        f'iifname . {word} saddr {{ "eth0" . {draw(pick(SOURCES[version]))}, "eth1" . {draw(pick(SOURCES[version]))} }}',
    ]
    if proto == "tcp":
        plain += only_tcp * 2
    if proto == "icmp":
        plain += [
            "icmp type echo-request" if version == 4 else "icmpv6 type { echo-request, nd-neighbor-solicit }"
        ] * 5
    if version == 4:
        plain += ["ip frag-off & 0x1fff != 0", "ip frag-off & 0x1fff == 0"]
    if hook != "ingress":
        plain += [
            "ct state new",
            "ct state established,related",
            "ct state != new",
            "ct state { new, untracked }",
            "ct state invalid",
            "ct state untracked",
            "ct status dnat",
            "ct status & dnat == 0",
            "ct direction original",
            "ct mark 0x1",
            "ct mark != 0x1",
            f"ct original {word} daddr {OWN[version][0]}",
            f"ct original {word} saddr {draw(pick(NETWORKS[version]))}",
            *([f"meta nfproto ipv{version}"] if family == "inet" else []),
            f"meta protocol {word}",
        ]
    if hook in {"prerouting", "input"}:
        plain += [
            "fib daddr type local",
            "fib daddr type != local",
            "fib saddr type local",
            "fib saddr type { unicast, broadcast }",
            "fib saddr . iif oif missing",
            "fib saddr . iif oif exists",
        ]
    return draw(pick(plain))


@drawn
def port_match(draw: Draw, proto: str) -> str:
    form = draw(pick(["eq", "eq", "ne", "set", "neset", "named", "order"]))
    if proto == "th":
        return f"meta l4proto {{ tcp, udp }} th dport {draw(ports)}"
    if form == "eq":
        return f"{proto} dport {draw(ports)}"
    if form == "ne":
        return f"{proto} dport != {draw(ports)}"
    if form in {"set", "neset"}:
        return f"{proto} dport {'!= ' if form == 'neset' else ''}{draw(port_set())}"
    if form == "named":
        return f"{proto} dport @p"
    return f"{proto} dport {draw(pick(['<', '>', '<=', '>=']))} {draw(pick(['80', '443', '1024', '8080']))}"


@drawn
def verdict(  # noqa: PLR0917 - what a rule is drawn for
    draw: Draw, chains: tuple[str, ...], hook: str, family: str, version: int, proto: str
) -> str:
    options = ["accept", "accept", "drop", "drop", "return", "continue"]
    if hook != "ingress":
        options += ["reject", "reject with tcp reset" if proto == "tcp" else "reject"]
        if family == "inet":
            options += [
                "reject with icmpx admin-prohibited",
                "reject with icmp host-prohibited" if version == 4 else "reject with icmpv6 no-route",
            ]
    options += [f"{word} {chain}" for chain in chains for word in ("jump", "jump", "goto")]
    return draw(pick(options))


def versions_of(family: str) -> tuple[int, ...]:
    return {"ip": (4,), "ip6": (6,)}.get(family, (4, 6))


@drawn
def verdict_map(draw: Draw, version: int, chains: tuple[str, ...], hook: str, proto: str) -> str:
    words = [
        "accept",
        "drop",
        "continue",
        "return",
        *(f"jump {c}" for c in chains),
        *(f"goto {c}" for c in chains),
    ]
    word = WORD[version]

    def value() -> str:
        return draw(pick(words))

    forms: list[Callable[[], str]] = [
        lambda: (
            f"{word} saddr vmap {{ {NETWORKS[version][1]} : {value()} }}"
            if proto == "icmp"
            else f"{proto} dport vmap {{ 80 : {value()}, 443 : {value()}, 8000-9200 : {value()} }}"
        ),
        lambda: f'iifname vmap {{ "eth0" : {value()}, "eth1" : {value()} }}',
        lambda: (
            f"{word} saddr vmap {{ {', '.join(f'{net} : {value()}' for net in disjoint(draw(some(NETWORKS[version], 3))))} }}"
        ),
        lambda: f"meta l4proto vmap {{ tcp : {value()}, udp : {value()} }}",
        lambda: (
            f"{word} saddr . {'th' if proto == 'icmp' else proto} dport vmap {{ {draw(pick(SOURCES[version]))} . 80 : {value()}, {NETWORKS[version][0]} . 443-9000 : {value()} }}"
        ),
    ]
    if proto != "icmp":
        forms.append(lambda: f"{proto} dport vmap @vp")
    if hook != "ingress":
        forms.append(
            lambda: (
                f"ct state vmap {{ established : accept, related : accept, new : {value()}, invalid : drop }}"
            )
        )
    return draw(pick(forms))()


@drawn
def rule(draw: Draw, family: str, hook: str, chains: tuple[str, ...]) -> str:
    version = draw(pick(versions_of(family)))
    proto = draw(pick(["tcp", "tcp", "tcp", "udp", "udp", "th", "icmp"]))
    parts: list[str] = []
    for _ in range(draw(pick([0, 1, 1, 1, 2, 2]))):
        kind = draw(pick(["source", "port" if proto != "icmp" else "other", "other", "other"]))
        if kind == "source":
            parts.append(draw(source_match(version)))
        elif kind == "port":
            parts.append(draw(port_match(proto)))
        else:
            parts.append(draw(other_match(version, hook, proto, family)))
    effect = draw(
        pick(
            [
                "",
                "",
                "",
                "",
                "",
                "counter",
                "mark",
                "ctmark",
                "markmap",
                "notrack",
                "fill",
                "chance",
                "vmap",
                "dscp",
            ]
        )
    )
    if effect == "counter":
        parts.append("counter")
    elif effect == "mark":
        parts.append(
            draw(
                pick(
                    [
                        "meta mark set 0x1",
                        "meta mark set 0x2",
                        "meta mark set meta mark | 0x2",
                        "meta mark set meta mark & 0x1",
                    ]
                )
            )
        )
    elif effect == "ctmark" and hook != "ingress":
        parts.append(draw(pick(["ct mark set 0x1", "ct mark set meta mark", "meta mark set ct mark"])))
    elif effect == "markmap":
        parts.append(f"meta mark set {WORD[version]} saddr map @m{version}")
    elif effect == "notrack" and hook == "prerouting":
        parts.append("notrack")
    elif effect == "fill":
        parts.append(
            draw(
                pick(
                    [
                        f"add @d{version} {{ {WORD[version]} saddr }}",
                        f"update @d{version} {{ {WORD[version]} saddr timeout 1h }}",
                        f"{WORD[version]} saddr @d{version}",
                        f"{WORD[version]} saddr != @d{version}",
                    ]
                )
            )
        )
    elif effect == "chance":
        if draw(number(0, 9)) == 0:
            parts.append(
                draw(
                    pick(
                        [
                            "limit rate 1000/second",
                            "numgen random mod 2 0",
                            "meta length > 60",
                            "ip ttl 64" if version == 4 else "ip6 hoplimit 64",
                        ]
                    )
                )
            )
    elif effect == "vmap":
        return " ".join([*parts, draw(verdict_map(version, chains, hook, proto))])
    elif effect == "dscp" and hook != "ingress":
        parts.append(f"{WORD[version]} dscp set cs1")
    if not effect or effect in {"counter", "dscp"} or draw(pick((True, False))):
        parts.append(draw(verdict(chains, hook, family, version, proto)))
    return " ".join(parts)


@drawn
def nat_rule(draw: Draw, family: str) -> str:
    version = draw(pick(versions_of(family)))
    word = WORD[version]
    proto = draw(pick(["tcp", "udp"]))
    parts = [f"{proto} dport {draw(pick(PORTS))}"]
    if draw(pick((True, False))):
        parts.append(draw(source_match(version)))
    own = draw(pick(OWN[version]))
    own = own if version == 4 else f"[{own}]"
    behind = BEHIND[version == 6]
    away = behind if version == 4 else f"[{behind}]"
    to = word if family == "inet" else ""
    port = draw(pick(PORTS))
    parts.append(draw(pick([
        f"redirect to :{port}",
        "redirect",
        f"dnat {to} to {own}:{port}",
        f"dnat {to} to {away}:{port}",
        f"dnat {to} to {behind}",
        f"redirect to :{proto} dport map {{ 80 : 8080, 443 : 631 }}",
        f"dnat {to} to {word} saddr map {{ {SOURCES[version][0]} : {behind}, {NETWORKS[version][0] if version == 6 else '10.9.0.0/16'} : {OWN[version][0]} }}"
        if version == 4 else "redirect to :631",
        "accept",
        "return",
    ])))  # fmt: skip
    return " ".join(parts)


BASES = [
    ("input", -10), ("input", 0), ("input", 0), ("input", 0), ("input", 10), ("prerouting", -300), ("prerouting", -150),
    ("prerouting", -250), ("prerouting", -50), ("forward", 0), ("postrouting", 0), ("nat", -100), ("nat", -90), ("ingress", 0),
]  # fmt: skip


@drawn
def table(draw: Draw, name: str) -> str:
    family = draw(pick(["inet", "inet", "inet", "ip", "ip6"]))
    subchains = tuple(f"c{i}" for i in range(draw(number(0, 3))))
    bases = [draw(pick(BASES)) for _ in range(draw(number(1, 4)))]
    lines = [f"table {family} {name} {{"]
    for version in versions_of(family):
        kind = f"ipv{version}_addr"
        lines += [
            f"set s{version} {{ type {kind}; flags interval; elements = {draw(address_set(version))}; }}",
            f"set c{version} {{ type {kind} . inet_service; flags interval; elements = {{ {draw(pick(SOURCES[version][-3:]))} . {draw(pick(PORTS))}, {NETWORKS[version][1]} . {draw(pick(['80', '443-700', '8080-9100']))} }}; }}",
            f"map m{version} {{ type {kind} : mark; flags interval; elements = {{ {draw(pick(SOURCES[version]))} : 0x1 }}; }}",
            f"set d{version} {{ type {kind}; flags dynamic,timeout; size 1000; timeout 1h; elements = {{ {draw(pick(SOURCES[version]))} }}; }}",
        ]
    lines.append(f"set p {{ type inet_service; flags interval; elements = {draw(port_set())}; }}")
    values = ["accept", "drop", "continue"]
    lines.append(
        f"map vp {{ type inet_service : verdict; elements = {{ 80 : {draw(pick(values))}, 443 : {draw(pick(values))} }}; }}"
    )
    # A chain may only jump to those after it: so there is no loop. Its rules must do in every hook that reaches it.
    hooks = {hook for hook, _ in bases}
    common = "ingress" if "ingress" in hooks else "any"
    for place, chain in reversed(list(enumerate(subchains))):
        lines.append(f"chain {chain} {{")
        lines += [
            f"  {draw(rule(family, common, subchains[place + 1 :]))}" for _ in range(draw(number(0, 4)))
        ]
        lines.append("}")
    for place, (hook, priority) in enumerate(bases):
        policy = (
            draw(pick(["accept", "accept", "drop"]))
            if hook in {"input", "forward"}
            else draw(pick(["accept"] * 5 + ["drop"]))
        )
        lines.append(f"chain b{place} {{")
        if hook == "nat":
            lines.append(f"  type nat hook prerouting priority {priority}; policy accept;")
            lines += [f"  {draw(nat_rule(family))}" for _ in range(draw(number(1, 3)))]
        elif hook == "ingress":
            if family != "inet":
                lines.pop()
                continue
            lines.append(
                f'  type filter hook ingress device "{draw(pick(["eth0", "eth1"]))}" priority 0; policy {policy};'
            )
            lines += [f"  {draw(rule(family, hook, subchains))}" for _ in range(draw(number(0, 3)))]
        else:
            lines.append(f"  type filter hook {hook} priority {priority}; policy {policy};")
            if hook == "postrouting":
                # Answers of this host leave by it too, and tell the outcome.
                lines.append('  oifname != "eth2" accept')
            lines += [f"  {draw(rule(family, hook, subchains))}" for _ in range(draw(number(0, 6)))]
        lines.append("}")
    lines.append("}")
    return "\n".join(lines)


@drawn
def rulesets(draw: Draw) -> str:
    """Draw a ruleset of one to three tables."""
    return "\n".join(draw(table(f"t{place}")) for place in range(draw(number(1, 3)))) + "\n"


@drawn
def probes(draw: Draw) -> Probe:
    """Draw a probe whose source comes in by the interface that leads back to it."""
    version = draw(pick([4, 4, 6]))
    source = ipaddress.ip_address(draw(pick(SOURCES[version])))
    other = {4: ("172.20.", "10.2."), 6: ("fd20:", "fd02:")}[version]
    return Probe(
        source=source,
        destination=ipaddress.ip_address(draw(pick(OWN[version][:3]))),
        transport=draw(pick([Transport.TCP, Transport.TCP, Transport.UDP, Transport.UDP, Transport.ICMP])),
        port=draw(pick(PORTS)),
        interface="eth1" if str(source).startswith(other) else "eth0",
    )
