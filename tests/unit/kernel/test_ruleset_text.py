"""Joining the text listing: rules of iptables as nft spells them, devices, and everything that is not certain."""

from __future__ import annotations

from typing import Any

import pytest

from portguard.kernel.rule_text import parse_rule
from portguard.kernel.ruleset_json import parse_ruleset
from portguard.kernel.ruleset_text import join_text, needs_text
from portguard.model.nft_text import statements_text
from portguard.model.ruleset import Ruleset, TableKey

METAINFO = {"metainfo": {"version": "1.0.6"}}
KEY = TableKey("ip", "filter")

RULES = [
    # What nft 1.0.6 printed for rules that iptables-nft 1.8.9 had written.
    ("meta l4proto tcp tcp dport { 80, 443, 8000-8010 }  counter packets 0 bytes 0 accept",
     "meta l4proto tcp tcp dport { 80, 443, 8000-8010 } counter accept"),
    ("ip saddr 10.0.0.0/8 tcp dport 5 counter packets 0 bytes 0 reject", "ip saddr 10.0.0.0/8 tcp dport 5 counter reject"),
    ("ct state new,related counter packets 0 bytes 0 drop", "ct state new,related counter drop"),
    ("fib daddr type local counter packets 0 bytes 0 return", "fib daddr type local counter return"),
    ('ip saddr 10.0.0.1-10.0.0.9 counter packets 0 bytes 0 log prefix "foo "', "ip saddr 10.0.0.1-10.0.0.9 counter log"),
    ("xt match recent counter packets 0 bytes 0 drop", 'xt match "recent" counter drop'),
    ('iifname "eth*" udp sport != 5 limit rate 3/minute counter packets 0 bytes 0 reject with icmp type admin-prohibited',
     'iifname "eth*" udp sport != 5 limit rate 3/minute counter reject with icmp admin-prohibited'),
    ("meta l4proto tcp ct state new tcp flags syn / fin,syn,rst,ack counter packets 0 bytes 0 accept",
     "meta l4proto tcp ct state new tcp flags syn / fin,syn,rst,ack counter accept"),
    ("tcp flags ! fin,syn,rst,psh,ack,urg counter packets 0 bytes 0 drop",
     "tcp flags ! fin,syn,rst,psh,ack,urg counter drop"),
    ("counter packets 0 bytes 0 meta mark set mark and 0xffffff00 xor 0x1",
     "counter meta mark set meta mark & 0xffffff00 ^ 0x00000001"),
    ("pkttype broadcast counter packets 0 bytes 0 drop", "meta pkttype broadcast counter drop"),
    ("tcp dport 81 counter packets 0 bytes 0 redirect to :99", "tcp dport 81 counter redirect to :99"),
    ("tcp dport 82 counter packets 0 bytes 0 dnat to 172.17.0.2:80", "tcp dport 82 counter dnat to 172.17.0.2:80"),
    ("counter packets 0 bytes 0 jump DOCKER", "counter jump DOCKER"),
    ("tcp dport 9 counter packets 0 bytes 0 notrack", "tcp dport 9 counter notrack"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "read"), RULES, ids=[read for _, read in RULES])
def test_rule_of_iptables_is_read_from_the_text(text: str, read: str) -> None:
    parsed = parse_rule(text)
    assert parsed is not None
    assert statements_text(parsed) == read


@pytest.mark.parametrize(
    "text",
    [
        "tcp sport . tcp dport { 80 . 0-65535 } accept",
        "tcp dport { 80, 443",
        "socket transparent 1 accept",
        "tcp dport 80 mystery 5 accept",
        "ip saddr & 255.0.0.0 == accept",
        'log prefix "unfinished accept',
        "tcp dport { 80; drop } accept",
        "redirect to 10.0.0.1:80",
    ],
)
def test_text_that_is_not_read_for_certain_is_not_read_at_all(text: str) -> None:
    assert parse_rule(text) is None


def ruleset(*rules: dict[str, Any], **chain: Any) -> Ruleset:
    of = {"family": "ip", "table": "filter"}
    rows = [{"rule": {**of, "chain": "INPUT", **rule}} for rule in rules]
    table = {"table": {"family": "ip", "name": "filter", **chain.pop("table", {})}}
    body = {"type": "filter", "hook": "input", "prio": 0, "policy": "accept", **chain}
    return parse_ruleset(
        {"nftables": [METAINFO, table, {"chain": {**of, "name": "INPUT", **body}}, *rows]}, generation=1
    )


def listing(*lines: str, head: str = "type filter hook input priority filter; policy accept;") -> str:
    rules = "".join(f"\t\t{line}\n" for line in lines)
    return f"table ip filter {{ # handle 1\n\tchain INPUT {{ # handle 1\n\t\t{head}\n{rules}\t}}\n}}\n"


XT = {"xt": {"type": "match", "name": "multiport"}}


def test_rules_are_joined_by_their_handles() -> None:
    native = {"handle": 4, "expr": [{"counter": {"packets": 1, "bytes": 2}}, {"drop": None}]}
    found = join_text(
        ruleset({"handle": 9, "expr": [XT, {"accept": None}]}, native),
        listing("counter packets 1 bytes 2 drop # handle 4", "tcp dport { 80, 443 } accept # handle 9"),
    )
    first, second = found.tables[KEY].rules_of("INPUT")
    assert statements_text(first.expr) == "tcp dport { 80, 443 } accept"
    assert second.expr == tuple(native["expr"])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "line",
    [
        "tcp dport { 80, 443 } accept # handle 8",
        "tcp dport { 80, 443 } drop # handle 9",
        "tcp dport { 80, 443 } mystery accept # handle 9",
    ],
    ids=["of another handle", "with another verdict", "not understood"],
)
def test_text_that_does_not_fit_leaves_the_rule_opaque(line: str) -> None:
    before = ruleset({"handle": 9, "expr": [XT, {"accept": None}]})
    assert join_text(before, listing(line)) == before


def test_devices_of_an_ingress_chain_come_from_the_text() -> None:
    before = ruleset(hook="ingress")
    head = 'type filter hook ingress devices = { "eth0", eth1 } priority filter; policy accept;'
    assert join_text(before, listing(head=head)).tables[KEY].chains["INPUT"].devices == ("eth0", "eth1")


def test_table_flags_that_the_json_garbles_come_from_the_text() -> None:
    before = ruleset(table={"flags": "Lester Gooch #5"})
    text = listing().replace("# handle 1\n", "# handle 1\n\tflags dormant\n", 1)
    assert join_text(before, text).tables[KEY].flags == ("dormant",)
    assert join_text(before, listing()).tables[KEY].flags == ("unreadable",)


def test_text_is_wanted_only_where_the_json_left_something_out() -> None:
    assert not needs_text(ruleset({"handle": 1, "expr": [{"accept": None}]}))
    assert needs_text(ruleset({"handle": 1, "expr": [XT, {"accept": None}]}))
    assert needs_text(ruleset(hook="ingress"))
    assert not needs_text(ruleset(hook="ingress", dev="eth0"))
