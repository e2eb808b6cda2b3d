"""Memory given back: what a large ruleset took is not kept once it is gone."""

from __future__ import annotations

import ctypes
import gc
from typing import TYPE_CHECKING

from portguard.core.exposed import forget_names
from portguard.core.path import settle

if TYPE_CHECKING:
    from portguard.model.ruleset import Ruleset

_BEFORE_COLLECTING = 50_000
"""New objects before the collector looks for cycles; with Python's 700 it takes a third of the time of a large judgement."""


class Spare:
    """Lets go of what no look has a use for, and hands free memory back to the system when the ruleset has changed."""

    def __init__(self) -> None:
        gc.set_threshold(_BEFORE_COLLECTING, 20, 20)
        # Modules and the catalogue stay as long as the process: no collection need go through them again.
        gc.freeze()
        self._libc = ctypes.CDLL(None)
        self._last: Ruleset | None = None

    def after_look(self, ruleset: Ruleset | None) -> None:
        """Tidy up after a look at a ruleset."""
        settle(ruleset)
        if ruleset is not self._last:
            self._last = ruleset
            forget_names()
            # With thresholds this high, what large sets left in cycles would stay for hours.
            gc.collect()
            # glibc keeps what was freed below the top of its heap: after 100,000 networks, 60 MB of it.
            if hasattr(self._libc, "malloc_trim"):
                self._libc.malloc_trim(0)
