"""What is announced while nobody can answer is neither lost nor answered twice."""

from __future__ import annotations

import pytest

from portguard.core.render import OWN_TABLE
from portguard.daemon.announcements import Announcements, OvertakenError
from portguard.kernel.fake import FakeClock, FakeKernel
from portguard.model.ruleset import TableKey
from portguard.model.transaction import TableOp, Transaction, Verb

SITE = TableKey("inet", "site")


def made(key: TableKey) -> Transaction:
    return Transaction(operations=(TableOp(verb=Verb.ADD, table=key),))


@pytest.fixture
def kernel() -> FakeKernel:
    return FakeKernel(FakeClock())


@pytest.fixture
def heard(kernel: FakeKernel) -> Announcements:
    found = Announcements(kernel.ruleset_events, kernel.clock)
    found.urgent = True
    return found


def test_drift_of_the_own_table_ends_what_is_going_on_and_is_heard_afterwards(
    kernel: FakeKernel, heard: Announcements
) -> None:
    kernel.foreign(made(OWN_TABLE))

    with pytest.raises(OvertakenError):
        heard.checkpoint()

    (change,) = heard.take().changes
    assert change.tables == {OWN_TABLE}
    assert heard.foreign == change
    assert heard.take().changes == ()


def test_a_change_elsewhere_ends_nothing_and_is_heard_in_its_order(
    kernel: FakeKernel, heard: Announcements
) -> None:
    kernel.foreign(made(SITE))
    heard.checkpoint()
    kernel.foreign(made(OWN_TABLE))

    assert [change.tables for change in heard.take().changes] == [{SITE}, {OWN_TABLE}]


def test_an_own_transaction_ends_nothing(kernel: FakeKernel, heard: Announcements) -> None:
    kernel.own(made(OWN_TABLE))

    heard.checkpoint()

    assert heard.foreign is None


def test_where_it_is_not_urgent_nothing_is_even_read(kernel: FakeKernel, heard: Announcements) -> None:
    heard.urgent = False
    kernel.foreign(made(OWN_TABLE))

    heard.checkpoint()

    assert len(heard.take().changes) == 1


def test_lost_announcements_are_still_lost_when_they_are_heard_later(
    kernel: FakeKernel, heard: Announcements
) -> None:
    kernel.lose_events()
    heard.checkpoint()

    assert heard.take().lost
    assert not heard.take().lost
