"""``portguard check``: one full judgement without a daemon, writing nothing."""

from __future__ import annotations

import argparse
import socket
from pathlib import Path
from typing import TYPE_CHECKING

from portguard.cli import output
from portguard.cli.paths import CONFIG
from portguard.model.finding import ExitCode

if TYPE_CHECKING:
    from collections.abc import Mapping

    from portguard.model.exposure import Exposure
    from portguard.model.net import AddressSet
    from portguard.model.snapshot import Snapshot

_EPILOG = """\
examples:
  portguard check                           judge this host
  portguard check --config new.toml         judge it as a new configuration would
  portguard check --json | jq .verdict      for monitoring

exit codes: 0 ok, 1 warning, 2 critical, 3 unknown, 78 the configuration is at fault
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the command line."""
    parser = subparsers.add_parser(
        "check",
        help="one full judgement without a daemon, writing nothing",
        description="Judge this host once: listeners, firewall and addresses against the documents. Writes nothing.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--config", metavar="FILE", type=Path, default=CONFIG, help=f"configuration (default: {CONFIG})"
    )
    parser.add_argument("--json", action="store_true", help="print JSON, as docs/status.md describes it")
    parser.add_argument("--all", action="store_true", help="show outgoing services too")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Judge, print, and tell the verdict by the exit code."""
    from portguard.core.judge import judge  # noqa: PLC0415 - what --help need not pay
    from portguard.core.lifecycle import Alert, AlertState  # noqa: PLC0415
    from portguard.core.report import report  # noqa: PLC0415
    from portguard.daemon.site import load_site  # noqa: PLC0415
    from portguard.kernel.real import SystemClock  # noqa: PLC0415

    site = load_site(args.config)
    snapshot, sensitive = look(site.policy.reserved)
    judgement = judge(site.policy, snapshot, sensitive)
    now = SystemClock().now()
    alerts = [Alert(finding=finding, state=AlertState.FIRING, since=now) for finding in judgement.findings]
    document = report(site.policy, judgement, alerts, (), host=socket.gethostname(), when=now, daemon=None)
    if args.json:
        output.print_json(document)
    else:
        from portguard.cli import show  # noqa: PLC0415

        show.show(output.console(), document, everything=args.all)
    return ExitCode.of(judgement.verdict)


def look(reserved: AddressSet | None = None) -> tuple[Snapshot, Mapping[int, Exposure]]:
    """Look at the host once, and for connections with reserved networks if any are given. What cannot be read is a gap in the snapshot; only a missing library raises ObserveError."""
    from portguard.daemon.observer import Observer  # noqa: PLC0415
    from portguard.kernel.real import open_world  # noqa: PLC0415

    world = open_world()
    try:
        observer = Observer(world)
        if reserved is not None:
            observer.watch_for(reserved)
        return observer.snapshot(), observer.sensitive()
    finally:
        world.close()
