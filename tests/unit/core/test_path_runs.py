"""Long runs of bans are one lookup with the same outcome as rule after rule."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Any

from hypothesis import given
from hypothesis import strategies as st

from path_questions import LINKS, asked
from portguard.core.path import evaluate
from portguard.kernel.ruleset_json import parse_ruleset
from portguard.model.net import AddressSet

if TYPE_CHECKING:
    from portguard.model.ruleset import Ruleset

OF = {"family": "ip", "table": "f"}
HOST = AddressSet.of("10.1.0.1")


def bans(rules: list[tuple[str, int, str]]) -> Ruleset:
    """Make a chain of rules (first address, prefix length, verdict); the policy drops."""
    rows: list[Any] = [
        {"metainfo": {}},
        {"table": {"family": "ip", "name": "f"}},
        {"chain": {**OF, "name": "in", "type": "filter", "hook": "input", "prio": 0, "policy": "drop"}},
    ]
    left = {"payload": {"protocol": "ip", "field": "saddr"}}
    for handle, (address, length, verdict) in enumerate(rules, 10):
        network = ipaddress.ip_network(f"{address}/{length}", strict=False)
        right = {"prefix": {"addr": str(network.network_address), "len": length}}
        expr = [{"match": {"op": "==", "left": left, "right": right}}, {verdict: None}]
        rows.append({"rule": {**OF, "chain": "in", "handle": handle, "expr": expr}})
    return parse_ruleset({"nftables": rows}, generation=1)


rule = st.tuples(
    st.integers(0, 255).map(lambda last: f"10.9.0.{last}"),
    st.integers(24, 32),
    st.sampled_from(["accept", "drop"]),
)


@given(st.lists(rule, min_size=8, max_size=40), st.integers(0, 255))
def test_a_run_decides_for_each_source_as_its_first_matching_rule_does(
    rules: list[tuple[str, int, str]], last: int
) -> None:
    source = ipaddress.ip_address(f"10.9.0.{last}")
    first = next(
        (
            (handle, verdict)
            for handle, (address, length, verdict) in enumerate(rules, 10)
            if source in ipaddress.ip_network(f"{address}/{length}", strict=False)
        ),
        (None, "drop"),
    )
    ruleset = bans(rules)
    (alone,) = evaluate(
        ruleset, asked("tcp", 80, AddressSet.of(str(source)), destination=HOST), LINKS
    ).branches
    report = evaluate(ruleset, asked("tcp", 80, AddressSet.of("10.0.0.0/8"), destination=HOST), LINKS)
    among = next(branch for branch in report.branches if source in branch.sources)
    expected = "open" if first[1] == "accept" else "dropped"
    assert (alone.outcome, alone.by.handle if alone.by else None) == (expected, first[0])
    assert among.outcome == expected


def test_of_hundreds_of_bans_one_stands_for_all_and_a_single_source_still_finds_its_own() -> None:
    ruleset = bans([(f"10.{n >> 8}.{n & 255}.7", 32, "drop") for n in range(700)])
    report = evaluate(ruleset, asked("tcp", 80, AddressSet.of("10.0.0.0/8"), destination=HOST), LINKS)
    assert len(report.branches) == 2
    banned = next(branch for branch in report.branches if not branch.general)
    assert banned.trail[-1].effect == "drop, or one of 700 rules like it"
    (own,) = evaluate(ruleset, asked("tcp", 80, AddressSet.of("10.1.44.7"), destination=HOST), LINKS).branches
    assert own.by is not None
    assert own.by.handle == 10 + 256 + 44
