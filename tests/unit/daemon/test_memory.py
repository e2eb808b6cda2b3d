"""A restart raises no alarm again, and ends the ones that are over."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from portguard.core.lifecycle import Book, advance
from portguard.daemon.memory import NAME, Memory
from portguard.model.finding import Finding, Kind, Severity
from portguard.model.net import Transport

if TYPE_CHECKING:
    from pathlib import Path

START = datetime(2026, 1, 1, tzinfo=UTC)
LATER = datetime(2026, 1, 2, tzinfo=UTC)
JMX = Finding(
    kind=Kind.SERVICE_EXPOSED,
    severity=Severity.CRITICAL,
    message="JMX on [::]:9010",
    subject="jmx",
    transport=Transport.TCP,
    address="::",
    address_class="wildcard",
    port=9010,
    unit="x.service",
    evidence={"reachable": "yes"},
)
GONE = Finding(
    kind=Kind.LISTENER_MISSING, severity=Severity.ERROR, message="nothing listens", flow="a/b", port=80
)


def told(folder: Path, *findings: Finding) -> Book:
    """Run for a while, tell these, and write them down."""
    book, _, _ = advance(Book(), findings, {}, 100.0, START)
    Memory(folder).keep(book)
    return book


def test_what_still_holds_after_a_restart_is_not_told_again(tmp_path: Path) -> None:
    told(tmp_path, JMX)
    book, alerts, _ = advance(Memory(tmp_path).recall(5.0), [JMX], {}, 6.0, LATER)

    assert alerts == ()
    assert book.firing()[0].since == START


def test_what_is_over_after_a_restart_is_told_to_be(tmp_path: Path) -> None:
    told(tmp_path, JMX, GONE)
    _, alerts, _ = advance(Memory(tmp_path).recall(5.0), [JMX], {}, 6.0, LATER)

    (alert,) = alerts
    assert alert.state.value == "resolved"
    assert alert.finding.id == GONE.id
    assert alert.since == START


def test_what_is_new_after_a_restart_is_told(tmp_path: Path) -> None:
    told(tmp_path, GONE)
    _, alerts, _ = advance(Memory(tmp_path).recall(5.0), [JMX, GONE], {}, 6.0, LATER)

    assert [alert.finding.kind for alert in alerts] == [Kind.SERVICE_EXPOSED]


def test_what_nobody_was_told_is_not_kept(tmp_path: Path) -> None:
    book, _, _ = advance(Book(), [GONE], {Kind.LISTENER_MISSING: 30.0}, 100.0, START)
    Memory(tmp_path).keep(book)

    assert Memory(tmp_path).recall(5.0).entries == {}


def test_a_moment_that_no_calendar_of_ours_has_costs_only_the_memory(tmp_path: Path) -> None:
    told(tmp_path, JMX)
    text = (tmp_path / NAME).read_text()
    (tmp_path / NAME).write_text(text.replace(START.isoformat(), "0001-01-01T00:00:00+14:00"))

    assert Memory(tmp_path).recall(5.0).entries == {}


@pytest.mark.parametrize(
    "text", [None, "", "{", '{"schema": 1}', '{"schema": 1, "findings": [{"finding": {"kind": "x"}}]}']
)
def test_a_file_that_cannot_be_used_costs_only_the_memory(text: str | None, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / NAME).write_text(text)

    assert Memory(tmp_path).recall(5.0).entries == {}


def test_nothing_is_written_while_nothing_changes(tmp_path: Path) -> None:
    memory = Memory(tmp_path / "new")
    book = told(tmp_path, JMX)
    memory.keep(book)
    before = (tmp_path / "new" / NAME).stat().st_mtime_ns
    memory.keep(book)

    assert (tmp_path / "new" / NAME).stat().st_mtime_ns == before
