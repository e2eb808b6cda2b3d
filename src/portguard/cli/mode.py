"""``portguard mode``: change what portguard may write, and enter ``contain`` behind the kernel's dead man."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from portguard.cli import output
from portguard.cli.ask import ask
from portguard.cli.durations import duration
from portguard.cli.paths import CONFIG, configured
from portguard.cli.status import current
from portguard.errors import ObserveError, UsageError
from portguard.model.finding import ExitCode
from portguard.model.paths import Paths
from portguard.model.policy import Mode

if TYPE_CHECKING:
    from portguard.model.snapshot import Connection

_MODES = [Mode.OBSERVE.value, Mode.HEAL.value, Mode.CONTAIN.value]
_ARMED_WITHIN = 20.0
"""Seconds to wait for the dead man: connections are tracked for a few of them before anything is closed."""

_EPILOG = """\
examples:
  portguard mode                                  which mode is in force, and what it closes
  portguard mode heal                             open what the documents require, close nothing
  portguard mode contain --confirm-within 2m      close what is exposed; the kernel opens it again after two minutes
  portguard confirm                               ... unless somebody who still gets in says this

mode contain is refused when it would cut the very connection you came by. To give up at once: portguard rollback, or
on the console without portguard: nft delete table inet portguard

exit codes: 0 done, 3 refused or the daemon is not running, 64 usage
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the command line."""
    parser = subparsers.add_parser(
        "mode",
        help="change what portguard may write",
        description="Order another mode. It holds until the next order, or until the configuration names another one.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "mode", nargs="?", choices=_MODES, help="the mode; without it the present one is shown"
    )
    parser.add_argument(
        "--confirm-within",
        metavar="TIME",
        type=duration(1, 3600),
        default=120.0,
        help="how long anything stays closed unconfirmed, in seconds or as 2m (default: 120; 3600 at most)",
    )
    parser.add_argument(
        "--kill-established",
        action="store_true",
        help="also end the connections that strangers have to what is being closed",
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
    """Order it, wait until it is in force, and say what that means."""
    out = output.console()
    status = configured(args.config, "status", Paths().status)
    if args.mode is None:
        _show(current(status))
        return ExitCode.OK
    if args.kill_established and args.mode != Mode.CONTAIN:
        raise UsageError("--kill-established goes with mode contain only")
    from portguard.cli import ways_in  # noqa: PLC0415 - netlink, which --help need not pay

    own, others = ways_in.find() if args.mode == Mode.CONTAIN else ((), ())
    answer = ask(
        args.config,
        "mode",
        mode=args.mode,
        confirm_within=args.confirm_within,
        own=_rows(own),
        others=_rows(others),
    )
    if not answer["ok"]:
        for line in answer.get("details", ()):
            print(f"portguard: {line}", file=sys.stderr)  # noqa: T201 - the command line's own voice
        raise ObserveError(str(answer.get("error")))
    for line in (answer["text"], *answer.get("details", ())):
        out.print(line, markup=False, highlight=False, soft_wrap=True)
    if args.mode != Mode.CONTAIN:
        return ExitCode.OK
    order = _armed(status)
    for line in ways_in.strangers(order["closes"], kill=args.kill_established):
        out.print(line, markup=False, highlight=False, soft_wrap=True)
    if order["disarms_in"] is None:
        return ExitCode.OK
    out.print(
        f"armed: the kernel opens it again in {order['disarms_in']:.0f} s. Open a NEW connection to this host to see that"
        " you still get in, then: portguard confirm",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )
    return ExitCode.OK


def _armed(status: Path) -> dict[str, Any]:
    """Wait until the dead man runs, or need not. Raises ObserveError when it does not come to that."""
    until = time.monotonic() + _ARMED_WITHIN
    while time.monotonic() < until:
        order = current(status).get("order") or {}
        confirmed = (order.get("ordered"), order.get("state")) == (Mode.CONTAIN, "confirmed")
        if order.get("disarms_in") is not None or confirmed:
            return dict(order)
        if order.get("state") != "waiting":
            raise ObserveError("it was not armed; portguard status and the journal say why")
        time.sleep(0.1)
    raise ObserveError(
        f"it was not armed within {_ARMED_WITHIN:g} s; portguard status and the journal say why"
    )


def _rows(connections: tuple[Connection, ...]) -> list[dict[str, Any]]:
    return [
        {
            "peer": str(row.peer),
            "peer_port": row.peer_port,
            "local": str(row.local),
            "local_port": row.local_port,
        }
        for row in connections
    ]


def _show(document: dict[str, Any]) -> None:
    from portguard.cli import show_order, ways_in  # noqa: PLC0415 - rich, which the orders above do without

    out = output.console()
    out.print(show_order.order(document, alone=True))
    for line in ways_in.strangers((document.get("order") or {}).get("closes", ()), kill=False):
        out.print(line, markup=False, highlight=False, soft_wrap=True)
