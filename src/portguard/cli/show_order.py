"""Print what was ordered, what is closed, and how long the dead man still runs."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from rich.text import Text


def order(document: dict[str, Any], *, alone: bool = False) -> Text | None:
    """Print the part ``order`` of a status document; None where there is nothing to say but the mode."""
    found = document.get("order") or {}
    lines: list[tuple[str, str]] = []
    if alone:
        lines.append((f"mode {document['mode']}{_origin(found)}", "bold"))
    if found.get("state") == "withdrawn":
        lines.append((f"mode {found['ordered']} is not confirmed: nothing is closed", "yellow"))
    if found.get("state") == "waiting":
        lines.append((_waiting(found, document["time"]), "yellow"))
    lines += [(_closed(row, armed=bool(found.get("armed"))), "cyan") for row in found.get("closes", [])]
    lines += [(f"not closed: {text}", "yellow") for text in found.get("spares", [])]
    if pause := found.get("pause"):
        lines.append((f"paused until {pause['until']}: {pause['reason']}", "yellow"))
    return Text("\n").join(Text(text, style=style) for text, style in lines) if lines else None


def _origin(found: dict[str, Any]) -> str:
    if found.get("ordered") is None:
        return ", as configured"
    return f", {found['state']} by order; the configuration says {found['configured']}"


def _waiting(found: dict[str, Any], time: str) -> str:
    left = found.get("disarms_in")
    if left is None:
        return f"mode {found['ordered']} is about to be armed"
    age = (datetime.now(UTC) - datetime.fromisoformat(time)).total_seconds()
    return f"mode {found['ordered']} is armed and not confirmed: the kernel opens it again in {max(0.0, left - age):.0f} s"


def _closed(row: dict[str, Any], *, armed: bool) -> str:
    whom = f"everyone but {', '.join(row['zones'])}" if row["zones"] else "everyone"
    verb = "closed" if armed else "to be closed"
    return f"{row['port']}/{row['transport']} ({row['application']}) {verb} to {whom}"
