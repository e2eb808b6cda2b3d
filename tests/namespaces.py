"""Network namespaces that a test makes for itself."""

from __future__ import annotations

import ctypes
import os
import re
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

CLONE_NEWNET = 0x40000000
NAMESPACE = Path("/proc/thread-self/ns/net")

HOST_STATE = (
    ("nft", "--stateless", "list", "ruleset"),
    ("ip", "-oneline", "address", "show"),
    ("ip", "-4", "route", "show", "table", "all"),
    ("ip", "-6", "route", "show", "table", "all"),
)
PASSES_BY_ITSELF = re.compile(r"(valid_lft|preferred_lft|expires) \S+")
"""Lifetimes of leased addresses run down without anybody's doing."""

_libc = ctypes.CDLL(None, use_errno=True)


class Netns:
    """A network namespace that the test's thread is in, with its loopback up."""

    def run(self, *command: str, stdin: str = "") -> str:
        """Run a program in it; returns what it prints. Fails the test when the program fails."""
        assert namespace() != MAIN, "refusing to run a test's command in the host's own namespace"
        done = subprocess.run(command, input=stdin, check=False, capture_output=True, text=True, timeout=30)
        assert done.returncode == 0, f"{' '.join(command)}: {done.stderr or done.stdout}"
        return done.stdout

    def nft(self, *commands: str) -> str:
        """Run nft commands as one transaction by a program of its own, as an administrator would."""
        return self.run("nft", "-f", "-", stdin="\n".join(commands))


def namespace() -> int:
    """Inode of the network namespace that this thread is in."""
    return NAMESPACE.stat().st_ino


MAIN = namespace()
"""The namespace pytest was started in: the machine may hang on its connection, so no test changes it."""


@contextmanager
def fresh_namespace() -> Iterator[Netns]:
    """Move this thread, and what it starts, into a new network namespace; move it back at the end."""
    with NAMESPACE.open("rb") as home:
        before = namespace()
        _call("unshare", _libc.unshare(CLONE_NEWNET))
        try:
            assert namespace() not in {before, MAIN}, "the thread is still where it was"
            inside = Netns()
            inside.run("ip", "link", "set", "lo", "up")
            yield inside
        finally:
            _call("setns", _libc.setns(home.fileno(), CLONE_NEWNET))
            assert namespace() == before, "the thread did not come back"


def _call(name: str, result: int) -> None:
    """Turn a failed system call into a failed test."""
    if result != 0:
        pytest.fail(f"{name}: {os.strerror(ctypes.get_errno())}; kernel tests need root")


def host_state() -> dict[str, str]:
    """Ruleset, addresses and routes of the namespace that this thread is in, without what passes by itself."""
    state = {}
    for command in HOST_STATE:
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=30)
        if done.returncode != 0:
            pytest.fail(f"cannot watch the host: {' '.join(command)}: {done.stderr.strip()}; needs root")
        state[" ".join(command)] = PASSES_BY_ITSELF.sub(r"\1", done.stdout)
    return state
