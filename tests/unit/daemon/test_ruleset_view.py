"""The ruleset is read as far as it may have changed, and never believed further."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from portguard.core.render import OWN_TABLE
from portguard.daemon.ruleset_view import RulesetView
from portguard.errors import ObserveError
from portguard.kernel.fake import FakeKernel
from portguard.model.ruleset import Chain, Ruleset, Table, TableKey
from portguard.model.snapshot import Scope
from portguard.model.transaction import ChainOp, TableOp, Transaction, Verb

if TYPE_CHECKING:
    from collections.abc import Iterator

SITE, OTHER = TableKey("inet", "site"), TableKey("ip", "other")


class Counting:
    """A firewall that notes what is read of it."""

    def __init__(self, kernel: FakeKernel) -> None:
        self.firewall = kernel.world().firewall
        self.reads: list[str] = []

    def generation(self) -> int:
        return self.firewall.generation()

    def read(self) -> Ruleset:
        self.reads.append("all")
        return self.firewall.read()

    def read_table(self, key: TableKey) -> Table | None:
        self.reads.append(key.name)
        return self.firewall.read_table(key)


class Scene:
    """A kernel, a view of it, and somebody who changes it."""

    def __init__(self) -> None:
        self.kernel = FakeKernel()
        self.counting = Counting(self.kernel)
        self.view = RulesetView(self.counting)  # type: ignore[arg-type]
        for key in (SITE, OTHER, OWN_TABLE):
            self.change(key)
        self.view.current()
        self.counting.reads.clear()

    def change(self, key: TableKey, chain: str = "c") -> None:
        """Somebody adds a table with a chain."""
        operations = (
            TableOp(verb=Verb.ADD, table=key),
            ChainOp(verb=Verb.ADD, table=key, chain=Chain(name=chain)),
        )
        self.kernel.foreign(Transaction(operations=operations))

    def hear(self) -> None:
        """Take the announcements."""
        events = self.kernel.ruleset_events.read()
        if events.lost:
            self.view.distrust()
        self.view.announced(events.changes)

    def look(self) -> list[str]:
        """Read what is stale; gives what that was."""
        self.counting.reads.clear()
        seen = self.view.current()
        assert seen.tables == self.kernel.ruleset.tables
        return self.counting.reads


@pytest.fixture
def scene() -> Iterator[Scene]:
    made = Scene()
    made.hear()
    yield made
    made.kernel.world().close()


def test_what_did_not_change_is_not_read_again(scene: Scene) -> None:
    assert scene.look() == []


def test_a_change_costs_the_table_that_it_touched(scene: Scene) -> None:
    scene.change(SITE, "new")
    scene.hear()

    assert scene.look() == ["site"]
    assert scene.look() == []


def test_a_deleted_table_is_gone(scene: Scene) -> None:
    scene.kernel.foreign(Transaction(operations=(TableOp(verb=Verb.DELETE, table=OTHER),)))
    scene.hear()

    assert scene.look() == ["other"]


def test_a_table_that_was_read_after_the_change_is_not_read_for_it_again(scene: Scene) -> None:
    scene.change(OWN_TABLE, "new")
    scene.view.own_table()
    scene.hear()

    assert scene.look() == []


def test_an_own_commit_is_followed_before_it_is_announced(scene: Scene) -> None:
    transaction = Transaction(operations=(ChainOp(verb=Verb.ADD, table=OWN_TABLE, chain=Chain(name="mine")),))
    scene.counting.firewall.commit(transaction)
    scene.view.committed(transaction)

    assert scene.look() == ["portguard"]
    scene.hear()
    assert scene.look() == []


def test_lost_announcements_make_everything_stale(scene: Scene) -> None:
    scene.change(SITE, "unheard")
    scene.kernel.lose_events()
    scene.hear()

    assert scene.look() == ["all"]


def test_a_generation_that_nobody_announced_makes_everything_stale(scene: Scene) -> None:
    scene.change(SITE, "first")
    scene.kernel.ruleset_events.read()
    scene.change(OTHER, "second")
    scene.hear()

    assert scene.look() == ["all"]


def test_a_table_that_cannot_be_read_is_named_and_tried_again(scene: Scene) -> None:
    scene.change(SITE, "new")
    scene.hear()
    scene.kernel.unreadable[SITE] = "too strange"
    seen = scene.view.current()
    assert SITE not in seen.tables
    assert "too strange" in seen.unreadable[SITE]
    assert OTHER in seen.tables

    scene.kernel.unreadable.clear()
    assert scene.look() == ["site"]


def test_a_ruleset_that_cannot_be_read_is_an_error_and_not_empty(scene: Scene) -> None:
    scene.view.distrust()
    scene.kernel.fail_reads[Scope.RULESET] = "no"

    with pytest.raises(ObserveError):
        scene.view.current()


def test_the_kernel_is_asked_whether_anything_moved_unheard(scene: Scene) -> None:
    assert not scene.view.moved()
    scene.change(SITE, "new")
    assert scene.view.moved()


def test_what_is_read_again_and_says_the_same_stays_the_same_object(scene: Scene) -> None:
    before = scene.view.current().tables
    scene.change(SITE, "new")
    scene.hear()
    after = scene.view.current().tables
    scene.view.distrust()

    again = scene.view.current().tables

    assert after[SITE] != before[SITE]
    assert after[OTHER] is before[OTHER]
    assert all(again[key] is table for key, table in after.items())
