"""``portguard run``: the daemon, in the foreground, under systemd or a terminal."""

from __future__ import annotations

import argparse
import fcntl
import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING

from portguard.cli.paths import CONFIG
from portguard.errors import ObserveError
from portguard.model.finding import ExitCode

if TYPE_CHECKING:
    from portguard.daemon.watch import ConfigWatch

_EPILOG = """\
examples:
  portguard run                                   guard this host as /etc/portguard/portguard.toml says
  PORTGUARD_MODE=observe portguard run            look and report, write nothing
  systemctl start portguard                       the same, as a service

signals:
  SIGHUP            read the configuration again; a bad one is rejected and the old one stays
  SIGTERM, SIGINT   stop; the rules stay in place
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the command line."""
    parser = subparsers.add_parser(
        "run",
        help="the daemon, in the foreground",
        description="Guard this host: watch sockets and firewall, heal what is missing, alert on what is exposed.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--config", metavar="FILE", type=Path, default=CONFIG, help=f"configuration (default: {CONFIG})"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Guard until a signal ends it."""
    from portguard.alert.sink import open_sink  # noqa: PLC0415 - the daemon's parts cost time that --help must not
    from portguard.daemon.loop import Daemon  # noqa: PLC0415
    from portguard.daemon.notify import Notifier  # noqa: PLC0415
    from portguard.daemon.site import load_site  # noqa: PLC0415
    from portguard.kernel.elsewhere import of_the_host  # noqa: PLC0415
    from portguard.kernel.real import open_world  # noqa: PLC0415

    path: Path = args.config
    # Watched before it is read, so that no change in between is lost.
    watch = _watch(path)
    site = load_site(path)
    lock = _lock(site.config.paths.status)
    world = of_the_host(open_world(trace=site.config.paths.trace))
    try:
        Daemon(
            world=world,
            load=lambda: load_site(path),
            site=site,
            sink=open_sink(),
            notifier=Notifier(),
            watch=watch,
            host=socket.gethostname(),
        ).run()
    finally:
        if watch is not None:
            watch.stop()
        world.close()
        os.close(lock)
    return ExitCode.OK


def _watch(path: Path) -> ConfigWatch | None:
    """Watch the configuration; None where inotify is not to be had, which the daemon reports as a gap."""
    from portguard.daemon.watch import ConfigWatch  # noqa: PLC0415

    try:
        return ConfigWatch(path)
    except ObserveError:
        return None


def _lock(status: Path) -> int:
    """Hold a lock beside the status file: two daemons on one host would fight each other.

    Raises ObserveError when it cannot be had. The lock goes with the process, however that ends.
    """
    try:
        status.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(
            status.with_name(f"{status.name}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640
        )
    except OSError as error:
        raise ObserveError(f"{status.parent} cannot be written: {error.strerror}; is this root?") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise ObserveError(f"another portguard runs already with {status}") from None
    return descriptor
