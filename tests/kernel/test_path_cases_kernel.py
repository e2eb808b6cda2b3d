"""The recorded listings and expectations of the unit tests hold on the kernel at hand, and nft spells rules as we do."""

from __future__ import annotations

import ipaddress
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from packets import OWN_ADDRESS, Kernel, Probe

from path_cases import CASES, RECORDED, Case
from portguard.core import canonical
from portguard.kernel.ruleset_json import parse_ruleset
from portguard.model.net import Transport
from portguard.model.nft_text import statements_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from portguard.model.ruleset import Table

pytestmark = pytest.mark.kernel

LISTINGS: dict[str, Any] = json.loads(RECORDED.read_text())
STATEMENTS: list[dict[str, Any]] = json.loads(
    (Path(__file__).parent.parent / "unit" / "model" / "nft_statements.json").read_text()
)


@pytest.fixture(scope="module")
def kernel() -> Iterator[Kernel]:
    with Kernel((80, 443, 631, 8080)) as found:
        yield found


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_kernel_does_with_packets_what_the_unit_tests_expect(kernel: Kernel, case: Case) -> None:
    kernel.load(case.nft)
    probes = [
        Probe(
            source=ipaddress.ip_address(expected.source),
            destination=ipaddress.ip_address(OWN_ADDRESS[4 if "." in expected.source else 6]),
            transport=Transport(expected.transport),
            port=expected.port,
            interface="eth1" if expected.source.startswith(("172.20.", "fd20:")) else "eth0",
        )
        for expected in case.expected
    ]
    answers = [answer for probe in probes for answer in kernel.send([probe])]
    assert [answer.outcome for answer in answers] == [expected.outcome for expected in case.expected]


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_listing_of_the_nft_at_hand_reads_as_the_recorded_one(kernel: Kernel, case: Case) -> None:
    kernel.load(case.nft)
    now = parse_ruleset(kernel.listing(), generation=1)
    recorded = parse_ruleset(LISTINGS[case.name], generation=1)
    assert list(now.tables) == list(recorded.tables)
    for key, table in now.tables.items():
        assert table.chains == recorded.tables[key].chains
        assert _rules(table) == _rules(recorded.tables[key])


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_rules_are_spelled_as_nft_lists_them(kernel: Kernel, case: Case) -> None:
    kernel.load(case.nft)
    assert _spelled(kernel) == _listed(kernel)


def test_every_recorded_statement_is_spelled_so_that_nft_reads_the_same(kernel: Kernel) -> None:
    """Masks, limits and TCP flags are listed in other words from release to release; they mean the same."""
    # Rules that need objects or hooks of their own are covered by the recorded pairs alone. So are masks of TCP flags: nft
    # 1.1 does not read "tcp flags syn / fin | syn", as 1.0 lists it.
    plain = [
        pair["text"]
        for pair in STATEMENTS
        if pair["chain"] == "in"
        and not re.search(
            r'@|"ftp"|"lim"|"q1"|name "c"|iifname vmap|goto|iif "lo"|meter |tcp flags .* / ', pair["text"]
        )
    ]
    assert len(plain) > 100
    first = _bodies_of(kernel, plain)
    assert len(first) == len(plain)
    assert _bodies_of(kernel, _spelled(kernel)) == first


def _rules(table: Table) -> dict[str, list[tuple[int | None, str]]]:
    """Give a table's rules as text. Codes of ICMP messages are words in nft 1.0, which differ by type; 1.1 lists numbers."""
    return {
        chain: [
            (rule.handle, re.sub(r'"(net-unreachable|admin-prohibited)"', _number, json.dumps(rule.expr)))
            for rule in rules
        ]
        for chain, rules in table.rules.items()
    }


def _number(word: re.Match[str]) -> str:
    return {"net-unreachable": "0", "admin-prohibited": "1"}[word[1]]


def _bodies_of(kernel: Kernel, rules: list[str]) -> list[str]:
    """Load rules, and give what nft then lists as JSON."""
    kernel.load(
        "table inet t {\n chain in { type filter hook input priority 0; policy drop;\n"
        + "\n".join(rules)
        + "\n}\n}\n"
    )
    (table,) = parse_ruleset(kernel.listing(), generation=1).tables.values()
    return [canonical.rule_body(rule) for rule in table.rules_of("in")]


def _spelled(kernel: Kernel) -> list[str]:
    ruleset = parse_ruleset(kernel.listing(), generation=1)
    # In tables of one family nft leaves the default code out; the text does not know the family.
    default = {"ip": " with icmp port-unreachable", "ip6": " with icmpv6 port-unreachable"}
    return [
        statements_text(rule.expr).replace(default.get(table.key.family, "\0"), "")
        for table in ruleset.tables.values()
        for chain in table.chains
        for rule in table.rules_of(chain)
    ]


def _listed(kernel: Kernel) -> list[str]:
    """Take the rules out of nft's text listing, without the numbers of counters."""
    found = (re.match(r"\t\t(.*) # handle \d+$", line) for line in kernel.text().splitlines())
    return [re.sub(r" packets \d+ bytes \d+", "", rule[1]) for rule in found if rule]
