"""Of a table that is read again, only what changed is another object."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from portguard.model.continuity import continued
from portguard.model.ruleset import Chain, Rule, Set, Table, TableKey

ACCEPT: Any = {"accept": None}


def counted(packets: int) -> Any:
    return {"counter": {"packets": packets, "bytes": packets * 60}}


def table(*, packets: int = 0, element: str = "10.0.0.1", verdict: Any = None, policy: str = "drop") -> Table:
    return Table(
        key=TableKey("inet", "f"),
        chains={"in": Chain(name="in", hook="input", priority=0, policy=policy), "one": Chain(name="one")},
        rules={
            "in": (Rule(chain="in", handle=5, expr=(counted(packets), ACCEPT)),),
            "one": (
                Rule(chain="one", handle=6, expr=(ACCEPT,)),
                Rule(chain="one", handle=7, expr=(verdict or ACCEPT,), comment="mine"),
            ),
        },
        sets={
            "s": Set(name="s", type=("ipv4_addr",), elements=(element,)),
            "t": Set(name="t", type=("ipv4_addr",), elements=None),
        },
    )


def test_a_table_that_says_the_same_is_the_same_object_whatever_was_counted_meanwhile() -> None:
    before = table()

    assert continued(before, table(packets=7)) is before


def test_a_changed_rule_changes_its_chain_and_no_other() -> None:
    before, now = table(), table(verdict={"drop": None})

    found = continued(before, now)

    assert found == now
    assert found.rules["in"] is before.rules["in"]
    assert found.rules["one"][0] is before.rules["one"][0]
    assert found.rules["one"][1] is now.rules["one"][1]
    assert found.sets["s"] is before.sets["s"]


def test_a_rule_under_another_handle_or_comment_is_another_rule() -> None:
    before = table()
    moved = tuple(replace(rule, handle=rule.handle + 10) for rule in before.rules["one"])
    renamed = tuple(replace(rule, comment="yours") for rule in before.rules["one"])

    for rules in (moved, renamed):
        found = continued(before, replace(before, rules={**before.rules, "one": rules}))
        assert found.rules["one"] == rules


def test_a_changed_set_a_changed_policy_and_a_rule_that_is_gone_are_seen() -> None:
    before = table()
    fewer = replace(before, rules={**before.rules, "one": before.rules["one"][:1]})

    for now in (
        table(element="10.0.0.2"),
        table(policy="accept"),
        fewer,
        replace(before, flags=("dormant",)),
    ):
        assert continued(before, now) == now
        assert continued(before, now) is not before
