"""``portguard reload``: let the daemon read its configuration again, and say whether it took it."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from portguard.cli.ask import ask
from portguard.cli.paths import CONFIG
from portguard.errors import ObserveError
from portguard.model.finding import ExitCode

_EPILOG = """\
examples:
  portguard reload                  read /etc/portguard again; every fault is printed, and the old configuration stays
  systemctl reload portguard        the same

exit codes: 0 the configuration is in force, 3 the daemon is not running, 78 the configuration is at fault
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the command line."""
    parser = subparsers.add_parser(
        "reload",
        help="let the daemon read its configuration again",
        description="Let the running daemon read its configuration again, wait for it, and print every fault.",
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
    """Ask, and print what is wrong."""
    answer = ask(args.config, "reload")
    for fault in answer.get("faults", ()):
        print(f"portguard: {fault}", file=sys.stderr)  # noqa: T201 - the command line's own voice
    if answer["ok"]:
        return ExitCode.OK
    if not answer.get("faults"):
        raise ObserveError(str(answer.get("error")))
    return int(answer.get("exit", ExitCode.UNKNOWN))
