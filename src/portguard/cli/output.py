"""How commands print: tables on a terminal, the same text without colours in a pipe, JSON on request."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console


def console(*, stderr: bool = False) -> Console:
    """Make a console that colours only a terminal, and that a pipe gets at its full width unless ``COLUMNS`` says so."""
    from rich.console import Console  # noqa: PLC0415 - 25 ms that --json need not pay

    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() or os.environ.get("COLUMNS") else 160
    return Console(file=stream, width=width, highlight=False, soft_wrap=False)


def print_json(document: Any) -> None:
    """Print one document, indented for people, in the promised order of keys."""
    sys.stdout.write(json.dumps(document, indent=1, ensure_ascii=False) + "\n")
