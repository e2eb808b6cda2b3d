"""What the tests measured, kept for ``docs/hosts.md``: build/reports/hosts.json.

Run as ``python -m host.harness.report`` in ``tests``, it prints the table.
"""

from __future__ import annotations

import fcntl
import json
from typing import Any

from host.harness.held import ROOT

_UNITS = {"ms": "ms", "seconds": "s", "MB": "MB", "percent": "%"}

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
            ", ".join(_spelled(name, value) for name, value in releases.get(release, {}).items())
            for release in ("debian12", "debian13")
        ]
        lines.append(f"| {what} | {cells[0]} | {cells[1]} |")
    return "\n".join(lines)


def _spelled(name: str, value: Any) -> str:
    """Spell a figure with its unit behind it, where the end of its name is one."""
    words = name.split("_")
    unit = _UNITS.get(words[-1])
    figure = f"{value:,}" if isinstance(value, int) else str(value)
    return " ".join([*words[:-1], f"{figure} {unit}"]) if unit else f"{' '.join(words)} {figure}"


if __name__ == "__main__":
    print(table())  # noqa: T201 - the command's own voice
