"""Reading a listing of the ruleset: every spelling of nft 1.0.6 to 1.1.3, and everything that is no listing."""

from __future__ import annotations

from typing import Any

import pytest

from portguard.errors import ObserveError
from portguard.kernel.ruleset_json import parse_ruleset
from portguard.model.ruleset import Ruleset, TableKey

METAINFO = {"metainfo": {"version": "1.0.6", "release_name": "Lester Gooch #5", "json_schema_version": 1}}
KEY = TableKey("inet", "filter")
TABLE = {"table": {"family": "inet", "name": "filter", "handle": 7}}


def ruleset(*objects: dict[str, Any], terse: bool = False) -> Ruleset:
    return parse_ruleset({"nftables": [METAINFO, *objects]}, generation=42, terse=terse)


def of_table(kind: str, **body: Any) -> dict[str, Any]:
    return {kind: {"family": "inet", "table": "filter", **body}}


def test_empty_listing_is_an_empty_ruleset_of_its_generation() -> None:
    assert ruleset() == Ruleset(generation=42, tables={})


def test_base_chain_keeps_hook_priority_and_policy() -> None:
    chain = of_table("chain", name="in", handle=1, type="filter", hook="input", prio=-10, policy="drop")
    found = ruleset(TABLE, chain).tables[KEY].chains["in"]
    assert (found.hook, found.priority, found.policy, found.base, found.devices) == (
        "input",
        -10,
        "drop",
        True,
        None,
    )


@pytest.mark.parametrize(("dev", "devices"), [("eth0", ("eth0",)), (["eth0", "eth1"], ("eth0", "eth1"))])
def test_ingress_chain_keeps_its_devices_where_nft_prints_them(dev: object, devices: tuple[str, ...]) -> None:
    chain = of_table("chain", name="in", type="filter", hook="ingress", prio=0, policy="accept", dev=dev)
    assert ruleset(TABLE, chain).tables[KEY].chains["in"].devices == devices


def test_rules_stay_in_order_per_chain_with_their_comments() -> None:
    rules = [
        of_table("rule", chain=chain, handle=handle, expr=[{"accept": None}], comment=comment)
        for chain, handle, comment in [("a", 4, "first"), ("b", 5, None), ("a", 3, None)]
    ]
    table = ruleset(TABLE, *rules).tables[KEY]
    assert [(rule.handle, rule.comment) for rule in table.rules_of("a")] == [(4, "first"), (3, None)]
    assert [rule.handle for rule in table.rules_of("b")] == [5]
    assert table.rules_of("c") == ()


@pytest.mark.parametrize(
    ("type_", "expected"),
    [
        ("ipv4_addr", ("ipv4_addr",)),
        (["ipv4_addr", "inet_service"], ("ipv4_addr", "inet_service")),
        ({"typeof": {"payload": {"protocol": "ip", "field": "saddr"}}}, ("typeof",)),
        (
            {
                "typeof": {
                    "concat": [{"payload": {"protocol": "ip", "field": "saddr"}}, {"meta": {"key": "mark"}}]
                }
            },
            ("typeof", "typeof"),
        ),
    ],
)
def test_set_type_of_each_spelling(type_: object, expected: tuple[str, ...]) -> None:
    assert ruleset(TABLE, of_table("set", name="s", type=type_)).tables[KEY].sets["s"].type == expected


@pytest.mark.parametrize("flags", ["interval", ["interval"]])
def test_set_flags_are_read_as_word_and_as_list(flags: object) -> None:
    found = ruleset(TABLE, of_table("set", name="s", type="ipv4_addr", flags=flags, elem=["10.0.0.1"]))
    assert found.tables[KEY].sets["s"].flags == ("interval",)


def test_set_without_elements_is_empty_in_a_full_listing_and_unknown_in_a_terse_one() -> None:
    body = of_table("set", name="s", type="ipv4_addr")
    assert ruleset(TABLE, body).tables[KEY].sets["s"].elements == ()
    assert ruleset(TABLE, body, terse=True).tables[KEY].sets["s"].elements is None


def test_map_keeps_the_type_of_its_values_and_its_pairs() -> None:
    body = of_table("map", name="m", type="inet_service", map="verdict", elem=[[22, {"accept": None}]])
    found = ruleset(TABLE, body).tables[KEY].sets["m"]
    assert (found.map, found.elements) == ("verdict", ([22, {"accept": None}],))


def test_set_that_a_rule_fills_is_dynamic_though_the_listing_does_not_say_so() -> None:
    fill = {"set": {"op": "add", "elem": {"payload": {"protocol": "ip", "field": "saddr"}}, "set": "@seen"}}
    table = ruleset(
        TABLE,
        of_table("set", name="seen", type="ipv4_addr", flags=["timeout"]),
        of_table("set", name="fixed", type="ipv4_addr", flags=["timeout"]),
        of_table("rule", chain="in", handle=1, expr=[fill]),
    ).tables[KEY]
    assert (table.sets["seen"].dynamic, table.sets["fixed"].dynamic) == (True, False)


@pytest.mark.parametrize("flags", [["dormant"], "dormant"])
def test_table_flags_are_read_in_both_spellings(flags: object) -> None:
    table = {"table": {"family": "inet", "name": "filter", "flags": flags}}
    assert ruleset(table).tables[KEY].flags == ("dormant",)


def test_table_flags_that_nft_printed_as_garbage_are_known_to_be_unreadable() -> None:
    table = {"table": {"family": "inet", "name": "filter", "flags": "Lester Gooch #5"}}
    assert ruleset(table).tables[KEY].flags == ("unreadable",)


@pytest.mark.parametrize(
    "body",
    [
        of_table("chain", name="in", type="filter", hook="input", prio=None, policy="drop"),
        of_table("chain", name="in", type="filter", hook="input", policy="drop"),
        of_table("rule", handle=3, expr=[]),
        of_table("rule", chain="in", expr="accept"),
        of_table("set", name="s"),
        of_table("set", name="s", type="ipv4_addr", elem={"not": "a list"}),
    ],
)
def test_malformed_object_makes_its_own_table_unreadable_and_no_other(body: dict[str, Any]) -> None:
    other = {"table": {"family": "ip", "name": "nat"}}
    found = ruleset(TABLE, body, other)
    assert set(found.tables) == {TableKey("ip", "nat")}
    assert set(found.unreadable) == {KEY}


def test_objects_without_a_say_on_packets_are_passed_over() -> None:
    found = ruleset(TABLE, of_table("counter", name="c", packets=1, bytes=2), of_table("flowtable", name="f"))
    assert found.tables[KEY].chains == {}
    assert found.unreadable == {}


@pytest.mark.parametrize(
    "document",
    [
        None,
        [],
        {},
        {"nftables": {}},
        {"nftables": []},
        {"nftables": [TABLE]},
        {"nftables": [METAINFO, "table"]},
        {"nftables": [METAINFO, {"table": None}]},
        {"nftables": [METAINFO, {"table": {"family": "inet"}}]},
        {"nftables": [METAINFO, {"chain": {"family": "inet", "table": "filter", "name": "in"}}]},
    ],
)
def test_what_is_no_listing_raises_and_never_reads_as_empty(document: object) -> None:
    with pytest.raises(ObserveError):
        parse_ruleset(document, generation=1)
