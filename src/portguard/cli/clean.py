"""``portguard clean``: take portguard's own rules out of the firewall. The package does so when it is removed."""

from __future__ import annotations

import argparse
import fcntl
import os
import sys
from pathlib import Path

from portguard.cli.paths import CONFIG, configured
from portguard.errors import NftError, ObserveError, UsageError
from portguard.model.finding import ExitCode
from portguard.model.paths import Paths

_EPILOG = """\
examples:
  portguard clean --dry-run                            what would be deleted, as nft text
  systemctl stop portguard && portguard clean          delete it

It deletes table inet portguard, rules with the comment portguard:... in tables that a person wrote, and the elements of
portguard_allow4 and portguard_allow6 there. Whatever these let in is decided by the other rules from then on.

exit codes: 0 nothing of portguard's is left, 3 it could not be read or deleted, 64 the daemon is running
"""
_TRIES = 5
"""Somebody else may change the same tables between the reading and the deleting."""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the command line."""
    parser = subparsers.add_parser(
        "clean",
        help="take portguard's own rules out of the firewall",
        description="Take portguard's own rules out of the firewall, and nothing else. The daemon must not be running.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="print what would be deleted, and delete nothing"
    )
    parser.add_argument(
        "--config",
        metavar="FILE",
        type=Path,
        default=CONFIG,
        help=f"where paths.status is read from: the daemon's lock lies beside it (default: {CONFIG})",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Read, delete, and look again until nothing is left."""
    from portguard.core.removal import removal  # noqa: PLC0415 - what --help need not pay
    from portguard.kernel.nft import Nft  # noqa: PLC0415

    if not args.dry_run and _running(configured(args.config, "status", Paths().status)):
        raise UsageError(
            "the daemon is running and would write it all again; first: systemctl stop portguard"
        )
    firewall = Nft()
    try:
        why = "somebody puts them back"
        for _ in range(_TRIES):
            ruleset = firewall.read()
            transaction = removal(ruleset)
            if args.dry_run or not transaction:
                break
            try:
                firewall.commit(transaction)
            except NftError as error:
                why = str(error)
        else:
            raise ObserveError(f"the rules could not be deleted: {why}")
        if args.dry_run:
            sys.stdout.write(str(transaction) or "# nothing of portguard's is there\n")
        if ruleset.unreadable:
            names = ", ".join(map(str, ruleset.unreadable))
            raise ObserveError(
                f"{names} could not be read: whether rules of portguard's are in there is not known"
            )
    finally:
        firewall.close()
    return ExitCode.OK


def _running(status: Path) -> bool:
    """Whether a daemon holds the lock beside the status file."""
    try:
        descriptor = os.open(status.with_name(f"{status.name}.lock"), os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False
