"""Reading what the daemon says: its alert lines, and nothing else."""

from __future__ import annotations

from datetime import UTC, datetime

from portguard.alert.message import fields, message
from portguard.core.lifecycle import Alert, AlertState
from portguard.lab.guard import parse
from portguard.model.finding import Finding, Kind, Severity
from portguard.model.ruleset import Actor

WHEN = datetime(2026, 1, 2, tzinfo=UTC)


def line(finding: Finding, state: AlertState = AlertState.FIRING) -> str:
    """Spell an alert as the daemon writes it to standard error."""
    alert = Alert(finding=finding, state=state, since=WHEN)
    values = fields(alert, roles=("a/role",), mode="heal", manager="portguard")
    return f"{finding.severity.value:8} {message(alert, values)}"


def test_an_alert_line_of_the_daemon_is_read_back_whole() -> None:
    finding = Finding(
        kind=Kind.RULE_REMOVED,
        severity=Severity.WARNING,
        message="rule x of inet portguard was removed by nft",
        port=8001,
        evidence={"actor": Actor(comm="my nft", pid=7)},
    )

    event = parse(line(finding), 12.5)

    assert event is not None
    assert (event.kind, event.state, event.at) == ("rule_removed", "firing", 12.5)
    assert event.message == "rule x of inet portguard was removed by nft"
    assert event.finding == finding.id
    assert event.fields["port"] == "8001"
    assert event.fields["actor_comm"] == "my nft"
    assert event.fields["severity"] == "warning"


def test_an_end_is_told_from_a_beginning() -> None:
    finding = Finding(kind=Kind.SERVICE_EXPOSED, severity=Severity.CRITICAL, message="Redis is reachable")

    event = parse(line(finding, AlertState.RESOLVED), 0.0)

    assert event is not None
    assert event.state == "resolved"


def test_a_traceback_and_a_plain_line_are_no_events() -> None:
    for text in ("Traceback (most recent call last):", '  File "x.py", line 1 | in <module>', "", "a | b=c"):
        assert parse(text, 0.0) is None
