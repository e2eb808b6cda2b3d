"""Laws of healing the own table: whatever happened to it, one transaction brings it back, and a second writes nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import sites
from hypothesis import given, settings
from hypothesis import strategies as st

from portguard.core import canonical
from portguard.core.compare import compare, made_by_portguard
from portguard.core.heal import mend, replacement
from portguard.core.render import OWN_TABLE, own_table
from portguard.model.apply import apply
from portguard.model.net import AddressSet
from portguard.model.ruleset import Chain, Rule, Ruleset, Set, Table

if TYPE_CHECKING:
    import random

    from portguard.model.policy import Policy
    from portguard.model.ruleset import Json

POLICY = sites.policy()
DESIRED = own_table(POLICY)
WHOLE = apply(sites.ruleset(), replacement(DESIRED, exists=False))


def healed(ruleset: Ruleset, desired: Table = DESIRED) -> Ruleset:
    seen = ruleset.tables.get(OWN_TABLE)
    return apply(ruleset, mend(desired, compare(desired, seen)))


def with_own(table: Table | None) -> Ruleset:
    return sites.ruleset() if table is None else sites.ruleset(table)


FOREIGN_RULES = st.sampled_from(
    [
        (sites.match("tcp", "dport", 443), {"drop": None}),
        ({"drop": None},),
        (sites.match("ip", "saddr", "10.1.0.5"), {"reject": None}),
    ]
)


@st.composite
def damaged(draw: st.DrawFn) -> Table | None:
    """Do to the own table what people and programs do to it."""
    table: Table | None = WHOLE.tables[OWN_TABLE]
    for blow in draw(
        st.lists(st.sampled_from(["delete", "swap", "add", "flush", "set", "policy", "chain", "gone"]))
    ):
        if table is None:
            break
        rules = list(table.rules_of("input"))
        match blow:
            case "delete" if rules:
                del rules[draw(st.integers(0, len(rules) - 1))]
            case "swap" if rules:
                at = draw(st.integers(0, len(rules) - 1))
                rules[at] = replace(rules[at], expr=draw(FOREIGN_RULES))
            case "add":
                rules.insert(
                    draw(st.integers(0, len(rules))),
                    Rule(chain="input", handle=900, expr=draw(FOREIGN_RULES)),
                )
            case "flush":
                rules = []
            case "set" if table.sets:
                name = draw(st.sampled_from(sorted(table.sets)))
                table = replace(
                    table, sets={**table.sets, name: replace(table.sets[name], elements=("192.0.2.1",))}
                )
            case "policy" if "input" in table.chains:
                chain = replace(table.chains["input"], policy="drop")
                table = replace(table, chains={**table.chains, "input": chain})
            case "chain":
                table = replace(table, chains={**table.chains, "x": Chain(name="x", handle=99)})
            case "gone":
                table = None
                continue
            case _:
                pass
        rules = [replace(rule, handle=100 + number) for number, rule in enumerate(rules)]
        table = replace(table, rules={"input": tuple(rules)})
    return table


@given(damaged())
@settings(max_examples=200, deadline=None)
def test_heal_then_compare_is_empty(table: Table | None) -> None:
    after = healed(with_own(table))

    assert not compare(DESIRED, after.tables.get(OWN_TABLE))


@given(damaged())
@settings(max_examples=100, deadline=None)
def test_a_second_heal_writes_nothing(table: Table | None) -> None:
    after = healed(with_own(table))

    assert not mend(DESIRED, compare(DESIRED, after.tables.get(OWN_TABLE)))


@given(damaged(), st.sets(st.sampled_from(["workstations", "printers", "admins"]), min_size=1))
@settings(max_examples=60, deadline=None)
def test_any_table_becomes_that_of_any_policy(table: Table | None, zones: set[str]) -> None:
    other = own_table(sites.policy(zones={name: sites.ZONES[name] for name in zones}))

    assert not compare(other, healed(with_own(table), other).tables.get(OWN_TABLE))


@given(st.randoms(use_true_random=False))
def test_the_order_of_rules_and_elements_does_not_matter(rng: random.Random) -> None:
    table = WHOLE.tables[OWN_TABLE]
    rules = list(table.rules_of("input"))
    rng.shuffle(rules)
    sets = {
        name: replace(row, elements=tuple(reversed(row.elements or ()))) for name, row in table.sets.items()
    }

    assert not compare(DESIRED, replace(table, rules={"input": tuple(rules)}, sets=sets))


def test_the_same_policy_in_another_order_renders_the_same_table() -> None:
    shuffled: Policy = replace(POLICY, services=tuple(reversed(POLICY.services)))

    assert not compare(own_table(shuffled), WHOLE.tables[OWN_TABLE])


def test_a_drop_under_the_same_comment_is_seen_and_replaced() -> None:
    table = WHOLE.tables[OWN_TABLE]
    rules = list(table.rules_of("input"))
    at = next(n for n, rule in enumerate(rules) if rule.comment == "portguard:printum/portal-web-tls")
    rules[at] = replace(rules[at], expr=(*rules[at].expr[:-1], {"drop": None}))

    drift = compare(DESIRED, replace(table, rules={"input": tuple(rules)}))

    assert [rule.comment for rule in drift.missing] == ["portguard:printum/portal-web-tls"]
    assert [rule.handle for rule in drift.unexpected] == [rules[at].handle]
    assert drift.altered


def test_a_doubled_rule_is_unexpected_once() -> None:
    table = WHOLE.tables[OWN_TABLE]
    rules = table.rules_of("input")
    drift = compare(DESIRED, replace(table, rules={"input": (*rules, replace(rules[3], handle=77))}))

    assert [rule.handle for rule in drift.unexpected] == [77]
    assert not drift.missing


def test_counter_figures_are_no_drift() -> None:
    table = WHOLE.tables[OWN_TABLE]
    rules = tuple(
        replace(
            rule,
            expr=tuple(
                {"counter": {"packets": 7, "bytes": 420}} if "counter" in part else part for part in rule.expr
            ),
        )
        for rule in table.rules_of("input")
    )

    assert not compare(DESIRED, replace(table, rules={"input": rules}))


def test_a_set_that_could_not_be_read_is_replaced_not_trusted() -> None:
    table = WHOLE.tables[OWN_TABLE]
    name = next(iter(table.sets))
    sets = {**table.sets, name: replace(table.sets[name], elements=None)}

    assert compare(DESIRED, replace(table, sets=sets)).broken == f"set {name} could not be read"


def test_a_dormant_table_does_nothing_and_is_broken() -> None:
    assert compare(DESIRED, replace(WHOLE.tables[OWN_TABLE], flags=("dormant",))).broken


def test_a_table_without_any_mark_belongs_to_somebody_else() -> None:
    theirs = Table(
        key=OWN_TABLE,
        chains={"input": Chain(name="input")},
        rules={"input": (Rule(chain="input", expr=({"accept": None},), comment="mine"),)},
    )

    assert not made_by_portguard(theirs)
    assert not made_by_portguard(
        Table(key=OWN_TABLE, sets={"x": Set(name="x", type=("ipv4_addr",), elements=())})
    )


def test_one_mark_is_enough_to_know_the_own_table_again() -> None:
    table = WHOLE.tables[OWN_TABLE]
    rules = table.rules_of("input")[:1]

    assert made_by_portguard(replace(table, rules={"input": rules}))
    assert made_by_portguard(replace(table, rules={"input": ()}))
    assert made_by_portguard(Table(key=OWN_TABLE))


def test_adjacent_networks_are_one_element() -> None:
    table = own_table(
        sites.policy(zones={**sites.ZONES, "printers": AddressSet.of("10.2.0.0/24", "10.2.1.0/24")})
    )

    elements = table.sets["printers_4"].elements
    assert elements == ({"prefix": {"addr": "10.2.0.0", "len": 23}},)


def test_what_does_the_same_is_spelled_the_same() -> None:
    port = sites.match("tcp", "dport", 22)
    one = sites.match("tcp", "dport", {"set": [22]})
    long = sites.match("ip6", "saddr", "2001:0db8:0:0::1")
    short = sites.match("ip6", "saddr", {"prefix": {"addr": "2001:db8::1", "len": 128}})

    assert canonical.body((port,)) == canonical.body((one,))
    assert canonical.body((long,)) == canonical.body((short,))
    assert canonical.body((port,)) != canonical.body((sites.match("tcp", "sport", 22),))
    assert canonical.body((port,)) != canonical.body((sites.match("tcp", "dport", {"set": [22, 23]}),))


def test_a_protocol_is_the_same_by_name_and_by_number() -> None:
    """The numbers are printed where there is no /etc/protocols, and nft's own names differ from those of the file."""

    def of(right: Json) -> str:
        return canonical.body(
            ({"match": {"op": "==", "left": {"meta": {"key": "l4proto"}}, "right": right}},)
        )

    assert of({"set": ["icmp", "icmpv6"]}) == of({"set": ["ipv6-icmp", "icmp"]}) == of({"set": [58, 1]})
    assert of("tcp") == of(6) == of({"set": ["tcp"]})
    assert of("tcp") != of("udp")
    assert canonical.body((sites.match("tcp", "dport", "tcp"),)) != canonical.body(
        (sites.match("tcp", "dport", 6),)
    )


def test_the_parts_of_a_concatenation_keep_their_order() -> None:
    one = {"concat": ["10.0.0.1", "10.0.0.2"]}
    other = {"concat": ["10.0.0.2", "10.0.0.1"]}

    assert canonical.element(one) != canonical.element(other)
