"""``portguard rollback``: back to the mode before, at once; works without the daemon as well."""

from __future__ import annotations

import argparse
from contextlib import closing
from pathlib import Path

from portguard.cli import output
from portguard.cli.ask import NobodyListensError, ask
from portguard.cli.paths import CONFIG, configured
from portguard.errors import ObserveError
from portguard.model.finding import ExitCode
from portguard.model.paths import Paths

_EPILOG = """\
examples:
  portguard rollback
  nft delete table inet portguard                 the same on a console, where not even portguard runs

exit codes: 0 done, 3 there is nothing to roll back, or it is not permitted
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the command line."""
    parser = subparsers.add_parser(
        "rollback",
        help="back to the mode before, at once",
        description="Undo the last order: nothing that it closed stays closed. Without a daemon the kernel is told directly, and the order is forgotten.",
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
    """Ask the daemon; where there is none, do it here."""
    try:
        answer = ask(args.config, "rollback")
    except NobodyListensError:
        text = _without_daemon(configured(args.config, "state", Paths().state))
    else:
        if not answer["ok"]:
            raise ObserveError(str(answer.get("error")))
        text = answer["text"]
    output.console().print(text, markup=False, highlight=False, soft_wrap=True)
    return ExitCode.OK


def _without_daemon(state: Path) -> str:
    """Disarm in the kernel, and forget the order. Only the own table is written to. Raises ObserveError."""
    from portguard.core.closing import armed_for, disarm  # noqa: PLC0415 - what --help need not pay
    from portguard.core.compare import made_by_portguard  # noqa: PLC0415
    from portguard.core.render import OWN_TABLE  # noqa: PLC0415
    from portguard.daemon.orderfile import withdraw  # noqa: PLC0415
    from portguard.kernel.nft import Nft  # noqa: PLC0415

    with closing(Nft()) as nft:
        table = nft.read_table(OWN_TABLE)
        armed = table is not None and made_by_portguard(table) and armed_for(table) is not None
        if armed:
            nft.commit(disarm(OWN_TABLE))
    try:
        withdraw(state)
    except OSError as error:
        raise ObserveError(
            f"nothing is closed any more, but the order in {state} stays: {error.strerror}"
        ) from None
    what = "nothing is closed any more" if armed else "nothing was closed"
    return f"the daemon is not running: {what}, and what was ordered is forgotten"
