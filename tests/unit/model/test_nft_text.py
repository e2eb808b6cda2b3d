"""The text of every kind of statement that nft 1.0.6 prints, as nft itself spelled it.

``nft_statements.json`` holds what one real ``nft`` printed for the same rules as text and as JSON (counters without
their numbers); ``tests/kernel/test_nft_text_listing.py`` asks the nft at hand again.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from portguard.model.nft_text import statements_text, value_text

PAIRS: list[dict[str, Any]] = json.loads((Path(__file__).parent / "nft_statements.json").read_text())


@pytest.mark.parametrize("pair", PAIRS, ids=[pair["text"] for pair in PAIRS])
def test_statement_is_spelled_as_nft_lists_it(pair: dict[str, Any]) -> None:
    assert statements_text(pair["expr"]) == pair["text"]


def test_fixture_covers_every_kind_of_statement() -> None:
    kinds = {next(iter(statement)) for pair in PAIRS for statement in pair["expr"]}
    assert kinds >= {
        *("match", "vmap", "accept", "drop", "goto", "reject", "limit", "quota", "log", "counter"),
        *(
            "dnat",
            "snat",
            "redirect",
            "masquerade",
            "tproxy",
            "notrack",
            "mangle",
            "set",
            "meter",
            "ct helper",
        ),
    }


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"prefix": {"addr": "10.0.0.0", "len": 8}}, "10.0.0.0/8"),
        ({"range": ["10.0.0.1", "10.0.0.9"]}, "10.0.0.1-10.0.0.9"),
        ({"concat": ["10.0.0.1", {"range": [80, 90]}]}, "10.0.0.1 . 80-90"),
        (
            {"elem": {"val": "10.0.0.1", "timeout": 3600, "expires": 61, "comment": "x"}},
            '10.0.0.1 timeout 1h expires 1m1s comment "x"',
        ),
        ({"set": [22, {"range": [80, 90]}]}, "{ 22, 80-90 }"),
        ("@allowed", "@allowed"),
    ],
)
def test_value_is_spelled_as_nft_lists_it(value: object, text: str) -> None:
    assert value_text(value) == text


@pytest.mark.parametrize(
    ("statement", "text"),
    [
        ({"jump": {"target": "web"}}, "jump web"),
        ({"return": None}, "return"),
        (
            {"queue": {"num": {"range": [1, 3]}, "flags": ["bypass", "fanout"]}},
            "queue flags bypass,fanout to 1-3",
        ),
        ({"xt": {"type": "match", "name": "recent"}}, 'xt match "recent"'),
        ({"dnat": {"family": "ip6", "addr": "fe80::1", "port": 80}}, "dnat ip6 to [fe80::1]:80"),
        ({"flow": {"op": "add", "flowtable": "@fast"}}, "flow add @fast"),
    ],
)
def test_statement_that_needs_more_than_a_plain_kernel_is_spelled(statement: object, text: str) -> None:
    assert statements_text([statement]) == text


@pytest.mark.parametrize(
    "statement",
    [
        {"teleport": {"to": "mars"}},
        {"match": {"strange": 1}},
        {"limit": {"speed": "high"}},
        ["not", "a", "statement"],
    ],
)
def test_unknown_statement_is_shown_as_its_json_and_never_left_out(statement: object) -> None:
    assert statements_text([statement, {"accept": None}]) == f"{json.dumps(statement)} accept"


def test_unknown_value_is_shown_as_its_json() -> None:
    assert value_text({"payload": {"odd": 1}}) == '{"payload": {"odd": 1}}'
