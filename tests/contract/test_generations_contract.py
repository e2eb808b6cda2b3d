"""What makes a ruleset a new one, whether in the fake or in the kernel."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from contract_words import THEIRS, a_set, add_chain, add_elements, add_set, add_table, delete_rule, tx

from portguard.errors import NftError
from portguard.model.transaction import Transaction

if TYPE_CHECKING:
    from contract_sides import Side

    from portguard.kernel.world import Firewall
    from portguard.model.transaction import Operation


@pytest.fixture
def firewall(side: Side) -> Firewall:
    return side.world.firewall


def test_a_commit_returns_the_generation_that_holds_it(firewall: Firewall) -> None:
    before = firewall.generation()

    assert firewall.commit(tx(add_table())) == before + 1 == firewall.generation()


@pytest.mark.parametrize(
    ("present", "again"),
    [
        ((), Transaction()),
        ((add_table(),), tx(add_table())),
        ((add_table(), add_set(a_set("10.0.0.1"))), tx(add_elements("10.0.0.1"))),
    ],
    ids=["empty", "table", "element"],
)
def test_a_transaction_that_changes_nothing_makes_no_generation(
    firewall: Firewall, present: tuple[Operation, ...], again: Transaction
) -> None:
    before = firewall.commit(tx(*present))

    assert firewall.commit(again) == before


@pytest.mark.parametrize(
    "again", [tx(add_chain()), tx(add_set(a_set("10.0.0.1")))], ids=["chain", "set with its elements"]
)
def test_adding_a_chain_or_set_that_exists_makes_a_generation_all_the_same(
    firewall: Firewall, again: Transaction
) -> None:
    before = firewall.commit(tx(add_table(), add_chain(), add_set(a_set("10.0.0.1"))))

    assert firewall.commit(again) == before + 1


def test_a_refused_transaction_makes_no_generation(firewall: Firewall) -> None:
    before = firewall.generation()
    with pytest.raises(NftError):
        firewall.commit(tx(add_table(), delete_rule(1)))

    assert firewall.generation() == before


def test_somebody_elses_commit_makes_a_generation(side: Side) -> None:
    before = side.world.firewall.generation()
    side.foreign(tx(add_table(THEIRS)))

    assert side.world.firewall.generation() == before + 1
