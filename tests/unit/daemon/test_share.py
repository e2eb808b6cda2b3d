"""A burst is answered at once, a storm gets a fifth of a core."""

from __future__ import annotations

from portguard.daemon.share import Share


def spent(duration: float, until: float) -> float:
    """Work whenever it is allowed; gives the part of the time that went into it."""
    share, now, total = Share(0.0), 0.0, 0.0
    while now < until:
        now = max(now, share.free_at)
        share.spend(now, now + duration)
        now += duration
        total += duration
    return total / now


def test_a_storm_gets_a_fifth_of_a_core_however_long_each_piece_takes() -> None:
    for duration in (0.01, 0.1, 1.0, 3.0):
        assert 0.0 < spent(duration, 600.0) <= 0.21


def test_a_burst_is_answered_without_delay() -> None:
    share, now = Share(100.0), 100.0
    for _ in range(5):
        assert share.free_at - now <= 0.021
        now = max(now, share.free_at)
        share.spend(now, now + 0.05)
        now += 0.05


def test_after_a_rest_there_is_credit_again() -> None:
    share = Share(0.0)
    share.spend(0.0, 3.0)
    assert share.free_at > 10.0

    share.spend(100.0, 100.05)
    assert share.free_at < 100.1
