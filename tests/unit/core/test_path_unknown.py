"""What cannot be known is said so, with the reason, and only where it makes a difference."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, Any

import pytest

from path_questions import LINKS, asked
from portguard.core.path import evaluate
from portguard.kernel.ruleset_json import parse_ruleset
from portguard.model.net import AddressSet
from portguard.model.ruleset import Ruleset, TableKey, legacy_key
from portguard.model.snapshot import Interface, Links, Route

if TYPE_CHECKING:
    from portguard.model.path import Branch, PathReport

CLIENT = AddressSet.of("10.1.0.7")
OF = {"family": "inet", "table": "f"}
XT: dict[str, Any] = {"xt": {"type": "match", "name": "recent"}}
LIMIT: dict[str, Any] = {"limit": {"rate": 10, "per": "second", "burst": 5}}
ACCEPT: dict[str, Any] = {"accept": None}
DROP: dict[str, Any] = {"drop": None}
REJECT: dict[str, Any] = {"reject": None}


def iif(name: str) -> dict[str, Any]:
    return {"match": {"op": "==", "left": {"meta": {"key": "iifname"}}, "right": name}}


def saddr(right: Any) -> dict[str, Any]:
    left = {"payload": {"protocol": "ip", "field": "saddr"}}
    return {"match": {"op": "==", "left": left, "right": right}}


def ruleset(
    *rules: list[dict[str, Any]],
    policy: str = "drop",
    terse: bool = False,
    more: tuple[Any, ...] = (),
    **table: Any,
) -> Ruleset:
    rows: list[Any] = [{"metainfo": {}}, {"table": {"family": "inet", "name": "f", **table}}, *more]
    base = {"type": "filter", "hook": "input", "prio": 0, "policy": policy}
    rows.append({"chain": {**OF, "name": "in", **base}})
    rows += [{"rule": {**OF, "chain": "in", "handle": n, "expr": expr}} for n, expr in enumerate(rules, 10)]
    return parse_ruleset({"nftables": rows}, generation=1, terse=terse)


def fate(found: Ruleset, links: Links | None = LINKS, sources: AddressSet = CLIENT, **more: Any) -> Branch:
    report: PathReport = evaluate(
        found, asked("tcp", 80, sources, **{"destination": AddressSet.of("10.1.0.1"), **more}), links
    )
    (branch,) = report.branches
    return branch


@pytest.mark.parametrize(
    "doubtful", [XT, LIMIT, {"teleport": {"to": "mars"}}], ids=["xt", "limit", "unknown statement"]
)
def test_a_rule_that_may_match_makes_unknown_what_it_would_change(doubtful: dict[str, Any]) -> None:
    branch = fate(ruleset([doubtful, ACCEPT]))
    assert branch.outcome == "unknown"
    assert branch.reason


@pytest.mark.parametrize("doubtful", [XT, LIMIT])
def test_a_rule_that_may_match_and_changes_nothing_leaves_no_doubt(doubtful: dict[str, Any]) -> None:
    branch = fate(ruleset([doubtful, DROP]))
    assert (branch.outcome, branch.reason) == ("dropped", None)


def test_shut_either_way_is_shut_and_says_that_the_client_may_be_told() -> None:
    branch = fate(ruleset([LIMIT, REJECT]))
    assert (branch.outcome, branch.general) == ("dropped", True)
    assert branch.reason is not None


def test_a_drop_elsewhere_is_final_whatever_else_is_not_understood() -> None:
    assert fate(ruleset([saddr("10.1.0.7"), DROP], [XT, ACCEPT])).outcome == "dropped"


def test_a_set_that_was_not_read_is_unknown_for_what_it_could_hold() -> None:
    body = {"set": {**OF, "name": "s", "type": "ipv4_addr"}}
    found = ruleset([saddr("@s"), ACCEPT], terse=True, more=(body,))
    assert "not read" in str(fate(found).reason)
    assert fate(ruleset([saddr("@s"), ACCEPT], more=(body,))).outcome == "dropped"


def test_of_a_table_that_could_not_be_read_nothing_is_claimed_since_it_may_translate_before_others_drop() -> (
    None
):
    other = {TableKey("ip", "x"): "its listing was cut off"}
    open_ = ruleset(policy="accept")
    shut = ruleset()
    assert fate(open_).outcome == "open"
    unsure = fate(Ruleset(generation=1, tables=open_.tables, unreadable=other))
    assert (unsure.outcome, "cut off" in str(unsure.reason)) == ("unknown", True)
    assert fate(Ruleset(generation=1, tables=shut.tables, unreadable=other)).outcome == "unknown"


@pytest.mark.parametrize(
    ("name", "policy", "outcome"),
    [
        ("ip filter", "accept", "unknown"),
        ("ip filter", "drop", "dropped"),
        ("ip nat", "drop", "unknown"),
        ("ip mangle", "drop", "unknown"),
        ("ip6 nat", "accept", "open"),
    ],
)
def test_tables_of_iptables_legacy_leave_shut_what_they_cannot_translate_or_mark(
    name: str, policy: str, outcome: str
) -> None:
    tables = ruleset(policy=policy).tables
    found = fate(Ruleset(generation=1, tables=tables, unreadable={legacy_key(name): "hidden"}))
    assert found.outcome == outcome
    assert (found.reason is None) == (outcome == "open")


def test_a_table_that_could_not_be_read_of_the_other_family_has_no_say() -> None:
    other = {TableKey("ip6", "x"): "its listing was cut off"}
    assert (
        fate(Ruleset(generation=1, tables=ruleset(policy="accept").tables, unreadable=other)).outcome
        == "open"
    )


def test_a_dormant_table_does_nothing_and_one_of_unreadable_flags_may() -> None:
    assert fate(ruleset(flags=["dormant"])).outcome == "open"
    assert fate(ruleset(flags="Lester Gooch #5")).outcome == "unknown"


def test_without_links_the_interface_is_not_known_and_named_in_the_reason() -> None:
    found = ruleset([iif("eth0"), ACCEPT])
    branch = fate(found, links=None)
    assert branch.outcome == "unknown"
    assert "eth0" in str(branch.reason)
    assert fate(found).outcome == "open"
    assert fate(found, sources=AddressSet.of("172.20.1.1")).outcome == "dropped"
    assert fate(found, links=None, interfaces=("eth0",)).outcome == "open"


def test_loopback_is_no_way_in_from_the_network() -> None:
    assert fate(ruleset([iif("lo"), ACCEPT]), links=None).outcome == "dropped"


def test_different_fates_of_own_addresses_are_told_apart_in_the_reason() -> None:
    left = {"payload": {"protocol": "ip", "field": "daddr"}}
    found = ruleset([{"match": {"op": "==", "left": left, "right": "10.1.0.1"}}, ACCEPT])
    branch = fate(found, destination=AddressSet.of("10.1.0.1", "192.168.77.1"))
    assert branch.outcome == "unknown"
    assert "open by 10.1.0.1" in str(branch.reason)
    assert "dropped by 192.168.77.1" in str(branch.reason)


def test_a_chain_that_the_listing_lacks_may_decide_anything() -> None:
    assert fate(ruleset([{"jump": {"target": "gone"}}])).outcome == "unknown"


def test_of_a_field_that_differs_from_packet_to_packet_the_reason_is_the_field_and_not_the_set() -> None:
    """Debian 12 lists ``th dport`` behind a match of ICMPv6 types as the checksum, with ports as elements."""
    types = {"type": ["ipv6_addr", "inet_service"], "flags": ["interval"]}
    elements = [{"concat": ["fd01::7", 443]}]
    key = [{"payload": {"protocol": protocol, "field": field}}
           for protocol, field in (("ip6", "saddr"), ("icmpv6", "checksum"))]  # fmt: skip
    rule = [{"match": {"op": "==", "left": {"concat": key}, "right": "@c6"}}, DROP]
    found = ruleset(rule, policy="accept", more=({"set": {**OF, "name": "c6", **types, "elem": elements}},))
    ask = asked("icmp", None, AddressSet.of("fd01::7"), destination=AddressSet.of("fd01::1"))
    (branch,) = evaluate(found, ask, LINKS).branches
    assert branch.outcome == "unknown"
    assert "differs from packet to packet" in str(branch.reason)


def filled(op: str) -> dict[str, Any]:
    return {"set": {"op": op, "elem": {"payload": {"protocol": "ip", "field": "saddr"}}, "set": "@s"}}


def with_set(**more: Any) -> tuple[Any, ...]:
    return ({"set": {**OF, "name": "s", "handle": 3, "type": "ipv4_addr", "flags": ["timeout"], **more}},)


@pytest.mark.parametrize(
    ("more", "outcome"),
    [
        ({"size": 1, "elem": ["10.9.0.1"]}, "unknown"),
        ({"size": 2, "elem": ["10.9.0.1"]}, "dropped"),
        ({"size": 1, "elem": ["10.1.0.7"]}, "dropped"),
        ({"size": 9, "stmt": [{"limit": {"rate": 1, "per": "second", "burst": 5}}]}, "unknown"),
        ({"size": 9, "stmt": [{"counter": None}]}, "dropped"),
    ],
    ids=["full", "room for one", "full of the source", "each with a limit", "each with a counter"],
)
def test_a_set_that_may_not_take_the_source_breaks_the_rule_off(more: dict[str, Any], outcome: str) -> None:
    found = ruleset([filled("add"), DROP], policy="accept", more=with_set(**more))
    assert fate(found).outcome == outcome


def test_the_source_that_a_rule_took_out_of_a_set_may_or_may_not_be_in_it() -> None:
    inside = with_set(elem=["10.1.0.7"])
    assert fate(ruleset([saddr("@s"), DROP], policy="accept", more=inside)).outcome == "dropped"
    found = fate(ruleset([filled("delete")], [saddr("@s"), DROP], policy="accept", more=inside))
    assert found.outcome == "unknown"
    assert "taken it out of set s" in str(found.reason)


def test_an_element_with_a_limit_of_its_own_may_be_passed_over() -> None:
    limited = {"elem": {"val": "10.1.0.7", "limit": {"rate": 5, "per": "second", "burst": 5}}}
    counted = {"elem": {"val": "10.1.0.7", "counter": {"packets": 0, "bytes": 0}}}
    for element, outcome in ((limited, "unknown"), (counted, "dropped")):
        found = ruleset([saddr("@s"), DROP], policy="accept", more=with_set(elem=[element]))
        assert fate(found).outcome == outcome


def test_protocols_that_are_not_asked_about_are_known_by_name() -> None:
    left = {"meta": {"key": "l4proto"}}
    names = {"match": {"op": "==", "left": left, "right": {"set": ["eigrp", "ipip", "ipcomp", "hopopt"]}}}
    assert fate(ruleset([names, ACCEPT])).outcome == "dropped"


def test_a_counter_chosen_by_a_map_breaks_the_rule_off_for_what_the_map_does_not_hold() -> None:
    port = {"payload": {"protocol": "tcp", "field": "dport"}}
    counters = {"counter": {"map": {"key": port, "data": {"set": [[443, "c"]]}}}}
    assert fate(ruleset([counters, ACCEPT])).outcome == "dropped"
    counters = {"counter": {"map": {"key": port, "data": {"set": [[80, "c"]]}}}}
    assert fate(ruleset([counters, ACCEPT])).outcome == "open"


BRIDGE = Links(
    interfaces=(
        Interface(index=2, name="br0", up=True, addresses=((ip_address("10.1.0.1"), 16),)),
        Interface(index=3, name="port", up=True, addresses=((ip_address("fe80::3"), 64),), master=2),
        Interface(index=4, name="eth1", up=True, addresses=((ip_address("10.2.0.1"), 16),)),
        Interface(index=5, name="eth1.7", up=True, addresses=((ip_address("10.7.0.1"), 16),), lower=4),
    ),
    routes=(
        Route(network=ip_network("10.1.0.0/16"), interface=2),
        Route(network=ip_network("10.2.0.0/16"), interface=4),
        Route(network=ip_network("10.7.0.0/16"), interface=5),
    ),
)
FROM_BRIDGE, FROM_LAN, FROM_VLAN = (AddressSet.of(f"10.{net}.0.7") for net in (1, 2, 7))


def beside(family: str, hook: str, *expr: dict[str, Any], **more: Any) -> Ruleset:
    of = {"family": family, "table": "b"}
    base = {"name": "c", "type": "filter", "hook": hook, "prio": 0, "policy": "accept", **more}
    rows = [{"metainfo": {}}, {"table": {"family": family, "name": "b"}}, {"chain": {**of, **base}}]
    rows += [{"rule": {**of, "chain": "c", "handle": 3, "expr": [one]}} for one in expr]
    return parse_ruleset({"nftables": rows}, generation=1)


def test_what_a_table_of_family_bridge_drops_is_not_evaluated() -> None:
    dropping = beside("bridge", "input", DROP)
    found = fate(dropping, BRIDGE, FROM_BRIDGE)
    assert (found.outcome, "bridge b" in str(found.reason)) == ("unknown", True)
    assert fate(dropping, BRIDGE, FROM_LAN).outcome == "open"
    # The same chain without the rule is another ruleset, though its base chains are the same.
    assert fate(beside("bridge", "input"), BRIDGE, FROM_BRIDGE).outcome == "open"
    assert fate(dropping, BRIDGE, FROM_BRIDGE).outcome == "unknown"
    assert fate(beside("bridge", "forward", DROP), BRIDGE, FROM_BRIDGE).outcome == "open"


@pytest.mark.parametrize(
    ("device", "source", "outcome"),
    [
        ("port", FROM_BRIDGE, "unknown"),
        ("eth1", FROM_VLAN, "unknown"),
        ("eth1", FROM_LAN, "dropped"),
        ("eth1", FROM_BRIDGE, "open"),
        ("br0", FROM_BRIDGE, "dropped"),
        ("br0", FROM_VLAN, "open"),
    ],
)
def test_an_ingress_chain_may_see_what_its_device_carries_for_others(
    device: str, source: AddressSet, outcome: str
) -> None:
    assert fate(beside("netdev", "ingress", DROP, dev=device), BRIDGE, source).outcome == outcome
