"""The part of a core that one kind of work may take: bursts are answered at once, storms are not."""

from __future__ import annotations

_SHARE = 0.2
"""Part of a core in the long run."""
_CREDIT = 1.0
"""Seconds of work that may be spent at once."""
_LEAST = 0.02
"""Seconds between two pieces of work."""


class Share:
    """Counts what was spent, and says when there may be more. Times are monotonic seconds."""

    def __init__(self, now: float) -> None:
        self._credit = _CREDIT
        self._counted = now
        self.free_at = now
        """Not before this moment is there to be more work."""

    def spend(self, began: float, ended: float) -> None:
        """Note a piece of work."""
        earned = _SHARE * (began - self._counted)
        self._counted = ended
        self._credit = min(self._credit + earned, _CREDIT) - (ended - began)
        self.free_at = ended + max(_LEAST, -self._credit / _SHARE)
