"""``portguard resume``: end a pause before its time."""

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
  portguard pause 30m --reason "new firewall rules"
  portguard resume

exit codes: 0 done, 3 the daemon is not running
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the command line."""
    parser = subparsers.add_parser(
        "resume",
        help="end a pause",
        description="Let portguard write again before the pause is over.",
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
    answer = ask(args.config, "resume")
    if not answer["ok"]:
        raise ObserveError(str(answer.get("error")))
    output.console().print(answer["text"], markup=False, highlight=False, soft_wrap=True)
    return ExitCode.OK
