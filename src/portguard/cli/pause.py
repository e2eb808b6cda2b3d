"""``portguard pause``: write nothing for a while: maintenance of a firewall without somebody who heals it."""

from __future__ import annotations

import argparse
from pathlib import Path

from portguard.cli import output
from portguard.cli.ask import ask
from portguard.cli.durations import duration
from portguard.cli.paths import CONFIG
from portguard.errors import ObserveError
from portguard.model.finding import ExitCode

_EPILOG = """\
examples:
  portguard pause 30m --reason "new firewall rules"
  portguard resume                                before the time is over

exit codes: 0 done, 3 the daemon is not running, 64 usage
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the command line."""
    parser = subparsers.add_parser(
        "pause",
        help="write nothing for a while",
        description="Let portguard write nothing for a while. It looks, judges and alerts as before, and resumes by itself; what is closed stays closed.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "duration", metavar="DURATION", type=duration(1, 86400), help="seconds, or 10m, 2h; one day at most"
    )
    parser.add_argument(
        "--reason", metavar="TEXT", required=True, help="why, for the journal and the next person"
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
    answer = ask(args.config, "pause", seconds=args.duration, reason=args.reason)
    if not answer["ok"]:
        raise ObserveError(str(answer.get("error")))
    output.console().print(answer["text"], markup=False, highlight=False, soft_wrap=True)
    return ExitCode.OK
