"""Rulesets for the path evaluation, each about one thing, with what must come out.

``path_cases.json`` holds what a real nft 1.0.6 listed for each text; ``tests/kernel/test_path_cases.py`` loads the texts again,
compares the listings, and sends a real packet for every expectation.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

RECORDED = Path(__file__).parent / "path_cases.json"


class Expected(NamedTuple):
    """What must become of one source."""

    source: str
    port: int
    outcome: str
    by: str | None
    """Text of the deciding rule, or ``policy drop``; None: nothing has a say."""
    transport: str = "tcp"
    general: bool = False


class Case(NamedTuple):
    """A ruleset about one thing."""

    name: str
    text: str
    expected: tuple[Expected, ...]

    @property
    def nft(self) -> str:
        """The text as nft takes it: it wants a line to end behind each block."""
        return re.sub(r"; \}(?!;)|\}(?= \})", lambda found: found[0].replace(" ", "") + "\n", self.text)


CASES = (
    Case(
        "nothing filters", "", (Expected("10.1.0.7", 80, "open", None), Expected("fd01::7", 80, "open", None))
    ),
    Case(
        "an accept ends only its own base chain",
        """
        table inet early { chain in { type filter hook input priority -10; policy accept; tcp dport 80 accept; } }
        table inet late { chain in { type filter hook input priority 10; policy drop; tcp dport 443 accept; } }
        """,
        (
            Expected("10.1.0.7", 80, "dropped", "policy drop", general=True),
            Expected("10.1.0.7", 443, "open", "tcp dport 443 accept"),
        ),
    ),
    Case(
        "of equal priority the chain registered last comes first",
        """
        table inet old { chain in { type filter hook input priority 0; policy drop; } }
        table inet new { chain in { type filter hook input priority 0; policy accept; tcp dport 80 reject; } }
        """,
        (
            Expected("10.1.0.7", 80, "refused", "tcp dport 80 reject"),
            Expected("10.1.0.7", 443, "dropped", "policy drop", general=True),
        ),
    ),
    Case(
        "return in a base chain ends in its policy",
        """
        table ip f { chain in { type filter hook input priority 0; policy drop;
          ip saddr 10.1.0.7 return
          accept
        } }
        """,
        (
            Expected("10.1.0.7", 80, "dropped", "policy drop", general=True),
            Expected("10.9.0.1", 80, "open", "accept"),
        ),
    ),
    Case(
        "goto comes back to where its chain was entered from",
        """
        table ip f {
          chain last { tcp dport 443 accept; }
          chain web { goto last; accept; }
          chain in { type filter hook input priority 0; policy drop;
            jump web
            tcp dport 631 accept
          }
        }
        """,
        (
            Expected("10.1.0.7", 443, "open", "tcp dport 443 accept"),
            Expected("10.1.0.7", 631, "open", "tcp dport 631 accept"),
            Expected("10.1.0.7", 80, "dropped", "policy drop", general=True),
        ),
    ),
    Case(
        "intervals hold both their ends and nothing beyond",
        """
        table ip f {
          set s { type ipv4_addr; flags interval; elements = { 10.1.0.4-10.1.0.7, 10.9.0.0/16 }; }
          chain in { type filter hook input priority 0; policy accept;
            ip saddr @s tcp dport 80-443 drop
          }
        }
        """,
        (
            Expected("10.1.0.7", 80, "dropped", "ip saddr @s tcp dport 80-443 drop"),
            Expected("10.1.0.4", 443, "dropped", "ip saddr @s tcp dport 80-443 drop"),
            Expected("10.1.0.8", 443, "open", "policy accept"),
            Expected("10.1.0.3", 443, "open", "policy accept"),
            Expected("10.9.255.255", 80, "dropped", "ip saddr @s tcp dport 80-443 drop"),
            Expected("10.1.0.7", 631, "open", "policy accept"),
        ),
    ),
    Case(
        "verdict maps of ports and of sources",
        """
        table inet f {
          map v { type inet_service : verdict; elements = { 80 : accept, 443 : jump web }; }
          chain web { ip saddr vmap { 10.1.0.0/16 : accept, 10.9.0.1 : drop }; }
          chain in { type filter hook input priority 0; policy drop; tcp dport vmap @v; reject; }
        }
        """,
        (
            Expected("10.1.0.7", 80, "open", "tcp dport vmap @v"),
            Expected("10.1.0.7", 443, "open", "ip saddr vmap { 10.1.0.0/16 : accept, 10.9.0.1 : drop }"),
            Expected("10.9.0.1", 443, "dropped", "ip saddr vmap { 10.1.0.0/16 : accept, 10.9.0.1 : drop }"),
            Expected("192.0.2.7", 443, "refused", "reject", general=True),
            Expected("fd01::7", 443, "refused", "reject", general=True),
        ),
    ),
    Case(
        "concatenations with intervals",
        """
        table inet f {
          set c { type ipv4_addr . inet_service; flags interval; elements = { 10.1.0.0/16 . 80-443, 10.9.0.1 . 631 }; }
          chain in { type filter hook input priority 0; policy drop; ip saddr . tcp dport @c accept; }
        }
        """,
        (
            Expected("10.1.0.7", 443, "open", "ip saddr . tcp dport @c accept"),
            Expected("10.9.0.1", 631, "open", "ip saddr . tcp dport @c accept"),
            Expected("10.9.0.1", 443, "dropped", "policy drop", general=True),
            Expected("10.1.0.7", 443, "dropped", "policy drop", "udp", general=True),
            Expected("fd01::7", 443, "dropped", "policy drop", general=True),
        ),
    ),
    Case(
        "before connection tracking every packet reads as invalid, and has no connection to ask",
        """
        table inet f {
          chain raw { type filter hook prerouting priority raw; policy accept;
            tcp dport 80 ct state invalid drop
            tcp dport 443 ct state new drop
            tcp dport 631 ct mark != 0x1 drop
          }
        }
        """,
        (
            Expected("10.1.0.7", 80, "dropped", "tcp dport 80 ct state invalid drop"),
            Expected("10.1.0.7", 443, "open", "policy accept"),
            Expected("10.1.0.7", 631, "open", "policy accept"),
        ),
    ),
    Case(
        "what is not tracked is untracked, not new",
        """
        table inet f {
          chain raw { type filter hook prerouting priority raw; policy accept; tcp dport 80 notrack; }
          chain in { type filter hook input priority 0; policy drop;
            ct state untracked accept
            tcp dport 443 ct state new accept
          }
        }
        """,
        (
            Expected("10.1.0.7", 80, "open", "ct state untracked accept"),
            Expected("10.1.0.7", 443, "open", "tcp dport 443 ct state new accept"),
            Expected("10.1.0.7", 631, "dropped", "policy drop", general=True),
        ),
    ),
    Case(
        "behind a redirect the input chain sees the new port",
        """
        table inet f {
          chain nat { type nat hook prerouting priority dstnat; policy accept;
            ip saddr 10.1.0.0/16 tcp dport 80 redirect to :8080
            tcp dport 443 redirect to :631
          }
          chain in { type filter hook input priority 0; policy drop;
            tcp dport 8080 ct original proto-dst 80 accept
            tcp dport 443 accept
          }
        }
        """,
        (
            Expected("10.1.0.7", 8080, "dropped", "policy drop", general=True),
            Expected("10.9.0.1", 80, "dropped", "policy drop", general=True),
            Expected("10.1.0.7", 443, "dropped", "policy drop", general=True),
        ),
    ),
    Case(
        "what is translated to another host is forwarded, whatever the input chain says",
        """
        table ip nat { chain pre { type nat hook prerouting priority dstnat; policy accept;
          tcp dport 80 dnat to 10.3.0.10:8080
          tcp dport 443 dnat to 10.3.0.10:443
        } }
        table inet filter {
          chain in { type filter hook input priority 0; policy drop; }
          chain forward { type filter hook forward priority 0; policy drop; oifname "eth2" tcp dport 8080 ct status dnat accept; }
        }
        """,
        (
            Expected("10.1.0.7", 80, "open", 'oifname "eth2" tcp dport 8080 ct status dnat accept'),
            Expected("10.1.0.7", 443, "dropped", "policy drop", general=True),
            Expected("10.1.0.7", 631, "dropped", "policy drop", general=True),
        ),
    ),
    Case(
        "all nat chains are called at the priority of dstnat",
        """
        table ip t {
          chain filter { type filter hook prerouting priority -90; policy accept; tcp dport 8080 drop; }
          chain nat { type nat hook prerouting priority -50; policy accept; tcp dport 80 redirect to :8080; }
        }
        """,
        (
            Expected("10.1.0.7", 80, "dropped", "tcp dport 8080 drop"),
            Expected("10.1.0.7", 8080, "dropped", "tcp dport 8080 drop"),
            Expected("10.1.0.7", 443, "open", "policy accept"),
        ),
    ),
    Case(
        "a translation is set up once",
        """
        table ip t {
          chain a { type nat hook prerouting priority -110; policy accept; tcp dport 80 redirect to :8080; }
          chain b { type nat hook prerouting priority -100; policy accept; tcp dport 8080 redirect to :443; }
          chain in { type filter hook input priority 0; policy accept; tcp dport 8080 drop; }
        }
        """,
        (
            Expected("10.1.0.7", 80, "dropped", "tcp dport 8080 drop"),
            Expected("10.1.0.7", 8080, "open", "policy accept"),
        ),
    ),
    Case(
        "a mark set early is matched late",
        """
        table inet f {
          map m { type ipv4_addr : mark; flags interval; elements = { 10.1.0.0/16 : 0x1, 10.9.0.1 : 0x3 }; }
          chain pre { type filter hook prerouting priority mangle; policy accept; meta mark set ip saddr map @m; }
          chain in { type filter hook input priority 0; policy drop; meta mark & 0x2 == 0x2 reject; meta mark 0x1 accept; }
        }
        """,
        (
            Expected("10.1.0.7", 80, "open", "meta mark 0x00000001 accept"),
            Expected("10.9.0.1", 80, "refused", "meta mark & 0x00000002 == 0x00000002 reject"),
            Expected("192.0.2.7", 80, "dropped", "policy drop", general=True),
            Expected("fd01::7", 80, "dropped", "policy drop", general=True),
        ),
    ),
    Case(
        "a set that packets fill holds at once what was added on the way",
        """
        table ip f {
          set seen { type ipv4_addr; flags dynamic,timeout; timeout 1h; elements = { 10.9.0.1 }; }
          chain pre { type filter hook prerouting priority mangle; policy accept; tcp dport 80 add @seen { ip saddr }; }
          chain in { type filter hook input priority 0; policy accept; tcp dport 443 ip saddr @seen drop; }
        }
        """,
        (
            Expected("10.9.0.1", 443, "dropped", "tcp dport 443 ip saddr @seen drop"),
            Expected("10.1.0.7", 443, "open", "policy accept"),
            Expected("10.1.0.7", 80, "open", "policy accept"),
        ),
    ),
    Case(
        "reject in the words of a protocol asks for that protocol",
        """
        table inet f { chain in { type filter hook input priority 0; policy drop;
          tcp dport 80 reject with tcp reset
          reject with icmp host-prohibited
        } }
        """,
        (
            Expected("fd01::7", 80, "refused", "tcp dport 80 reject with tcp reset"),
            Expected("10.1.0.7", 443, "refused", "reject with icmp host-prohibited", general=True),
            Expected("fd01::7", 443, "dropped", "policy drop", general=True),
        ),
    ),
    Case(
        "a TCP reset is for TCP alone, though the listing does not say so",
        """
        table ip f { chain in { type filter hook input priority 0; policy accept;
          ip saddr 10.1.0.7 reject with tcp reset
        } }
        """,
        (
            Expected("10.1.0.7", 80, "refused", "ip saddr 10.1.0.7 reject with tcp reset"),
            Expected("10.1.0.7", 80, "open", "policy accept", "udp"),
        ),
    ),
    Case(
        "a chain of bans is no default, a zone with rules of its own has one",
        """
        table ip f {
          chain banned { log; drop; }
          chain zone { tcp dport 443 accept; reject; }
          chain in { type filter hook input priority 0; policy accept;
            ip saddr 10.9.0.0/16 jump banned
            ip saddr 10.1.0.0/16 goto zone
            iifname "eth0" ct state new drop
          }
        }
        """,
        (
            Expected("10.9.0.1", 80, "dropped", "drop"),
            Expected("10.1.0.7", 80, "refused", "reject with icmp port-unreachable", general=True),
            Expected("10.1.0.7", 443, "open", "tcp dport 443 accept"),
            Expected("192.0.2.7", 80, "dropped", 'iifname "eth0" ct state new drop', general=True),
        ),
    ),
    Case(
        "families: what has no such header does not match, whatever it is compared with",
        """
        table inet f { chain in { type filter hook input priority 0; policy drop;
          ip saddr != 10.9.0.1 accept
          udp dport != 53 accept
          ip6 saddr fd20::/16 reject
        } }
        """,
        (
            Expected("10.1.0.7", 80, "open", "ip saddr != 10.9.0.1 accept"),
            Expected("10.9.0.1", 80, "dropped", "policy drop", general=True),
            Expected("10.9.0.1", 80, "open", "udp dport != 53 accept", "udp"),
            Expected("fd01::7", 80, "dropped", "policy drop", general=True),
            Expected("fd20::5", 80, "refused", "ip6 saddr fd20::/16 reject with icmpv6 port-unreachable"),
        ),
    ),
    Case(
        "addresses by routing",
        """
        table inet f { chain in { type filter hook prerouting priority 0; policy accept;
          fib saddr . iif oif missing drop
          fib daddr type != local drop
          fib saddr type { local, broadcast } drop
          iifname "eth1" tcp dport 443 reject
        } }
        """,
        (
            Expected("10.1.0.7", 443, "open", "policy accept"),
            Expected("172.20.1.1", 443, "refused", 'iifname "eth1" tcp dport 443 reject'),
            Expected("172.20.1.1", 80, "open", "policy accept"),
            Expected("fd20::5", 443, "refused", 'iifname "eth1" tcp dport 443 reject'),
        ),
    ),
    Case(
        "each source is told the translation that lets it in",
        """
        table ip nat { chain pre { type nat hook prerouting priority dstnat; policy accept;
          ip saddr 10.9.0.0/16 tcp dport 80 dnat to 10.3.0.10:8080
          tcp dport 80 dnat to 10.3.0.10:443
        } }
        """,
        (
            Expected("10.9.0.1", 80, "open", "ip saddr 10.9.0.0/16 tcp dport 80 dnat to 10.3.0.10:8080"),
            Expected("10.1.0.7", 80, "open", "tcp dport 80 dnat to 10.3.0.10:443"),
        ),
    ),
    Case(
        "of what is forwarded fib tells where it goes",
        """
        table ip nat { chain pre { type nat hook prerouting priority dstnat; policy accept; tcp dport 80 dnat to 10.3.0.10; } }
        table inet f { chain forward { type filter hook forward priority 0; policy accept;
          fib daddr type local reject
          fib daddr type unicast tcp dport 80 ip saddr 10.9.0.1 drop
        } }
        """,
        (
            Expected("10.1.0.7", 80, "open", "policy accept"),
            Expected("10.9.0.1", 80, "dropped", "fib daddr type unicast tcp dport 80 ip saddr 10.9.0.1 drop"),
        ),
    ),
    Case(
        "a translation to where the packet goes anyway is none",
        """
        table ip t {
          chain pre { type nat hook prerouting priority dstnat; policy accept;
            tcp dport 80 dnat to 10.1.0.1:80
            tcp dport 443 dnat to 10.1.0.1:8080
          }
          chain in { type filter hook input priority 0; policy drop; ct status dnat accept; tcp dport 80 reject; }
        }
        """,
        (
            Expected("10.1.0.7", 80, "refused", "tcp dport 80 reject with icmp port-unreachable"),
            Expected("10.1.0.7", 443, "open", "ct status dnat accept"),
        ),
    ),
    Case(
        "a translation by a map, and a verdict by source and port",
        """
        table ip t {
          map to { type inet_service : ipv4_addr . inet_service; elements = { 80 : 10.3.0.10 . 8080, 443 : 10.1.0.1 . 631 }; }
          map v { type ipv4_addr . inet_service : verdict; flags interval;
                  elements = { 10.9.0.0/16 . 600-700 : drop, 10.1.0.0-10.1.0.7 . 631 : accept }; }
          chain pre { type nat hook prerouting priority dstnat; policy accept; dnat ip to tcp dport map @to; }
          chain in { type filter hook input priority 0; policy accept; ip saddr . tcp dport vmap @v; tcp dport 631 reject; }
        }
        """,
        (
            Expected("10.1.0.7", 80, "open", "dnat ip to tcp dport map @to"),
            Expected("10.1.0.7", 443, "open", "ip saddr . tcp dport vmap @v"),
            Expected("10.9.0.1", 443, "dropped", "ip saddr . tcp dport vmap @v"),
            Expected("192.0.2.7", 443, "refused", "tcp dport 631 reject with icmp port-unreachable"),
            Expected("10.1.0.7", 631, "open", "ip saddr . tcp dport vmap @v"),
        ),
    ),
    Case(
        "nobody sends from port 0, and elements that time out are there until they do",
        """
        table inet f {
          set s { type ipv4_addr; flags interval,timeout; elements = { 10.9.0.0/16 timeout 1h }; }
          chain in { type filter hook input priority 0; policy accept;
            tcp sport 0 drop
            tcp sport != 0 ip saddr @s reject with icmpx admin-prohibited
          }
        }
        """,
        (
            Expected("10.1.0.7", 80, "open", "policy accept"),
            Expected(
                "10.9.0.1", 80, "refused", "tcp sport != 0 ip saddr @s reject with icmpx admin-prohibited"
            ),
        ),
    ),
    Case(
        "ICMP is told apart by type and code",
        """
        table inet f { chain in { type filter hook input priority 0; policy drop;
          icmp type echo-request icmp code 0 ip saddr 10.1.0.0/16 accept
          icmpv6 type 128 icmpv6 code 1 accept
          icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept
          meta l4proto icmpv6 ip6 saddr fd20::/16 reject
        } }
        """,
        (
            Expected(
                "10.1.0.7",
                80,
                "open",
                "icmp type echo-request icmp code net-unreachable ip saddr 10.1.0.0/16 accept",
                "icmp",
            ),
            Expected("10.9.0.1", 80, "dropped", "policy drop", "icmp", general=True),
            Expected("fd01::7", 80, "dropped", "policy drop", "icmp", general=True),
            Expected(
                "fd20::5",
                80,
                "refused",
                "meta l4proto ipv6-icmp ip6 saddr fd20::/16 reject with icmpv6 port-unreachable",
                "icmp",
            ),
        ),
    ),
    Case(
        "a packet handed over by tproxy finds no such socket and goes on",
        """
        table ip t {
          chain pre { type filter hook prerouting priority mangle; policy accept; ip saddr 10.9.0.1 tcp dport 80 tproxy to :9999 drop; }
          chain in { type filter hook input priority 0; policy drop; tcp dport 443 accept; }
        }
        """,
        (
            Expected("10.1.0.7", 443, "open", "tcp dport 443 accept"),
            Expected("10.1.0.7", 80, "dropped", "policy drop", general=True),
        ),
    ),
    Case(
        "a zone chosen before connection tracking reads as new, and keeps what comes later from not being tracked",
        """
        table inet f {
          chain raw { type filter hook prerouting priority raw; policy accept;
            ct zone set 1
            tcp dport 80 ct state new drop
            tcp dport 443 notrack
          }
          chain in { type filter hook input priority 0; policy accept; ct state untracked drop; tcp dport 631 ct state new reject; }
        }
        """,
        (
            Expected("10.1.0.7", 80, "dropped", "tcp dport 80 ct state new drop"),
            Expected("fd20::5", 443, "open", "policy accept"),
            Expected("10.1.0.7", 631, "refused", "tcp dport 631 ct state new reject"),
        ),
    ),
    Case(
        "translations of the two ends are set up apart, each once",
        """
        table ip t {
          chain pre { type nat hook prerouting priority dstnat; policy accept;
            tcp dport 80 redirect to :8080
            tcp dport 443 dnat to 10.3.0.10:631
            tcp dport 631 dnat to 10.3.0.10:8080
          }
          chain in { type nat hook input priority 100; policy accept; tcp dport 8080 drop; }
          chain post { type nat hook postrouting priority srcnat; policy accept; tcp dport 8080 masquerade; }
          chain late { type nat hook postrouting priority 110; policy accept; drop; }
        }
        """,
        (
            Expected("10.1.0.7", 80, "dropped", "tcp dport 8080 drop"),
            Expected("10.1.0.7", 443, "dropped", "drop", general=True),
            Expected("10.1.0.7", 631, "open", "tcp dport 8080 masquerade"),
        ),
    ),
    Case(
        "what a map does not hold breaks the rule off, whatever the statement",
        """
        table inet f { chain in { type filter hook input priority 0; policy accept;
          meta priority set ip saddr map { 10.9.0.1 : 1:1 } drop
          tcp dport 443 meta priority set tcp dport map { 80 : 1:1 } reject
        } }
        """,
        (
            Expected("10.9.0.1", 80, "dropped", "meta priority set ip saddr map { 10.9.0.1 : 1:1 } drop"),
            Expected("10.1.0.7", 443, "open", "policy accept"),
            Expected("fd01::7", 80, "open", "policy accept"),
        ),
    ),
    Case(
        "an ordinary packet has no IP options and no extension headers, and one of the other version cannot be asked",
        """
        table inet f { chain in { type filter hook input priority 0; policy drop;
          ip option lsrr exists reject
          tcp dport 80 ip option rr missing accept
          tcp dport 443 exthdr hbh missing accept
        } }
        """,
        (
            Expected("10.1.0.7", 80, "open", "tcp dport 80 ip option rr missing accept"),
            Expected("10.1.0.7", 443, "dropped", "policy drop", general=True),
            Expected("fd01::7", 80, "dropped", "policy drop", general=True),
            Expected("fd01::7", 443, "open", "tcp dport 443 exthdr hbh missing accept"),
        ),
    ),
)
