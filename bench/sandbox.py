"""A network and mount namespace for one measurement, and processes that end with it.

The measurement is a process of its own, started by ``unshare``; the namespaces vanish with the last process in them.
Nothing is ever written in the namespace that the benchmark was started in.
"""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ROOT = Path(__file__).resolve().parents[1]
PYTHON = sys.executable

_LINKS = (
    "link set lo up",
    "link add eth0 type veth peer name cable",
    "addr add 10.0.0.10/24 dev eth0",
    "addr add 2001:db8:ff::10/64 dev eth0 nodad",
    "link set eth0 up",
    "link set cable up",
)
"""A host without an address could not be reached by anybody, and there would be nothing to judge."""

_ENDS_WITH_US = ("setpriv", "--pdeathsig", "KILL")
"""A benchmark that is killed leaves nothing behind."""


def network_namespace() -> int:
    """Inode of the network namespace that this process is in."""
    return Path("/proc/self/ns/net").stat().st_ino


def run_inside(name: str, options: Sequence[str]) -> list[dict[str, Any]]:
    """Run one measurement in namespaces of its own and return what it prints. Raises RuntimeError when it fails."""
    outside = str(network_namespace())
    command = [*_ENDS_WITH_US, "unshare", "--net", "--mount", PYTHON, "-m", "bench"]
    done = subprocess.run(
        [*command, "--inside", name, "--outside", outside, *options],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"{name} ended with {done.returncode}")
    result: list[dict[str, Any]] = json.loads(done.stdout)
    return result


def settle_in(outside: int) -> None:
    """Prepare the namespaces that this process was started in.

    Raises RuntimeError when it is still where the benchmark was started. The machine's /run is hidden: there is no
    journal to write alarms to, and whatever is written there goes with us.
    """
    if network_namespace() == outside:
        raise RuntimeError("refusing to measure in the machine's own network namespace")
    run("ip", "-batch", "-", text="".join(f"{line}\n" for line in _LINKS))
    run("mount", "-t", "tmpfs", "tmpfs", "/run")


def run(*argv: str, text: str = "", codes: tuple[int, ...] = (0,)) -> str:
    """Run a command to its end and return what it printed. Raises RuntimeError when its exit code is none of these."""
    done = subprocess.run(argv, input=text, capture_output=True, text=True, check=False)
    if done.returncode not in codes:
        raise RuntimeError(f"{' '.join(argv[:8])}: {done.stderr.strip() or done.returncode}")
    return done.stdout


@contextmanager
def child(*argv: str, **options: Any) -> Iterator[subprocess.Popen[str]]:
    """Run a process beside us; it is ended at the end of the block."""
    options = {"stdin": subprocess.DEVNULL, "cwd": ROOT, **options}
    process: subprocess.Popen[str] = subprocess.Popen([*_ENDS_WITH_US, *argv], text=True, **options)
    try:
        yield process
    finally:
        if process.stdin is not None:
            # A helper ends in order, and ends what it started, when there is nothing more to read.
            process.stdin.close()
        else:
            process.terminate()
        try:
            process.wait(5.0)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


class Helper:
    """A module of this package as a process that answers each line with one line."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def ask(self, line: str) -> str:
        """Send a line and wait for the answer. Raises RuntimeError when the helper is gone."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError("a helper process of the benchmark ended by itself")
        return answer.rstrip("\n")


@contextmanager
def helper(module: str, *argv: str, before: tuple[str, ...] = ()) -> Iterator[Helper]:
    """Start a module of this package, by way of the command ``before``, and wait until it says that it is ready.

    Raises RuntimeError when it does not.
    """
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with child(*before, PYTHON, "-m", module, *argv, **pipes) as process:
        assert process.stdout is not None
        if process.stdout.readline() != "ready\n":
            raise RuntimeError(f"{module} did not start")
        yield Helper(process)


def say(text: str) -> None:
    """Tell the person at the terminal how far it is."""
    print(f"bench: {text}", file=sys.stderr, flush=True)
