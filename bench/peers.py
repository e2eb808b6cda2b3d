"""firewalld and fail2ban, to compare with: fetched and unpacked, never installed, and run in namespaces of their own.

As a module it is a helper process: it puts the unpacked packages over /usr and /etc in its own mount namespace, starts the
peer there, and answers ``cpu`` with the clock ticks it has used, ``memory`` with its resident and proportional megabytes and
``time N`` with the milliseconds of N runs of its client.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench import processes, timing
from bench.sandbox import ROOT, Helper, child, helper, network_namespace, run, say

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

FOLDER = ROOT / "build/bench/peers"
_UNPACKED = FOLDER / "root"
_WHY_NOT = FOLDER / "why-not"
_PACKAGES = ("firewalld", "fail2ban", "python3-pyinotify", "dbus-daemon")
"""What a Debian host has with them, as far as it matters to an idle process; apt adds what these need."""
_READY_WITHIN = 30.0
_APART = ("unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
"""Process ids of its own too: whatever the peer starts, a bus or polkit, ends with the helper."""
_NO_MODULES = ("setpriv", "--bounding-set", "-sys_module")
"""Kernel modules belong to no namespace: firewalld is not to load any."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """A program that people run instead."""

    name: str
    server: tuple[str, ...]
    client: tuple[str, ...]
    """The command that asks it how it is."""
    folders: tuple[str, ...]
    """Directories that its packages or systemd would have made."""
    bus: bool = False


PEERS = (
    Peer(
        name="firewalld",
        server=(*_NO_MODULES, "/usr/sbin/firewalld", "--nofork", "--nopid"),
        client=("/usr/bin/firewall-cmd", "--state"),
        folders=("/run/dbus", "/run/firewalld"),
        bus=True,
    ),
    Peer(
        name="fail2ban",
        server=(*_NO_MODULES, "/usr/bin/fail2ban-server", "-xf", "start"),
        client=("/usr/bin/fail2ban-client", "status"),
        folders=("/run/fail2ban", "/var/lib/fail2ban"),
    ),
)


def fetch() -> None:
    """Download and unpack the packages that this machine does not have. What fails is noted, and said in the tables."""
    if _UNPACKED.is_dir() or all(Path(peer.server[3]).exists() for peer in PEERS):
        return
    say("downloading firewalld and fail2ban, to be run in namespaces of their own")
    archives = FOLDER / "archives"
    (archives / "partial").mkdir(parents=True, exist_ok=True)
    half = FOLDER / "unpacking"
    shutil.rmtree(half, ignore_errors=True)
    try:
        get = ["apt-get", "install", "-y", "-qq", "--download-only", "--no-install-recommends"]
        run(*get, "-o", f"Dir::Cache::archives={archives}", *_PACKAGES)
        for package in sorted(archives.glob("*.deb")):
            run("dpkg", "-x", str(package), str(half))
    except (RuntimeError, OSError) as error:
        _WHY_NOT.write_text(f"could not be downloaded: {error}", encoding="utf-8")
        return
    # Debian 12 still has packages that bring /lib, which is /usr/lib on every host.
    for name in ("lib", "bin", "sbin"):
        if (half / name).is_dir():
            shutil.copytree(half / name, half / "usr" / name, dirs_exist_ok=True, symlinks=True)
    _finish(half)
    half.rename(_UNPACKED)
    _WHY_NOT.unlink(missing_ok=True)


def _finish(unpacked: Path) -> None:
    """Do what the packages' own scripts would have done, as far as it makes a difference here."""
    # Without byte code every start compiles everything: slower, and much larger in memory.
    for place in ("lib/python3", "share"):
        if (unpacked / "usr" / place).is_dir():
            strip = ("-s", str(unpacked), "-p", "/")
            run(
                "/usr/bin/python3",
                "-m",
                "compileall",
                "-q",
                *strip,
                str(unpacked / "usr" / place),
                codes=(0, 1),
            )
    actions = unpacked / "usr/share/polkit-1/actions"
    policy = "org.fedoraproject.FirewallD1.server.policy.choice"
    if (actions / policy).exists():
        (actions / "org.fedoraproject.FirewallD1.policy").symlink_to(policy)


@contextmanager
def running() -> Iterator[dict[str, Helper | str]]:
    """Run all peers; gives a helper for each, or the reason why it could not be had."""
    found: dict[str, Helper | str] = {}
    why_not = _WHY_NOT.read_text(encoding="utf-8") if _WHY_NOT.exists() else ""
    with ExitStack() as stack:
        for peer in PEERS:
            try:
                say(f"starting {peer.name}")
                found[peer.name] = stack.enter_context(
                    helper("bench.peers", peer.name, str(network_namespace()), before=_APART)
                )
            except RuntimeError as error:
                found[peer.name] = why_not or str(error)
        yield found


def main() -> None:
    """Run one peer until the input ends."""
    name, outside = sys.argv[1:]
    assert network_namespace() != int(outside), (
        "refusing to start a firewall in a namespace that is not its own"
    )
    peer = next(row for row in PEERS if row.name == name)
    _prepare(peer)
    with ExitStack() as stack:
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        if peer.bus:
            bus = ("dbus-daemon", "--system", "--nofork", "--nopidfile")
            stack.enter_context(child(*bus, **quiet))
            _until(Path("/run/dbus/system_bus_socket").exists)
        process = stack.enter_context(child(*peer.server, **quiet))
        _until(lambda: subprocess.run(peer.client, check=False, capture_output=True).returncode == 0)
        if process.poll() is not None:
            raise RuntimeError(f"{name} ended with {process.returncode}")
        print("ready", flush=True)
        for line in sys.stdin:
            print(json.dumps(_answer(line.split(), peer, process.pid)), flush=True)


def _answer(words: list[str], peer: Peer, pid: int) -> object:
    match words:
        case ["cpu"]:
            return processes.cpu_ticks(pid)
        case ["memory"]:
            return processes.memory(pid)
        case ["time", repetitions]:
            return timing.program(*peer.client, repetitions=int(repetitions)).values
        case _:
            raise ValueError(f"{' '.join(words)} is no request")


def _prepare(peer: Peer) -> None:
    """Make this mount namespace look as if the packages were installed."""
    for top in ("usr", "etc"):
        if (_UNPACKED / top).is_dir():
            run("mount", "-t", "overlay", "overlay", "-o", f"lowerdir={_UNPACKED / top}:/{top}", f"/{top}")
    for place in ("/run", "/var/lib", "/var/log"):
        run("mount", "-t", "tmpfs", "tmpfs", place)
    for folder in peer.folders:
        Path(folder).mkdir(parents=True, exist_ok=True)
    # fail2ban's only jail of a fresh install reads this file, and does not start without it.
    Path("/var/log/auth.log").touch()
    os.environ["PATH"] = "/usr/sbin:/usr/bin:/sbin:/bin"


def _until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _READY_WITHIN
    while not true():
        if time.monotonic() > deadline:
            raise RuntimeError("it did not get ready in time")
        time.sleep(0.1)


if __name__ == "__main__":
    main()
