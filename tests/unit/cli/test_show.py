"""What a person sees in the tables of ``status`` and ``check``."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from typing import Any

import pytest
from rich.console import Console

from portguard.cli import show

NOW = datetime.now(UTC).isoformat()


def document(**changes: Any) -> dict[str, Any]:
    """A document of a host of which nothing is known but what is given."""
    empty: dict[str, Any] = {
        "verdict": "critical",
        "host": "h",
        "role": ["printum/all-in-one"],
        "mode": "heal",
        "manager": "nftables",
        "time": NOW,
        "summary": "a sentence",
        "services": [],
        "findings": [],
        "heals": [],
        "gaps": [],
    }
    return {**empty, **changes}


def shown(**changes: Any) -> str:
    out = io.StringIO()
    show.show(Console(file=out, width=400), document(**changes))
    return out.getvalue()


@pytest.mark.parametrize("events", ["tracefs", "polling"])
def test_it_says_how_new_listeners_are_noticed(events: str) -> None:
    assert f"new listeners by {events}" in shown(daemon={"events": events})


def test_one_look_without_a_daemon_says_nothing_of_that() -> None:
    assert "new listeners" not in shown()


def test_an_exposed_service_has_the_rule_that_lets_them_in_and_the_command_that_closes_it() -> None:
    row = {
        "severity": "critical",
        "kind": "service_exposed",
        "state": "firing",
        "since": NOW,
        "message": "Redis without a password on 0.0.0.0:6390",
        "evidence": {"by": "inet site input: accept", "fix": "nft add rule inet site input [x] drop"},
    }
    text = shown(findings=[row])

    assert "let in by: inet site input: accept" in text
    assert "to close it: nft add rule inet site input [x] drop" in text
    assert "let in by" not in shown(findings=[{**row, "evidence": {}}])
