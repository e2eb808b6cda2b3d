"""Marked rules in other people's chains: exactly where a default drops, never over a ban."""

from __future__ import annotations

from dataclasses import replace

import pytest
import sites

from portguard.core import guests
from portguard.core.judge import judge
from portguard.core.path import evaluate
from portguard.core.reach import FROM_NETWORK
from portguard.core.render import guest_rules
from portguard.model.judgement import PathState
from portguard.model.net import AddressSet, Transport
from portguard.model.path import Outcome, PathClass
from portguard.model.policy import Manager
from portguard.model.ruleset import Chain, Json, Rule, Ruleset, Set, Table, TableKey
from portguard.model.transaction import ElementOp, RuleOp, Verb

POLICY = sites.policy()
BAN: tuple[Json, ...] = (
    sites.match("ip", "saddr", {"prefix": {"addr": "10.1.66.0", "len": 24}}),
    {"drop": None},
)
REJECT: tuple[Json, ...] = ({"reject": {"type": "icmpx", "expr": "admin-prohibited"}},)


def plan(ruleset: Ruleset) -> guests.GuestPlan:
    return guests.plan(POLICY, sites.snapshot(ruleset, sites.documented(POLICY)))


def opened(ruleset: Ruleset, port: int) -> AddressSet:
    ask = PathClass(
        transport=Transport.TCP, port=port, destination=AddressSet.of("10.1.0.1"), sources=FROM_NETWORK
    )
    return evaluate(ruleset, ask, sites.LINKS).having(Outcome.OPEN)


@pytest.mark.parametrize(
    "table",
    [
        sites.input_table(sites.ESTABLISHED, policy="drop", name="site"),
        sites.input_table(sites.ESTABLISHED, REJECT, name="site"),
        sites.input_table(sites.ESTABLISHED, ({"drop": None},), policy="drop", name="site"),
        sites.input_table(
            sites.ESTABLISHED, ({"counter": {"packets": 5, "bytes": 6}}, {"drop": None}), name="site"
        ),
    ],
    ids=["policy", "reject at the end", "drop at the end", "counted drop"],
)
def test_after_the_plan_every_documented_port_is_open_and_nothing_else(table: Table) -> None:
    before = sites.ruleset(table)
    after = plan(before).after

    assert after is not None
    judgement = judge(POLICY, sites.snapshot(after, sites.documented(POLICY)), {})
    assert {
        row.path for row in judgement.services if row.service in POLICY.inbound and row.service.ports
    } == {PathState.OPEN}
    assert opened(after, 8001) == sites.ZONES["workstations"] & AddressSet(FROM_NETWORK.v4, ())
    assert not opened(after, 9999)
    assert not plan(after).heals


def test_a_ban_keeps_its_effect() -> None:
    after = plan(sites.ruleset(sites.input_table(BAN, policy="drop", name="site"))).after

    assert after is not None
    assert not opened(after, 8001) & AddressSet.of("10.1.66.0/24")
    assert opened(after, 8001) == AddressSet.of("10.1.0.0/16") - AddressSet.of("10.1.66.0/24")


def test_an_explicit_deny_of_a_port_is_never_opened() -> None:
    deny: tuple[Json, ...] = (sites.match("tcp", "dport", 8001), {"drop": None})
    result = plan(sites.ruleset(sites.input_table(deny, name="site")))

    assert not result.heals


def test_two_chains_that_both_drop_are_both_opened() -> None:
    first = sites.input_table(policy="drop", name="one", priority=0)
    second = sites.input_table(policy="drop", name="two", priority=5)
    result = plan(sites.ruleset(first, second))

    assert result.after is not None
    assert AddressSet.of("10.1.0.0/16") == opened(result.after, 8001)
    assert {row.operation.table.name for row in result.heals} == {"one", "two"}


def test_a_rule_goes_right_before_the_one_that_drops() -> None:
    table = sites.input_table(sites.ESTABLISHED, BAN, ({"drop": None},), name="site")
    operations = [row.operation for row in plan(sites.ruleset(table)).heals]

    assert operations
    assert all(isinstance(op, RuleOp) and op.verb is Verb.INSERT and op.handle == 12 for op in operations)


@pytest.mark.parametrize(
    "table",
    [
        replace(sites.input_table(policy="drop"), key=TableKey("inet", "firewalld")),
        replace(sites.input_table(policy="drop"), flags=("owner",)),
        Table(
            key=TableKey("ip", "filter"),
            chains={"INPUT": Chain(name="INPUT", type="filter", hook="input", priority=0, policy="drop")},
        ),
        Table(
            key=TableKey("ip", "filter"),
            chains={
                "input": Chain(name="input", type="filter", hook="input", priority=0, policy="drop"),
                "ufw-user-input": Chain(name="ufw-user-input"),
            },
        ),
    ],
    ids=["firewalld", "owned", "iptables-nft", "ufw"],
)
def test_a_table_of_another_manager_is_never_written_to(table: Table) -> None:
    assert not plan(sites.ruleset(table)).heals


def test_a_marked_rule_altered_under_its_comment_is_taken_out_and_put_back() -> None:
    healed = plan(sites.ruleset(sites.input_table(policy="drop", name="site"))).after
    assert healed is not None
    table = healed.tables[TableKey("inet", "site")]
    rules = list(table.rules_of("input"))
    at = next(n for n, rule in enumerate(rules) if rule.comment == "portguard:printum/portal-web-tls")
    rules[at] = replace(rules[at], expr=(*rules[at].expr[:-1], {"drop": None}))
    broken = sites.ruleset(replace(table, rules={"input": tuple(rules)}))

    result = plan(broken)

    assert [row.removes for row in result.heals] == [True, False]
    assert result.after is not None
    assert AddressSet.of("10.1.0.0/16") == opened(result.after, 443)


def test_marked_rules_that_no_policy_asks_for_any_more_are_taken_out() -> None:
    service = next(row for row in POLICY.inbound if row.flow == "printum/portal-web")
    (rule, *_) = guest_rules(replace(service, peers=AddressSet.of("192.0.2.0/24")), "input", "inet")
    table = sites.input_table(policy="accept", name="site")
    table = replace(table, rules={"input": (replace(rule, handle=50),)})

    (row,) = plan(sites.ruleset(table)).heals
    assert isinstance(row.operation, RuleOp)
    assert (row.operation.verb, row.operation.handle) == (Verb.DELETE, 50)


def allow_table(*elements: Json) -> Table:
    rule = Rule(
        chain="input",
        handle=9,
        expr=(
            {
                "match": {
                    "op": "==",
                    "left": {
                        "concat": [
                            {"payload": {"protocol": "ip", "field": "saddr"}},
                            {"meta": {"key": "l4proto"}},
                            {"payload": {"protocol": "th", "field": "dport"}},
                        ]
                    },
                    "right": "@portguard_allow4",
                }
            },
            {"accept": None},
        ),
    )
    table = sites.input_table(policy="drop", name="site")
    allowed = Set(
        name="portguard_allow4",
        handle=3,
        type=("ipv4_addr", "inet_proto", "inet_service"),
        flags=("interval",),
        elements=elements,
    )
    return replace(table, sets={allowed.name: allowed}, rules={"input": (rule,)})


def test_the_administrators_own_set_is_filled_instead_of_inserting_rules() -> None:
    result = plan(sites.ruleset(allow_table()))

    v4 = [row for row in result.heals if isinstance(row.operation, ElementOp)]
    assert len(v4) == 1
    assert result.after is not None
    assert AddressSet.of("10.1.0.0/16") == opened(result.after, 8001)
    ipv4_rules = [
        row
        for row in result.heals
        if isinstance(row.operation, RuleOp)
        and row.operation.table.family == "inet"
        and " ip saddr" in str(row.operation)
    ]
    assert not ipv4_rules
    assert not plan(result.after).heals


def test_what_stands_in_the_set_and_is_not_documented_is_taken_out() -> None:
    stray: Json = {"concat": ["192.0.2.7", "tcp", 6379]}
    result = plan(sites.ruleset(allow_table(stray)))

    first = result.heals[0].operation
    assert isinstance(first, ElementOp)
    assert (first.verb, first.elements) == (Verb.DELETE, (stray,))


def test_a_suspended_rule_is_not_tried() -> None:
    ruleset = sites.ruleset(sites.input_table(policy="drop", name="site"))
    key = "inet site input printum/portal-web"
    result = guests.plan(POLICY, sites.snapshot(ruleset, sites.documented(POLICY)), frozenset({key}))

    assert key not in {row.key for row in result.heals}
    assert "inet site input printum/portal-web-tls" in {row.key for row in result.heals}


def test_the_shape_shows_what_others_change_and_not_a_lost_marked_rule() -> None:
    healed = plan(sites.ruleset(sites.input_table(BAN, policy="drop", name="site"))).after
    assert healed is not None
    key = TableKey("inet", "site")
    table = healed.tables[key]
    without_ours = replace(
        table, rules={"input": tuple(r for r in table.rules_of("input") if r.comment is None)}
    )
    without_ban = replace(
        table, rules={"input": tuple(r for r in table.rules_of("input") if r.comment is not None)}
    )

    assert guests.shape(sites.ruleset(without_ours)) == guests.shape(healed)
    assert guests.shape(sites.ruleset(without_ban)) != guests.shape(healed)


@pytest.mark.parametrize("manager", [Manager.PORTGUARD, Manager.FIREWALLD, Manager.UFW, Manager.IPTABLES])
def test_where_the_administrator_names_another_manager_nothing_is_put_into_foreign_chains(
    manager: Manager,
) -> None:
    policy = sites.policy(manager=manager)
    ruleset = sites.ruleset(sites.input_table(policy="drop", name="site"))

    assert not guests.plan(policy, sites.snapshot(ruleset, sites.documented(policy))).heals


@pytest.mark.parametrize("name", ["f2b-table", "crowdsec", "foomuuri", "netavark", "docker-bridges"])
def test_a_table_that_a_program_makes_anew_is_not_written_to(name: str) -> None:
    table = replace(sites.input_table(policy="drop"), key=TableKey("inet", name))

    assert not plan(sites.ruleset(table)).heals
