"""``portguard status``: what the daemon knows now, from its status file."""

from __future__ import annotations

import argparse
import os
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from portguard.cli import output
from portguard.cli.paths import CONFIG, configured
from portguard.daemon import statusfile
from portguard.errors import ObserveError
from portguard.model.finding import ExitCode, Verdict
from portguard.model.paths import Paths

STALE = 180.0
"""Seconds after which a document says nothing about now any more: three full passes."""

_EPILOG = """\
examples:
  portguard status                 the table
  portguard status --watch         the table, anew every second
  portguard status --json          the document that docs/status.md describes

exit codes: 0 ok, 1 warning, 2 critical, 3 unknown or the daemon is not running
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the command line."""
    parser = subparsers.add_parser(
        "status",
        help="what the daemon knows now",
        description="Show what the running daemon knows. Reads its status file only; needs no root.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--config",
        metavar="FILE",
        type=Path,
        default=CONFIG,
        help=f"where paths.status is read from (default: {CONFIG})",
    )
    parser.add_argument("--json", action="store_true", help="print the document itself")
    parser.add_argument("--watch", action="store_true", help="print it anew every second until Ctrl-C")
    parser.add_argument("--all", action="store_true", help="show outgoing services too")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the document, and tell its verdict by the exit code."""
    path = configured(args.config, "status", Paths().status)
    if args.watch:
        return _watch(path, everything=args.all)
    document = current(path)
    if args.json:
        output.print_json(document)
    else:
        from portguard.cli import show  # noqa: PLC0415 - rich, 25 ms that --json need not pay

        show.show(output.console(), document, everything=args.all)
    return ExitCode.of(Verdict(document["verdict"]))


def current(path: Path) -> dict[str, Any]:
    """Read the status of a daemon that runs.

    Raises ObserveError when there is none: what a dead daemon knew says nothing about now.
    """
    document = statusfile.read(path)
    pid = document.get("daemon", {}).get("pid")
    written = datetime.fromisoformat(document["time"])
    age = (datetime.now(UTC) - written).total_seconds()
    if not _alive(pid):
        raise ObserveError(
            f"the daemon is not running; it last wrote {path} {age:.0f} s ago (systemctl status portguard)"
        )
    if age > STALE:
        raise ObserveError(f"the daemon (pid {pid}) has written nothing to {path} for {age:.0f} s")
    return document


def _alive(pid: object) -> bool:
    if not isinstance(pid, int) or pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _watch(path: Path, *, everything: bool) -> int:
    from rich.console import Group  # noqa: PLC0415
    from rich.live import Live  # noqa: PLC0415

    from portguard.cli import show  # noqa: PLC0415

    def frame() -> Group:
        try:
            document = current(path)
        except ObserveError as error:
            return Group(str(error))
        parts = (
            show.headline(document),
            show.services(document, everything=everything),
            show.findings(document),
            show.heals(document),
            show.gaps(document),
        )
        return Group(*(part for part in parts if part is not None))

    with Live(frame(), console=output.console(), screen=False, auto_refresh=False) as live:
        try:
            while True:
                time.sleep(1.0)
                live.update(frame(), refresh=True)
        except KeyboardInterrupt:
            return ExitCode.OK
