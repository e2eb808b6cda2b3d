"""portguard stops fighting: after three heals of one rule in ten minutes it tries less and less often."""

from __future__ import annotations

from portguard.core.limits import Limiter
from portguard.model.policy import HealLimits
from portguard.model.ruleset import Actor

LIMITS = HealLimits()
NFT = Actor(comm="nft", pid=7, unit="cron.service")


def fight(limiter: Limiter, now: float, key: str = "r") -> tuple[Limiter, bool]:
    limiter, admission = limiter.admit([key], NFT, LIMITS, now)
    if admission.allowed:
        limiter = limiter.healed([key], NFT, LIMITS, now)
    return limiter, bool(admission.allowed)


def test_the_fourth_heal_within_ten_minutes_is_suspended() -> None:
    limiter, answers = Limiter(), []
    for now in (0.0, 10.0, 20.0, 30.0):
        limiter, answered = fight(limiter, now)
        answers.append(answered)

    assert answers == [True, True, True, False]
    assert limiter.suspended(LIMITS, 30.0) == {"r"}
    assert limiter.fights()["r"].actor == NFT


def test_heals_far_apart_are_no_fight() -> None:
    limiter = Limiter()
    for number in range(10):
        limiter, answered = fight(limiter, number * 301.0)
        assert answered


def test_the_retry_comes_later_each_time_up_to_fifteen_minutes() -> None:
    limiter, now = Limiter(), 0.0
    for _ in range(3):
        limiter, _ = fight(limiter, now)
    delays = []
    for _ in range(7):
        limiter, answered = fight(limiter, now)
        assert not answered
        retry = limiter.next_retry(now)
        assert retry is not None
        delays.append(retry - now)
        assert fight(limiter, retry - 0.1)[1] is False
        limiter, answered = fight(limiter, retry)
        assert answered
        now = retry

    assert delays[:4] == [60.0, 120.0, 240.0, 480.0]
    assert max(delays) == LIMITS.retry_max


def test_one_rule_in_a_fight_does_not_stop_the_others() -> None:
    limiter = Limiter()
    for now in (0.0, 1.0, 2.0, 3.0):
        limiter, _ = fight(limiter, now)

    limiter, admission = limiter.admit(["r", "other"], NFT, LIMITS, 4.0)
    assert admission.allowed == {"other"}


def test_a_rule_that_stays_healed_is_forgotten() -> None:
    limiter = Limiter()
    for now in (0.0, 1.0, 2.0, 3.0):
        limiter, _ = fight(limiter, now)
    limiter, answered = fight(limiter, 70.0)
    assert answered

    assert limiter.rested(LIMITS, 200.0).fights()
    assert not limiter.rested(LIMITS, 70.0 + LIMITS.window + 1).fights()


def test_a_writer_that_never_rests_is_answered_at_a_slower_pace() -> None:
    limiter, answered, waits = Limiter(), 0, 0
    for number in range(100):
        limiter, admission = limiter.admit([f"rule {number}"], NFT, LIMITS, number * 0.001)
        answered += bool(admission.allowed)
        waits += admission.wait > 0
    assert answered == LIMITS.writer_burst
    assert waits == 100 - answered

    limiter, admission = limiter.admit(["later"], NFT, LIMITS, 2.0)
    assert admission.allowed == {"later"}


def test_another_writer_is_not_held_up_by_the_first() -> None:
    limiter = Limiter()
    for number in range(40):
        limiter, _ = limiter.admit([f"rule {number}"], NFT, LIMITS, 0.0)

    _, admission = limiter.admit(["x"], Actor(comm="ansible"), LIMITS, 0.0)
    assert admission.allowed == {"x"}
