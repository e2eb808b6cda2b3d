"""The answers of probed ports as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich import box
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Iterable

    from portguard.cli.probe import Result

_STYLE = {"critical": "bold red", "warning": "yellow", "unknown": "magenta", "ok": "green"}


def table(results: Iterable[Result]) -> Table:
    """Make one row of each answer. Everything is text: a server's answer is not markup."""
    made = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for title in (
        "Asked",
        "Who listens",
        "Speaks",
        "Protected by",
        "Said",
        "Was sent",
        "Documented as",
        "Verdict",
    ):
        made.add_column(title, overflow="fold")
    for row in results:
        target, answer = row.target, row.answer
        host = f"[{target.address}]" if target.address.version == 6 else str(target.address)
        owner = target.listener.owner if target.listener is not None else None
        made.add_row(
            Text(f"{host}:{target.port}"),
            Text(str(owner) if owner is not None else ""),
            Text(answer.application or "?"),
            Text(answer.protection.value),
            Text(answer.said),
            Text(", ".join(answer.sent) or "nothing"),
            Text(", ".join(target.flows)),
            Text(row.verdict.value, style=_STYLE[row.verdict.value]),
        )
    return made
