"""What the firewall does, whether it is the fake one or the kernel's."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from contract_words import (
    ACCEPT,
    DROP,
    INPUT,
    OURS,
    THEIRS,
    TO_8001,
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

from portguard.errors import NftError
from portguard.model.ruleset import Chain, TableKey

if TYPE_CHECKING:
    from contract_sides import Side

    from portguard.kernel.world import Firewall
    from portguard.model.ruleset import Rule, Table
    from portguard.model.transaction import Transaction

MISSING = "No such file or directory"
BUSY = "Device or resource busy"
OTHER_HOOK = "Operation not supported"
FORESEEN = re.compile(
    r'Chain "(input|helper)" already exists in table inet \'portguard\' with different declaration'
)
"""How libnftables 1.1 says ``OTHER_HOOK``, before the kernel does."""


@pytest.fixture
def firewall(side: Side) -> Firewall:
    return side.world.firewall


def ours(firewall: Firewall) -> Table:
    table = firewall.read_table(OURS)
    assert table is not None
    return table


def rules(firewall: Firewall) -> tuple[Rule, ...]:
    return ours(firewall).rules_of("input")


def comments(firewall: Firewall) -> list[str | None]:
    return [rule.comment for rule in rules(firewall)]


class TestReading:
    """What a read says, and what it says of nothing."""

    def test_an_empty_ruleset_has_no_tables_and_nothing_unreadable(self, firewall: Firewall) -> None:
        ruleset = firewall.read()

        assert dict(ruleset.tables) == {}
        assert dict(ruleset.unreadable) == {}

    def test_a_table_that_does_not_exist_is_none(self, firewall: Firewall) -> None:
        firewall.commit(tx(add_table(THEIRS)))

        assert firewall.read_table(OURS) is None

    def test_a_table_is_told_from_one_of_the_same_name_in_another_family(self, firewall: Firewall) -> None:
        firewall.commit(tx(add_table(TableKey("ip6", "portguard"))))

        assert firewall.read_table(OURS) is None

    def test_the_whole_ruleset_holds_each_table_as_it_is_read_alone(self, firewall: Firewall) -> None:
        firewall.commit(tx(add_table(), add_chain(), add_rule("a")))
        firewall.commit(tx(add_table(THEIRS), add_chain(key=THEIRS), add_rule("b", expr=DROP, key=THEIRS)))

        ruleset = firewall.read()

        assert list(ruleset.tables) == [OURS, THEIRS]
        assert ruleset.tables[OURS] == firewall.read_table(OURS)
        assert ruleset.tables[THEIRS] == firewall.read_table(THEIRS)

    def test_a_ruleset_that_is_only_our_table_is_read_in_the_same_way(self, firewall: Firewall) -> None:
        firewall.commit(tx(add_table(), add_chain(), add_rule("a")))

        assert dict(firewall.read().tables) == {OURS: ours(firewall)}

    def test_the_ruleset_carries_the_generation_it_was_read_at(self, firewall: Firewall) -> None:
        generation = firewall.commit(tx(add_table()))

        assert firewall.read().generation == generation == firewall.generation()


class TestCommitting:
    """What a transaction leaves behind."""

    def test_a_chain_and_a_rule_are_read_back_as_they_were_written(self, firewall: Firewall) -> None:
        firewall.commit(tx(add_table(), add_chain(), add_rule("portguard:x", expr=(TO_8001, *ACCEPT))))

        table = ours(firewall)
        (rule,) = table.rules_of("input")

        assert replace(table.chains["input"], handle=0) == INPUT
        assert (rule.chain, rule.expr, rule.comment) == ("input", (TO_8001, *ACCEPT), "portguard:x")

    def test_a_new_counter_has_counted_nothing(self, firewall: Firewall) -> None:
        firewall.commit(tx(add_table(), add_chain(), add_rule(expr=({"counter": None}, *ACCEPT))))

        assert rules(firewall)[0].expr == ({"counter": {"packets": 0, "bytes": 0}}, *ACCEPT)

    def test_rules_are_added_at_the_end_and_inserted_at_the_head(self, firewall: Firewall) -> None:
        firewall.commit(tx(add_table(), add_chain(), add_rule("first"), add_rule("second")))
        firewall.commit(tx(insert_rule("head"), add_rule("tail")))

        assert comments(firewall) == ["head", "first", "second", "tail"]

    def test_a_rule_is_inserted_before_a_handle(self, firewall: Firewall) -> None:
        firewall.commit(tx(add_table(), add_chain(), add_rule("a"), add_rule("z")))
        handle = rules(firewall)[1].handle
        firewall.commit(tx(insert_rule("before z", before=handle)))

        assert comments(firewall) == ["a", "before z", "z"]

    def test_a_rule_can_take_the_place_of_one_that_is_deleted_with_it(self, firewall: Firewall) -> None:
        firewall.commit(tx(add_table(), add_chain(), add_rule("a"), add_rule("old"), add_rule("z")))
        handle = rules(firewall)[1].handle
        firewall.commit(tx(delete_rule(handle), insert_rule("new", before=handle)))

        assert comments(firewall) == ["a", "new", "z"]

    def test_a_rule_cannot_be_deleted_twice(self, firewall: Firewall) -> None:
        firewall.commit(tx(add_table(), add_chain(), add_rule("a")))
        handle = rules(firewall)[0].handle

        with pytest.raises(NftError, match=MISSING):
            firewall.commit(tx(delete_rule(handle), delete_rule(handle)))

    def test_an_added_rule_goes_to_the_end_whatever_handle_is_given(self, firewall: Firewall) -> None:
        """Libnftables' JSON has no "after": it does not look at a handle here."""
        firewall.commit(tx(add_table(), add_chain(), add_rule("a"), add_rule("z")))
        firewall.commit(tx(add_rule("tail", after=rules(firewall)[0].handle)))

        assert comments(firewall) == ["a", "z", "tail"]

    def test_a_handle_names_its_rule_until_that_is_deleted(self, firewall: Firewall) -> None:
        firewall.commit(tx(add_table(), add_chain(), add_rule("a"), add_rule("b"), add_rule("c")))
        gone = rules(firewall)[1].handle
        firewall.commit(tx(delete_rule(gone)))
        firewall.commit(tx(add_rule("d")))

        assert comments(firewall) == ["a", "c", "d"]
        assert gone not in {rule.handle for rule in rules(firewall)}

    def test_all_of_a_transaction_is_taken_or_nothing(self, firewall: Firewall) -> None:
        firewall.commit(tx(add_table(), add_chain(), add_rule("a")))
        before = firewall.read()

        with pytest.raises(NftError, match=MISSING):
            firewall.commit(tx(add_rule("b"), delete_rule(rules(firewall)[0].handle), delete_rule(999)))

        assert firewall.read() == before

    def test_a_refused_transaction_says_what_it_was(self, firewall: Firewall) -> None:
        refused = tx(delete_rule(7))

        with pytest.raises(NftError) as caught:
            firewall.commit(refused)

        assert caught.value.transaction == str(refused)
        assert not caught.value.not_permitted

    def test_a_replaced_table_numbers_its_rules_anew(self, firewall: Firewall) -> None:
        """So an equal handle does not prove that a rule was not touched."""
        whole = (add_table(), add_chain(), add_rule("a"))
        firewall.commit(tx(*whole))
        before = rules(firewall)
        firewall.commit(tx(add_table(), delete_table(), *whole))

        assert rules(firewall) == before
        assert ours(firewall).handle != 0

    def test_a_check_changes_nothing(self, firewall: Firewall) -> None:
        before = firewall.read()
        firewall.check(tx(add_table(), add_chain()))

        assert firewall.read() == before

    def test_a_check_refuses_what_a_commit_would_refuse(self, firewall: Firewall) -> None:
        with pytest.raises(NftError, match=MISSING):
            firewall.check(tx(add_chain()))

    def test_a_commit_after_a_check_is_not_a_dry_run(self, firewall: Firewall) -> None:
        firewall.check(tx(add_table()))
        firewall.commit(tx(add_table()))

        assert firewall.read_table(OURS) is not None


class TestRefusals:
    """Transactions that the kernel does not take."""

    @pytest.mark.parametrize(
        ("what", "reason"),
        [
            (tx(delete_table(THEIRS)), MISSING),
            (tx(add_chain(key=THEIRS)), MISSING),
            (tx(add_rule(key=THEIRS)), MISSING),
            (tx(add_rule(chain="nowhere")), MISSING),
            (tx(insert_rule(before=999)), MISSING),
            (tx(delete_rule(999)), MISSING),
            (tx(add_rule(expr=(jump("nowhere"),))), MISSING),
            (tx(add_rule(expr=(from_set("nothing"), *ACCEPT))), MISSING),
            (tx(delete_chain("nowhere")), MISSING),
            (tx(delete_chain("helper")), BUSY),
            (tx(delete_set("nothing")), MISSING),
            (tx(delete_set("printers")), BUSY),
            (tx(add_elements("10.0.0.9", name="nothing")), MISSING),
            (tx(delete_elements("10.0.0.9")), MISSING),
            (tx(delete_elements("10.0.0.9", name="nothing")), MISSING),
            (tx(add_set(a_set(kind="inet_service"))), "File exists"),
            (tx(add_set(a_set(flags=("interval",)))), "File exists"),
            (tx(add_chain(replace(INPUT, priority=5))), OTHER_HOOK),
            (tx(add_chain(replace(INPUT, hook="output"))), OTHER_HOOK),
            (tx(add_chain(replace(INPUT, name="helper"))), OTHER_HOOK),
        ],
        ids=str,
    )
    def test_the_reason_is_the_kernels(self, firewall: Firewall, what: Transaction, reason: str) -> None:
        firewall.commit(
            tx(
                add_table(),
                add_chain(),
                add_chain(Chain(name="helper")),
                add_set(a_set("10.0.0.1")),
                add_rule(expr=(from_set(), *ACCEPT)),
                add_rule(expr=(jump("helper"),)),
            )
        )
        before = firewall.read()

        with pytest.raises(NftError) as caught:
            firewall.commit(what)

        said = str(caught.value).removeprefix("the kernel refused the transaction: ")
        # Some refusals a newer libnftables foresees, and words itself.
        assert said == reason or (reason == OTHER_HOOK and FORESEEN.fullmatch(said))
        assert firewall.read() == before


class TestObjects:
    """Chains, sets, elements and tables."""

    def test_the_policy_of_a_base_chain_can_be_changed(self, firewall: Firewall) -> None:
        firewall.commit(tx(add_table(), add_chain(), add_rule("a")))
        firewall.commit(tx(add_chain(replace(INPUT, policy="drop"))))

        assert ours(firewall).chains["input"].policy == "drop"
        assert comments(firewall) == ["a"]

    def test_a_chain_goes_with_its_rules(self, firewall: Firewall) -> None:
        firewall.commit(tx(add_table(), add_chain(), add_rule("a")))
        firewall.commit(tx(delete_chain("input")))

        assert dict(ours(firewall).chains) == {}
        assert rules(firewall) == ()

    def test_a_set_is_read_back_with_its_type_flags_and_elements(self, firewall: Firewall) -> None:
        firewall.commit(tx(add_table(), add_set(a_set("10.0.0.2", "10.0.0.1"))))
        firewall.commit(
            tx(add_set(a_set(80, 8001, 631, kind="inet_service", name="ports", flags=("interval",))))
        )

        sets = ours(firewall).sets

        assert replace(sets["printers"], handle=0) == a_set("10.0.0.1", "10.0.0.2")
        ports = a_set(80, 631, 8001, kind="inet_service", name="ports", flags=("interval",))
        assert replace(sets["ports"], handle=0) == ports

    def test_elements_come_and_go_and_the_set_stays(self, firewall: Firewall) -> None:
        firewall.commit(tx(add_table(), add_set(a_set("10.0.0.1"))))
        firewall.commit(tx(add_elements("10.0.0.1", "10.0.0.3", "10.0.0.2")))
        firewall.commit(tx(delete_elements("10.0.0.1", "10.0.0.3")))

        assert ours(firewall).sets["printers"].elements == ("10.0.0.2",)

    def test_a_set_without_elements_is_read_as_empty_not_as_unknown(self, firewall: Firewall) -> None:
        firewall.commit(tx(add_table(), add_set(a_set())))

        assert ours(firewall).sets["printers"].elements == ()

    def test_a_table_goes_with_everything_in_it(self, firewall: Firewall) -> None:
        firewall.commit(tx(add_table(), add_chain(), add_set(a_set()), add_rule(expr=(from_set(), *ACCEPT))))
        firewall.commit(tx(delete_table()))

        assert firewall.read_table(OURS) is None
        assert dict(firewall.read().tables) == {}
