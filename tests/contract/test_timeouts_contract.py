"""Elements with a timeout, which the dead man is made of: the fake forgets them as the kernel does.

Whether adding an element again prolongs it is not in the contract: kernels from 6.12 on do that, older ones do not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from contract_words import (
    OURS,
    a_set,
    add_elements,
    add_set,
    add_table,
    delete_elements,
    flush_set,
    for_seconds,
    tx,
)

from portguard.core.closing import armed_for
from portguard.errors import NftError

if TYPE_CHECKING:
    from contract_sides import Side

    from portguard.model.ruleset import Json

ARMED = a_set(name="armed", kind="inet_proto", flags=("timeout",))


@pytest.fixture
def armed(side: Side) -> Side:
    """A world with an empty set whose elements may have a timeout."""
    side.world.firewall.commit(tx(add_table(), add_set(ARMED)))
    return side


def held(side: Side) -> tuple[Json, ...]:
    table = side.world.firewall.read_table(OURS)
    assert table is not None
    elements = table.sets["armed"].elements
    assert elements is not None
    return tuple(elements)


def arm(side: Side, seconds: int, *before: str) -> None:
    operations = [delete_elements(*before, name="armed")] if before else []
    side.world.firewall.commit(tx(*operations, add_elements(for_seconds("tcp", seconds), name="armed")))


def left(side: Side) -> float | None:
    """Seconds that are left of the longest element."""
    return armed_for(side.world.firewall.read_table(OURS))


def test_an_element_says_how_long_it_stays_and_goes_by_itself(armed: Side) -> None:
    arm(armed, 2)
    (element,) = held(armed)
    assert element["elem"]["val"] == "tcp"
    assert element["elem"]["timeout"] == 2
    assert element["elem"]["expires"] in (1, 2)

    armed.pass_time(2.3)
    assert held(armed) == ()
    assert left(armed) is None


def test_its_going_is_neither_announced_nor_a_generation(armed: Side) -> None:
    arm(armed, 1)
    armed.world.ruleset_events.read()
    generation = armed.world.firewall.generation()

    armed.pass_time(1.3)
    assert held(armed) == ()
    assert armed.world.ruleset_events.read().changes == ()
    assert armed.world.firewall.generation() == generation


def test_taking_it_out_and_adding_it_in_one_transaction_prolongs_it(armed: Side) -> None:
    arm(armed, 2)
    arm(armed, 100, "tcp")

    assert left(armed) in (99, 100)


def test_added_without_a_timeout_it_stays_for_ever(armed: Side) -> None:
    arm(armed, 1)
    armed.world.firewall.commit(tx(delete_elements("tcp", name="armed"), add_elements("tcp", name="armed")))

    armed.pass_time(1.3)
    assert held(armed) == ("tcp",)
    assert left(armed) == float("inf")


def test_what_has_gone_cannot_be_taken_out_so_nothing_is_confirmed_too_late(armed: Side) -> None:
    arm(armed, 1)
    armed.pass_time(1.3)

    with pytest.raises(NftError, match="No such file or directory"):
        armed.world.firewall.commit(
            tx(delete_elements("tcp", name="armed"), add_elements("tcp", name="armed"))
        )
    assert held(armed) == ()


def test_a_set_is_emptied_whatever_it_holds(armed: Side) -> None:
    arm(armed, 100)
    armed.world.firewall.commit(tx(flush_set("armed")))
    assert held(armed) == ()
    armed.world.firewall.commit(tx(flush_set("armed"), add_elements(for_seconds("udp", 50), name="armed")))
    assert left(armed) in (49, 50)
    armed.world.firewall.commit(tx(flush_set("armed"), add_elements(for_seconds("udp", 100), name="armed")))
    assert left(armed) in (99, 100), "emptied and filled in one transaction it is a new element"


def test_a_set_that_does_not_exist_cannot_be_emptied(armed: Side) -> None:
    with pytest.raises(NftError, match="No such file or directory"):
        armed.world.firewall.commit(tx(flush_set("missing")))
