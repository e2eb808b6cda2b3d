"""Show a run of the lab: the steps as they end, and afterwards the live status."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Self

from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from portguard.cli import show
from portguard.lab.topology import SERVER

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console
    from rich.status import Status

    from portguard.lab.results import Connection, LabResult, StepResult
    from portguard.lab.stage import Stage
    from portguard.lab.step import Step

_COLOUR = {"open": "green", "refused": "yellow", "dropped": "red"}
_SEVERITY = {"critical": "bold red", "error": "red", "warning": "yellow"}
_LONGEST = 240
"""Characters of a message; ``--json`` has all of it."""
_REFRESH = 0.5
"""Seconds between two frames of the live status."""


class View:
    """Prints to one console; on a terminal a spinner says what is going on."""

    def __init__(self, console: Console, *, table: bool) -> None:
        self._console = console
        self._table = table
        """Whether the status table belongs to the output."""
        self._status: Status | None = console.status("") if console.is_terminal else None
        self._step = ""

    def __enter__(self) -> Self:
        if self._status is not None:
            self._status.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._quiet()

    def doing(self, what: str) -> None:
        """Say what is under way."""
        if self._status is not None:
            self._status.update(f"{self._step}{what} …")
        elif not self._step:
            self._console.print(f"{what} …", style="dim")

    def up(self, stage: Stage, result: LabResult) -> None:
        """Show the status table, then how the lab begins."""
        if self._table:
            show.show(self._console, stage.guard.status())
        self.finished(result.steps[0])

    def began(self, step: Step) -> None:
        """Name the step in the spinner."""
        self._step = f"{step.title}: "
        self.doing("connecting before the blow")

    def finished(self, result: StepResult) -> None:
        """Print what came of a step."""
        self._step = ""
        self._console.print(_step(result))

    def played(self, result: LabResult) -> None:
        """Print the sum of it."""
        if result.failed:
            text = Text(f"✘ not as it should be: {', '.join(result.failed)}", style="bold red")
        else:
            played = sum(step.skipped is None for step in result.steps)
            text = Text(f"✔ {played} of {played} steps did what they should", style="bold green")
        self._console.print(text)

    def stay(self, stage: Stage) -> None:
        """Show the live status until a signal ends it."""
        self._quiet()
        server = stage.network.namespace(SERVER.name)
        client = stage.network.namespace("workstation")
        hint = Text.assemble(
            ("The lab stays up until Ctrl-C. In another terminal:\n", "bold"),
            f"  ip netns exec {server} nft list ruleset\n",
            f"  ip netns exec {server} nft flush ruleset\n",
            f"  ip netns exec {client} bash\n",
        )
        with Live(Group(), console=self._console, auto_refresh=False) as live:
            while True:
                stage.guard.pump()
                document = stage.guard.status()
                parts = (
                    show.headline(document),
                    show.findings(document),
                    show.heals(document),
                    show.gaps(document),
                )
                live.update(Group(hint, *(part for part in parts if part is not None)), refresh=True)
                time.sleep(_REFRESH)

    def _quiet(self) -> None:
        if self._status is not None:
            self._status.stop()
            self._status = None


def _step(result: StepResult) -> Group:
    sign, style = ("✔", "bold green") if result.ok else ("✘", "bold red")
    if result.skipped is not None:
        sign, style = "-", "bold"
    title = Text.assemble(
        (f"{sign} {result.title}", style), (f"  {result.name}, {result.took_s:.1f} s", "dim")
    )
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True, min_width=14)
    table.add_column(overflow="fold")
    for label, value in _rows(result):
        table.add_row(f"    {label}", value)
    return Group(title, table, "")


def _rows(result: StepResult) -> Iterator[tuple[str, Text]]:
    if result.skipped is not None:
        yield "skipped", Text(result.skipped)
    for did in result.did:
        yield "did", Text(did)
    for row in result.detected:
        colour = _SEVERITY.get(row.severity, "")
        head = Text.assemble((row.kind, colour), (f" after {row.after_ms:.0f} ms: ", "dim"))
        yield "detected", head + Text(_short(row.message))
    for heal in result.healed:
        seen = f" ({heal.measured_ms:.1f} ms seen from outside)" if heal.measured_ms is not None else ""
        text = Text.assemble(
            (f"in {heal.took_ms:.1f} ms", "bold"), f"{seen}; done by {show.actor(heal.actor)}"
        )
        yield "healed", text
    for connection in result.connections:
        yield "client", _connection(connection)
    if (outage := result.outage) is not None:
        lost = f"{outage.lost} lost, dark for {outage.dark_ms:.0f} ms" if outage.lost else "none lost"
        where = f"{outage.client} to {outage.port}/{outage.transport}"
        yield "meanwhile", Text(f"{outage.attempts} connections, {where}: {lost}")
    if result.sweep is not None:
        yield "documented", Text(f"{result.sweep.open} of {result.sweep.tried} connections open")
    if result.resolved:
        yield "resolved", Text(", ".join(result.resolved))
    for problem in result.problems:
        yield "problem", Text(problem, style="red")


def _short(message: str) -> str:
    return message if len(message) <= _LONGEST else f"{message[: _LONGEST - 1]}…"


def _connection(row: Connection) -> Text:
    address = "" if row.version == 4 else ", IPv6"
    text = Text(f"{row.client} to {row.port}/{row.transport}{address}: ")
    for moment, outcome in (
        ("before", row.before),
        ("after the blow", row.struck),
        ("at the end", row.after),
    ):
        text.append(f"{moment} ")
        text.append(outcome, style=_COLOUR.get(outcome, ""))
        text.append("" if moment == "at the end" else ", ")
    return text
