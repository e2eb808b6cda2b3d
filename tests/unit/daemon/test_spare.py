"""What a large ruleset took is given back when there is another one."""

from __future__ import annotations

import gc
import weakref
from typing import TYPE_CHECKING

import pytest

from portguard.core import exposed
from portguard.daemon.spare import Spare
from portguard.model.net import EVERYTHING, AddressSet
from portguard.model.ruleset import Ruleset

if TYPE_CHECKING:
    from collections.abc import Iterator


class Large:
    """Stands for what an evaluation left behind."""

    def __init__(self) -> None:
        self.itself = self


@pytest.fixture
def spare() -> Iterator[Spare]:
    before = gc.get_threshold()
    yield Spare()
    gc.unfreeze()
    gc.set_threshold(*before)


def test_cycles_are_gone_after_the_look_at_another_ruleset(spare: Spare) -> None:
    first, second = Ruleset(generation=1, tables={}), Ruleset(generation=2, tables={})
    spare.after_look(first)
    left = weakref.ref(Large())
    spare.after_look(first)
    assert left() is not None, "nothing changed: nobody looks for it"
    spare.after_look(second)
    assert left() is None


def test_sources_that_were_named_are_let_go_of_with_the_ruleset(spare: Spare) -> None:
    exposed._names((("office", AddressSet.of("10.1.0.0/16")),), EVERYTHING)
    spare.after_look(Ruleset(generation=1, tables={}))
    assert exposed._names.cache_info().currsize == 0
