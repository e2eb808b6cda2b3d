"""What people were told, kept over a restart: an upgrade must not raise every alarm again, nor forget to end one."""

from __future__ import annotations

import json
from dataclasses import fields
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from portguard.core.lifecycle import Book, Entry
from portguard.daemon import statusfile
from portguard.errors import ObserveError
from portguard.model.finding import Finding, Kind, Severity
from portguard.model.net import Transport

if TYPE_CHECKING:
    from pathlib import Path

SCHEMA = 1
NAME = "findings.json"

_KEPT = [field.name for field in fields(Finding) if field.name != "evidence"]
"""Evidence is of its moment: an alarm that ends after a restart ends without it."""


class Memory:
    """The findings that people know of, in a file of the state directory."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / NAME
        self._written: str | None = None

    def recall(self, now: float) -> Book:
        """Give the findings that were told before; none where there is no file, or one that cannot be used.

        A damaged file costs alarms that are told a second time, never one that is not told.
        """
        try:
            document = statusfile.read(self._path)
            entries = [_entry(row, now) for row in document["findings"]]
        except (ObserveError, KeyError, TypeError, ValueError, OverflowError):
            return Book()
        return Book(entries={entry.finding.id: entry for entry in entries})

    def keep(self, book: Book) -> None:
        """Write them down if they changed. Raises OSError when that cannot be done; nothing is lost by it but memory."""
        rows = [
            {
                "since": entry.since.isoformat(),
                "finding": {name: getattr(entry.finding, name) for name in _KEPT},
            }
            for entry in book.firing()
        ]
        text = json.dumps(rows, sort_keys=True)
        if text != self._written:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            statusfile.write(self._path, {"schema": SCHEMA, "findings": rows})
            self._written = text


def _entry(row: dict[str, Any], now: float) -> Entry:
    given = dict(row["finding"])
    finding = Finding(
        **{
            **given,
            "kind": Kind(given["kind"]),
            "severity": Severity(given["severity"]),
            "transport": Transport(given["transport"]) if given["transport"] is not None else None,
        }
    )
    since = datetime.fromisoformat(row["since"]).astimezone(UTC)
    return Entry(finding=finding, since=since, seen=now, alerted=now, raised=(now,))
