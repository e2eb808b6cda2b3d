"""``portguard confirm``: keep closed what mode contain has closed; whoever can type this still gets in."""

from __future__ import annotations

import argparse
from pathlib import Path

from portguard.cli import output
from portguard.cli.ask import ask
from portguard.cli.paths import CONFIG
from portguard.errors import ObserveError
from portguard.model.finding import ExitCode

_EPILOG = """\
examples:
  portguard mode contain --confirm-within 2m
  portguard confirm                               from a NEW connection, which proves that you still get in

exit codes: 0 confirmed, 3 nothing is armed, it was too late, or the daemon is not running
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the command line."""
    parser = subparsers.add_parser(
        "confirm",
        help="keep what mode contain has closed",
        description="Say that what is closed is closed rightly. It then stays so over restarts and reboots.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--config",
        metavar="FILE",
        type=Path,
        default=CONFIG,
        help=f"where paths.status is read from: the control socket lies beside it (default: {CONFIG})",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Ask the daemon, and print what it answers."""
    answer = ask(args.config, "confirm")
    if not answer["ok"]:
        raise ObserveError(str(answer.get("error")))
    output.console().print(answer["text"], markup=False, highlight=False, soft_wrap=True)
    return ExitCode.OK
