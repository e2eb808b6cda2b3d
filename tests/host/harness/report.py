"""What the tests measured, kept for ``docs/hosts.md``: build/reports/hosts.json."""

from __future__ import annotations

import fcntl
import json
from typing import Any

from host.harness.held import ROOT

REPORT = ROOT / "build" / "reports" / "hosts.json"


def record(release: str, what: str, **figures: Any) -> None:
    """Keep the figures of one measurement, in place of those of an earlier run, and print them."""
    REPORT.parent.mkdir(parents=True, exist_ok=True)
    # The releases are tested side by side, and both write here.
    with REPORT.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        known = json.loads(REPORT.read_text()) if REPORT.exists() else {}
        known.setdefault(what, {})[release] = figures
        scratch = REPORT.with_suffix(".new")
        scratch.write_text(json.dumps(known, indent=1, sort_keys=True) + "\n")
        scratch.rename(REPORT)
    print(f"\n{release}: {what}: {', '.join(f'{name} {value}' for name, value in figures.items())}")  # noqa: T201


def table() -> str:
    """Spell everything that was measured as a table for the documentation."""
    known = json.loads(REPORT.read_text()) if REPORT.exists() else {}
    lines = ["| measured | Debian 12 | Debian 13 |", "|---|---|---|"]
    for what, releases in known.items():
        cells = [
            ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in releases.get(name_, {}).items())
            for name_ in ("debian12", "debian13")
        ]
        lines.append(f"| {what} | {cells[0]} | {cells[1]} |")
    return "\n".join(lines)
