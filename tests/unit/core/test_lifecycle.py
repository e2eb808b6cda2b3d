"""The life of a finding, from pending to resolved."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from portguard.core.lifecycle import FLAP_COUNT, FLAP_WINDOW, AlertState, Book, advance
from portguard.model.finding import Finding, Kind, Severity

START = datetime(2026, 1, 1, tzinfo=UTC)
JMX = Finding(kind=Kind.SERVICE_EXPOSED, severity=Severity.CRITICAL, message="JMX", port=9010)
MISSING = Finding(kind=Kind.LISTENER_MISSING, severity=Severity.ERROR, message="gone", port=8010)
GRACE = {Kind.LISTENER_MISSING: 30.0}


class Life:
    """Play findings against a book: ``at(seconds, findings…)`` gives the states that were told."""

    def __init__(self) -> None:
        self.book = Book()
        self.due: float | None = None

    def at(self, now: float, *findings: Finding) -> list[str]:
        self.book, alerts, self.due = advance(self.book, findings, GRACE, now, START + timedelta(seconds=now))
        self.lasted = [alert.lasted for alert in alerts]
        return [f"{alert.state.value} {alert.finding.message}" for alert in alerts]


def test_an_alarm_is_told_once_and_its_end_with_how_long_it_lasted() -> None:
    life = Life()

    assert life.at(0, JMX) == ["firing JMX"]
    assert life.at(1, JMX) == []
    assert life.at(61) == ["resolved JMX"]
    assert life.lasted == [61.0]
    assert life.at(62) == []


def test_a_finding_that_gets_worse_is_told_again_and_one_that_gets_better_is_not() -> None:
    life = Life()
    better = replace(JMX, severity=Severity.ERROR, message="JMX with a password")
    life.at(0, better)

    assert life.at(10, JMX) == ["firing JMX"]
    assert life.at(11, JMX) == []
    assert life.at(20, better) == []
    assert life.at(30) == ["resolved JMX with a password"]


def test_a_finding_within_its_grace_is_told_to_nobody() -> None:
    life = Life()

    assert life.at(0, MISSING) == []
    assert life.due == 30.0
    assert life.at(20, MISSING) == []
    assert life.at(25) == []
    assert life.at(26, MISSING) == []
    assert life.at(56, MISSING) == ["firing gone"]


def test_a_firing_finding_is_repeated_after_hours_not_after_minutes() -> None:
    life = Life()
    life.at(0, JMX)

    assert life.at(3 * 3600, JMX) == []
    assert life.at(4 * 3600, JMX) == ["reminder JMX"]
    assert life.at(5 * 3600, JMX) == []


def test_an_alarm_that_comes_and_goes_is_called_unsteady_once_and_then_left_alone() -> None:
    life = Life()
    told: list[str] = []
    for number in range(FLAP_COUNT + 4):
        told += life.at(number * 20.0, JMX)
        told += life.at(number * 20.0 + 10)

    assert told.count("flapping JMX") == 1
    assert told.count("firing JMX") == FLAP_COUNT - 1
    assert told[-1] == "flapping JMX"
    assert life.at(number * 20.0 + 10 + FLAP_WINDOW) == ["resolved JMX"]


def test_an_unsteady_finding_that_gets_worse_than_ever_told_is_told_once_more() -> None:
    """Restarting it five times must not be a way to take a password away unnoticed."""
    life = Life()
    better = replace(JMX, severity=Severity.ERROR, message="JMX with a password")
    for number in range(FLAP_COUNT + 2):
        told = life.at(number * 20.0, better)
        life.at(number * 20.0 + 10)
    assert told == []

    assert life.at(200, JMX) == ["flapping JMX"]
    for number in range(11, 20):
        assert life.at(number * 20.0, better) == []
        assert life.at(number * 20.0 + 5, JMX) == []
        assert life.at(number * 20.0 + 10) == []


def test_the_text_of_a_finding_may_change_without_a_new_alarm() -> None:
    life = Life()
    life.at(0, JMX)
    changed = Finding(kind=JMX.kind, severity=JMX.severity, message="JMX, pid 2", port=9010, pid=2)

    assert life.at(1, changed) == []
    assert life.book.firing()[0].finding.message == "JMX, pid 2"


def test_the_id_holds_no_pid_and_no_text_but_what_it_is_about() -> None:
    same = Finding(
        kind=JMX.kind, severity=Severity.ERROR, message="other words", port=9010, pid=5, process="java"
    )
    other = Finding(kind=JMX.kind, severity=JMX.severity, message="JMX", port=9011)

    assert same.id == JMX.id
    assert other.id != JMX.id
    assert len(JMX.id) == 16
    assert int(JMX.id, 16) >= 0


def test_states_are_those_promised() -> None:
    assert {state.value for state in AlertState} == {"firing", "reminder", "resolved", "flapping"}
