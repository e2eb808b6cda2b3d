"""Each ruleset of ``path_cases`` has the outcome, the deciding rule and the generality that it must have."""

from __future__ import annotations

import ipaddress
import json
from typing import Any

import pytest

from path_cases import CASES, RECORDED, Case, Expected
from path_questions import LINKS, OWN, asked
from portguard.core.path import evaluate
from portguard.kernel.ruleset_json import parse_ruleset
from portguard.model.net import EVERYTHING, AddressSet

LISTINGS: dict[str, Any] = json.loads(RECORDED.read_text())

QUESTIONS = [(case, expected) for case in CASES for expected in case.expected]


@pytest.mark.parametrize(
    ("case", "expected"),
    QUESTIONS,
    ids=[f"{case.name}: {e.source} {e.transport} {e.port}" for case, e in QUESTIONS],
)
def test_source_has_the_expected_fate_alone_and_among_all(case: Case, expected: Expected) -> None:
    ruleset = parse_ruleset(LISTINGS[case.name], generation=1)
    source = ipaddress.ip_address(expected.source)
    for sources in (AddressSet.of(expected.source), EVERYTHING):
        port = None if expected.transport == "icmp" else expected.port
        report = evaluate(ruleset, asked(expected.transport, port, sources), LINKS)
        branch = next(branch for branch in report.branches if source in branch.sources)
        assert (branch.outcome, branch.by.text if branch.by else None, branch.general) == (
            expected.outcome,
            expected.by,
            expected.general,
        )
        assert branch.reason is None


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_branches_partition_the_sources_asked_about(case: Case) -> None:
    ruleset = parse_ruleset(LISTINGS[case.name], generation=1)
    for port in (80, 443, 631, 8080):
        report = evaluate(ruleset, asked("tcp", port, EVERYTHING), LINKS)
        whole = AddressSet()
        for branch in report.branches:
            assert not branch.sources & whole
            whole |= branch.sources
        assert whole == EVERYTHING


def test_sources_of_a_version_that_is_not_served_are_not_part_of_the_answer() -> None:
    ruleset = parse_ruleset(LISTINGS["nothing filters"], generation=1)
    ask = asked("tcp", 80, EVERYTHING, destination=AddressSet(OWN.v4))
    report = evaluate(ruleset, ask, LINKS)
    assert [branch.sources for branch in report.branches] == [AddressSet(EVERYTHING.v4)]
