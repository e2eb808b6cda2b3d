"""The part of a core that one kind of work may take: bursts are answered at once, storms are not."""

from __future__ import annotations


class Share:
    """Counts what was spent, and says when there may be more. Times are monotonic seconds."""

    def __init__(self, now: float, *, part: float = 0.2, credit: float = 1.0, least: float = 0.02) -> None:
        """Give ``part`` of a core in the long run, ``credit`` seconds of work at once, ``least`` seconds between two pieces."""
        self._part = part
        self._most = credit
        self._least = least
        self._credit = credit
        self._counted = now
        self.free_at = now
        """Not before this moment is there to be more work."""

    def spend(self, began: float, ended: float) -> None:
        """Note a piece of work."""
        earned = self._part * (began - self._counted)
        self._counted = ended
        self._credit = min(self._credit + earned, self._most) - (ended - began)
        self.free_at = ended + max(self._least, -self._credit / self._part)
