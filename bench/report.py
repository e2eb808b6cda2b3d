"""What the benchmark prints: one table for each measurement, side by side with what it is compared with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from bench.figures import Figure


def show(title: str, figures: Sequence[Figure], console: Console | None = None) -> None:
    """Print one measurement."""
    table = Table(title=title, title_justify="left", title_style="bold", header_style="bold")
    table.add_column("what", overflow="fold")
    table.add_column("who")
    for heading in ("n", "median", "p90", "max", "unit", "aim"):
        table.add_column(heading, justify="right")
    table.add_column("", no_wrap=True)
    before = None
    for figure in figures:
        if before is not None and figure.case != before:
            table.add_section()
        table.add_row("" if figure.case == before else figure.case, *_cells(figure))
        before = figure.case
    (console or Console(width=132)).print(table, "")


def _cells(figure: Figure) -> Iterable[str]:
    found = figure.samples
    numbers = (
        (str(len(found.values)), *(number(value) for value in (found.median, found.p90, found.most)))
        if found
        else ("0", "-", "-", "-")
    )
    aim = "" if figure.aim is None else f"<= {number(figure.aim)}"
    met = {None: "", True: "[green]met[/]", False: "[red]missed[/]"}[figure.met]
    return (figure.subject, *numbers, figure.unit, aim, " ".join(part for part in (met, figure.note) if part))


def number(value: float) -> str:
    """Spell a value with three digits that say something."""
    if value >= 100:
        return f"{value:,.0f}"
    if value >= 10:
        return f"{value:.1f}"
    return f"{value:.2f}" if value >= 0.1 else f"{value:.3f}"
