"""What is announced, whether by the fake or by the kernel."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from contract_words import (
    OURS,
    THEIRS,
    a_set,
    add_chain,
    add_elements,
    add_rule,
    add_set,
    add_table,
    delete_rule,
    delete_table,
    readable,
    tx,
)

from portguard.errors import NftError

if TYPE_CHECKING:
    from contract_sides import Side


class TestRulesetEvents:
    """Announcements of committed transactions."""

    def test_nothing_is_announced_when_nothing_happened(self, side: Side) -> None:
        events = side.world.ruleset_events

        assert not readable(events.fileno())
        assert events.read().changes == ()
        assert not events.read().lost

    def test_each_transaction_is_announced_once_in_order(self, side: Side) -> None:
        first = side.world.firewall.commit(tx(add_table(), add_chain(), add_rule("a"), add_rule("b")))
        side.foreign(tx(add_table(THEIRS)))
        side.foreign(tx(delete_table()))

        assert readable(side.world.ruleset_events.fileno())
        events = side.world.ruleset_events.read()

        assert [change.generation for change in events.changes] == [first, first + 1, first + 2]
        assert [change.tables for change in events.changes] == [{OURS}, {THEIRS}, {OURS}]
        assert not events.lost
        assert not readable(side.world.ruleset_events.fileno())
        assert side.world.ruleset_events.read().changes == ()

    def test_own_commits_are_told_from_those_of_others(self, side: Side) -> None:
        side.world.firewall.commit(tx(add_table()))
        side.foreign(tx(add_chain()))
        side.world.firewall.commit(tx(add_rule("a")))

        changes = side.world.ruleset_events.read().changes

        assert [change.own for change in changes] == [True, False, True]

    def test_a_change_names_who_made_it_and_when(self, side: Side) -> None:
        before = side.world.clock.monotonic()
        side.foreign(tx(add_table()))

        (change,) = side.world.ruleset_events.read().changes

        assert change.actor.comm
        assert change.actor.pid
        assert before <= change.received <= side.world.clock.monotonic()

    def test_a_transaction_over_two_tables_names_both(self, side: Side) -> None:
        side.foreign(tx(add_table(), add_chain(), add_table(THEIRS), add_chain(key=THEIRS)))

        (change,) = side.world.ruleset_events.read().changes

        assert change.tables == {OURS, THEIRS}

    def test_a_changed_element_names_its_table(self, side: Side) -> None:
        side.foreign(tx(add_table(), add_set(a_set())))
        side.world.ruleset_events.read()
        side.foreign(tx(add_elements("10.0.0.1")))

        (change,) = side.world.ruleset_events.read().changes

        assert change.tables == {OURS}

    def test_neither_a_check_nor_a_refusal_nor_a_no_op_is_announced(self, side: Side) -> None:
        side.world.firewall.commit(tx(add_table()))
        side.world.ruleset_events.read()

        side.world.firewall.check(tx(add_chain()))
        side.world.firewall.commit(tx(add_table()))
        with pytest.raises(NftError):
            side.world.firewall.commit(tx(delete_rule(1)))

        assert not readable(side.world.ruleset_events.fileno())


class TestLinkEvents:
    """Announcements of changed addresses."""

    def test_a_new_address_is_announced_and_then_read(self, side: Side) -> None:
        before = side.world.links.read()
        assert not side.world.link_events.drain()

        side.add_address("10.28.32.5/26")

        assert readable(side.world.link_events.fileno())
        assert side.world.link_events.drain()
        assert not side.world.link_events.drain()
        after = side.world.links.read()
        assert before != after
        (loopback,) = after.interfaces
        assert "10.28.32.5/26" in {f"{address}/{length}" for address, length in loopback.addresses}

    def test_links_are_equal_as_long_as_nothing_changed(self, side: Side) -> None:
        assert side.world.links.read() == side.world.links.read()
