"""A host in a namespace of the test's own, guarded by the real daemon as a process of its own."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from namespaces import MAIN, namespace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from namespaces import Netns

PATIENCE = 15.0
"""Seconds after which something that has to happen is called missing."""

CONFIG = """\
role = "printum/all-in-one"
mode = "heal"
[zones]
workstations = ["10.1.0.0/16", "2001:db8:1::/48"]
printers = ["10.2.0.0/16"]
admins = ["10.9.0.0/24"]
[hosts]
"printum/redis-sentinel" = ["10.1.0.11"]
[listener]
grace = "1s"
[intervals]
listeners = 0.1
[paths]
status = "{folder}/status.json"
state = "{folder}/state"
catalogue = "{folder}/catalogue.d"
trace = "{folder}/no-trace-instance"
"""

_OWN_RUN = "mount -t tmpfs tmpfs /run && mkdir -p /run/layer/up /run/layer/work /run/systemd/netif/leases /run/systemd/sessions"
_OWN_ETC = "mount -t overlay overlay -o lowerdir=/etc,upperdir=/run/layer/up,workdir=/run/layer/work /etc"
FILES_OF_ITS_OWN = (
    "unshare", "--mount", "--propagation", "private",
    "sh", "-c", f'{_OWN_RUN} && {_OWN_ETC} && exec "$@"', "sh",
)  # fmt: skip
"""Starts a daemon that sees none of the machine's /run, and whose /etc can be written to through ``/proc/PID/root``."""


def eventually(what: Callable[[], Any], describe: str) -> Any:
    """Wait until something is true, and give it; fail with its description otherwise."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        if value := what():
            return value
        time.sleep(0.02)
    raise AssertionError(f"never happened: {describe}")


class GuardedHost:
    """The daemon, its configuration and its status."""

    def __init__(self, netns: Netns, folder: Path) -> None:
        self.netns = netns
        self.folder = folder
        self.config = folder / "portguard.toml"
        self.status_file = folder / "status.json"
        self.errors = folder / "stderr"
        self.process: subprocess.Popen[bytes] | None = None
        self.config.write_text(CONFIG.format(folder=folder))
        netns.run("ip", "link", "add", "eth0", "type", "veth", "peer", "name", "eth1")
        netns.run("ip", "address", "add", "10.1.0.1/16", "dev", "eth0")
        netns.run("ip", "link", "set", "eth0", "up")
        netns.run("ip", "link", "set", "eth1", "up")

    def start(self, *through: str, **environ: str) -> None:
        """Start the daemon, as the argument of another command if one is given, and wait for its first status."""
        assert namespace() != MAIN
        self.status_file.unlink(missing_ok=True)
        with self.errors.open("ab") as errors:
            self.process = subprocess.Popen(
                [*through, sys.executable, "-m", "portguard", "run", "--config", str(self.config)],
                stderr=errors,
                env={**os.environ, **environ},
            )
        eventually(
            lambda: self.process and (self.process.poll() is not None or self.status_file.exists()),
            "a status",
        )
        assert self.process.poll() is None, self.log()

    def stop(self, number: int = signal.SIGTERM) -> int:
        """End the daemon, and give its exit code."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(number)
        code = self.process.wait(timeout=PATIENCE)
        self.process = None
        return code

    def log(self) -> str:
        """Everything that it said."""
        return self.errors.read_text()

    def status(self) -> dict[str, Any]:
        """What it knows now."""
        document: dict[str, Any] = json.loads(self.status_file.read_text())
        return document

    def said(self, event: str, state: str = "firing") -> list[str]:
        """Alerts of a kind."""
        return [line for line in self.log().splitlines() if f"| event={event} state={state} " in line]

    def wait_for(self, event: str, state: str = "firing", *, count: int = 1) -> list[str]:
        """Wait for so many alerts of a kind, and give them."""
        eventually(lambda: len(self.said(event, state)) >= count, f"{count} times {event} {state}")
        return self.said(event, state)

    def command(self, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
        """Run a portguard command in the namespace."""
        return subprocess.run(
            [sys.executable, "-m", "portguard", *arguments],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env={**os.environ, **environ},
        )

    # --- the ruleset -------------------------------------------------------------------------------------------

    def own_rules(self) -> list[str]:
        """Rules of the own table as nft prints them, without counters' figures; none when there is no table."""
        done = subprocess.run(
            ["nft", "--stateless", "list", "table", "inet", "portguard"],
            capture_output=True,
            text=True,
            check=False,
        )
        lines = [line.strip() for line in done.stdout.splitlines()]
        return [
            re.sub(r"counter packets \d+ bytes \d+", "counter", line) for line in lines if "comment" in line
        ]

    def handle(self, comment: str) -> str:
        """Handle of the first rule of the own table with this comment."""
        listing = self.netns.run("nft", "-a", "list", "table", "inet", "portguard")
        line = next(line for line in listing.splitlines() if f'"portguard:{comment}"' in line)
        return str(line.rpartition("handle ")[2].strip())


@contextmanager
def guarded_host(netns: Netns, folder: Path) -> Iterator[GuardedHost]:
    """Make a host, and end its daemon whatever happens."""
    host = GuardedHost(netns, folder)
    try:
        yield host
    finally:
        if host.process is not None and host.process.poll() is None:
            host.process.kill()
            host.process.wait()
