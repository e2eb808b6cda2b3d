"""Random transactions: what the kernel does with them, the fake does too."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from contract_words import (
    ACCEPT,
    DROP,
    INPUT,
    OURS,
    a_set,
    add_chain,
    add_elements,
    add_rule,
    add_set,
    add_table,
    delete_chain,
    delete_elements,
    delete_rule,
    delete_set,
    delete_table,
    from_set,
    insert_rule,
    jump,
    tx,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from portguard.errors import NftError
from portguard.kernel.fake import FakeKernel
from portguard.kernel.nft import Nft
from portguard.model.ruleset import Chain

if TYPE_CHECKING:
    from collections.abc import Callable

    from namespaces import Netns
    from portguard.kernel.world import Firewall
    from portguard.model.ruleset import Table
    from portguard.model.transaction import Operation

    Step = Callable[[Firewall], Operation]
    """Makes an operation for one side: the two give different handles to the same rule."""

CHAINS = ("input", "helper")
ADDRESSES = st.lists(
    st.sampled_from(["10.0.0.1", "10.0.0.2", "10.0.0.3"]), min_size=1, max_size=2, unique=True
)
EXPRESSIONS = st.sampled_from([ACCEPT, DROP, (from_set(), *ACCEPT)])

fixed: st.SearchStrategy[Operation] = st.one_of(
    st.just(add_table()),
    st.just(delete_table()),
    st.sampled_from(
        [add_chain(), add_chain(replace(INPUT, policy="drop")), add_chain(replace(INPUT, priority=5))]
    ),
    st.just(add_chain(Chain(name="helper"))),
    st.builds(delete_chain, st.sampled_from(CHAINS)),
    ADDRESSES.map(lambda addresses: add_set(a_set(*addresses))),
    st.just(delete_set()),
    ADDRESSES.map(lambda addresses: add_elements(*addresses)),
    ADDRESSES.map(lambda addresses: delete_elements(*addresses)),
    st.builds(lambda expr, chain: add_rule(expr=expr, chain=chain), EXPRESSIONS, st.sampled_from(CHAINS)),
    st.just(add_rule(expr=(jump("helper"),))),
    st.just(insert_rule("head")),
)


def handle(firewall: Firewall, chain: str, place: int) -> int:
    """Handle of the rule at a place; of none when there is no such rule."""
    table = firewall.read_table(OURS)
    rules = () if table is None else table.rules_of(chain)
    return rules[place].handle if place < len(rules) else 999_999


steps: st.SearchStrategy[Step] = st.one_of(
    fixed.map(lambda operation: lambda _side: operation),
    st.builds(
        lambda chain, place: lambda side: delete_rule(handle(side, chain, place), chain=chain),
        st.sampled_from(CHAINS),
        st.integers(0, 2),
    ),
    st.builds(
        lambda place: lambda side: insert_rule("before", before=handle(side, "input", place)),
        st.integers(0, 2),
    ),
)
START: list[list[Step]] = [[lambda _side: add_table()], [lambda _side: add_chain()]]


def outcome(firewall: Firewall, transaction: list[Step]) -> tuple[bool, bool, Table | None]:
    """Commit on one side; says whether it was refused, whether it made a generation, and what the table is now.

    Why it was refused is not compared: of several reasons libnftables tells the one that it found itself.
    """
    before = firewall.generation()
    refused = False
    try:
        firewall.commit(tx(*[step(firewall) for step in transaction]))
    except NftError:
        refused = True
    table = firewall.read_table(OURS)
    return refused, firewall.generation() != before, None if table is None else without_handles(table)


def without_handles(table: Table) -> Table:
    return replace(
        table,
        handle=0,
        chains={name: replace(chain, handle=0) for name, chain in table.chains.items()},
        sets={name: replace(one, handle=0) for name, one in table.sets.items()},
        rules={
            name: tuple(replace(rule, handle=0) for rule in rules)
            for name, rules in table.rules.items()
            if rules
        },
    )


@pytest.mark.kernel
@settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(history=st.lists(st.lists(steps, min_size=1, max_size=3), max_size=12))
def test_any_history_has_the_same_outcome_on_both(netns: Netns, history: list[list[Step]]) -> None:
    netns.nft("flush ruleset")
    with closing(Nft()) as real:
        fake = FakeKernel().world().firewall
        for transaction in START + history:
            assert outcome(fake, transaction) == outcome(real, transaction)
