"""``portguard lab``: a disposable network in which the real daemon guards a role."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from portguard.cli import documents, output
from portguard.model.finding import ExitCode

if TYPE_CHECKING:
    from portguard.lab.results import LabResult

DEFAULT_ROLE = "printum/all-in-one"

_EPILOG = """\
examples:
  sudo portguard lab                                    play everything, then stay up until Ctrl-C
  sudo portguard lab --json                             play everything, print what happened, end
  sudo portguard lab --scenario table-deleted           one step
  sudo portguard lab --role printum/portal --scenario none   only build it and stay up

Nothing of this host is touched: server and clients are network namespaces that go away at the end.
exit codes: 0 every step did what it should, 2 a step did not, 3 the lab could not be built, 64 usage
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the command line."""
    parser = subparsers.add_parser(
        "lab",
        help="a disposable network in which the real daemon guards a role",
        description="Build a network of namespaces, guard its server with the real daemon, break things, and show "
        "what was detected and healed, with real connections from the clients.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--role",
        action="append",
        metavar="ROLE",
        help=f"role of the server, may be repeated (default: {DEFAULT_ROLE})",
    )
    parser.add_argument(
        "--scenario",
        action="append",
        metavar="NAME",
        help="all (default), none, or the name of a step, may be repeated",
    )
    documents.add_options(parser)
    parser.add_argument(
        "--keep",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="stay up afterwards until Ctrl-C (default: on a terminal)",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Build the lab, play, and take it away again."""
    from portguard.cli.lab_view import View  # noqa: PLC0415 - rich and the whole lab, which --help does not need
    from portguard.lab.scenario import begin, choose, perform  # noqa: PLC0415
    from portguard.lab.session import Interrupted, session  # noqa: PLC0415

    own = documents.folder(args.config)
    steps = choose(args.scenario or ["all"])
    keep = sys.stdout.isatty() and not args.json if args.keep is None else args.keep
    result: LabResult | None = None
    staying = False
    with View(output.console(stderr=args.json), table=not args.json) as view:
        try:
            with session(args.role or [DEFAULT_ROLE], view.doing, own) as stage:
                view.doing("trying every documented connection")
                result = begin(stage)
                view.up(stage, result)
                perform(stage, steps, result, view)
                view.played(result)
                staying = keep
                if keep:
                    view.stay(stage)
        except Interrupted as interrupt:
            if not staying:
                return 128 + interrupt.number
    assert result is not None
    if args.json:
        output.print_json(result.json())
    return ExitCode.CRITICAL if result.failed else ExitCode.OK
