"""Large sets stay text, and say the same as if they had been decoded."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portguard.kernel import listing_json
from portguard.kernel.listing_json import decode
from portguard.kernel.ruleset_json import parse_ruleset
from portguard.model.elements import Elements
from portguard.model.ruleset import TableKey

OF = {"family": "inet", "table": "f"}


def listing(*objects: Any) -> str:
    return json.dumps(
        {
            "nftables": [
                {"metainfo": {"version": "1.0.6"}},
                {"table": {"family": "inet", "name": "f"}},
                *objects,
            ]
        }
    )


def opened(value: Any) -> Any:
    """Give a document with all its elements decoded."""
    if isinstance(value, Elements):
        return list(value)
    if isinstance(value, dict):
        return {key: opened(item) for key, item in value.items()}
    return [opened(item) for item in value] if isinstance(value, list) else value


@pytest.fixture(autouse=True)
def everything_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing_json, "LARGE", 1)
    monkeypatch.setattr(listing_json, "_PIECE", 40)


texts = st.text(st.sampled_from('a]}[{", \\:'), max_size=8)
networks = st.builds(lambda length: {"prefix": {"addr": "10.0.0.0", "len": length}}, st.integers(0, 32))
members = st.one_of(
    st.sampled_from(["10.0.0.1", "10.200.100.25", "fd00::1"]),
    networks,
    st.builds(lambda text: {"elem": {"val": "10.0.0.1", "comment": text}}, texts),
    st.builds(lambda one: {"concat": [one, "tcp", {"range": [1, 2]}]}, networks),
    st.builds(lambda one, text: [one, {"jump": {"target": text}}], networks, texts),
)
named = st.builds(
    lambda kind, elements, first: {
        kind: {**OF, "name": "s", "type": "ipv4_addr", "handle": 3}
        | ({"elem": elements} if elements else {})
        | ({} if first is None else {"comment": first})
    },
    st.sampled_from(["set", "map"]),
    st.lists(members, max_size=30),
    st.none() | texts,
)
rules = st.builds(
    lambda text, elements: {
        "rule": {**OF, "chain": "in", "comment": text, "expr": [{"set": {"op": "add", "elem": elements}}]}
    },
    texts,
    st.lists(members, max_size=10),
)


@settings(max_examples=300)
@given(st.lists(st.one_of(named, rules), max_size=5))
def test_a_listing_says_what_it_says_in_one_piece(objects: list[Any]) -> None:
    text = listing(*objects)
    assert opened(decode(text)) == json.loads(text)


def test_a_large_set_stays_text_and_a_small_one_does_not() -> None:
    large = {"set": {**OF, "name": "l", "type": "ipv4_addr", "elem": [f"10.0.0.{n}" for n in range(50)]}}
    small = {"set": {**OF, "name": "s", "type": "ipv4_addr", "elem": ["10.0.0.1"]}}

    ruleset = parse_ruleset(decode(listing(small, large)), generation=1)

    sets = ruleset.tables[TableKey("inet", "f")].sets
    assert isinstance(sets["l"].elements, Elements)
    assert (len(sets["l"].elements), sets["l"].elements[49]) == (50, "10.0.0.49")
    assert sets["s"].elements == ("10.0.0.1",)


def test_sets_are_equal_when_they_were_printed_alike() -> None:
    def elements(count: int) -> Elements:
        listed = {
            "set": {**OF, "name": "l", "type": "ipv4_addr", "elem": [f"10.0.0.{n}" for n in range(count)]}
        }
        found = decode(listing(listed))["nftables"][-1]["set"]["elem"]
        assert isinstance(found, Elements)
        return found

    assert elements(50) == elements(50)
    assert hash(elements(50)) == hash(elements(50))
    assert elements(50) != elements(51)


@pytest.mark.parametrize("cut", [1, 2, 3, 20, 100, 400])
def test_a_listing_that_was_cut_off_is_none(cut: int) -> None:
    text = listing(
        {"set": {**OF, "name": "l", "type": "ipv4_addr", "elem": [f"10.0.0.{n}" for n in range(50)]}}
    )
    with pytest.raises(ValueError, match=r"."):
        decode(text[:-cut])
