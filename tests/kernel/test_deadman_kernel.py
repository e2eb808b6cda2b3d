"""The dead man: whoever dies while something is closed and unconfirmed, the kernel opens it again, without any help."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest
from contain_host import STRANGER, ContainHost, contain_host
from guarded_host import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from namespaces import Netns

pytestmark = pytest.mark.kernel

WITHIN = 2
"""Seconds that the dead man runs in these tests."""
SLACK = 1.5
"""Seconds beyond that within which the host must be reachable: a look, and a connection that is dropped once more."""
MOMENTS = 50
SERIES = 5
"""Hosts that share the moments: most of the time of this test is waiting, which goes side by side."""


@pytest.fixture
def host(netns: Netns, tmp_path: Path) -> Iterator[ContainHost]:
    """A host with an exposed Redis, and its daemon."""
    with contain_host(netns, tmp_path) as made:
        made.redis(6390)
        made.start()
        yield made


def reachable_by_itself(host: ContainHost) -> None:
    """Hold the kernel to its word: within the time the port is open again, with nobody left to open it."""
    until = time.monotonic() + WITHIN + SLACK
    while host.reaches(STRANGER, 6390, patience=0.1) != "open":
        assert time.monotonic() < until, f"still shut; armed: {host.armed()}"


@pytest.mark.parametrize("series", range(SERIES))
def test_for_fifty_moments_of_killing_daemon_shell_or_both_the_host_is_reachable_again(
    host: ContainHost, series: int
) -> None:
    """Each round kills somewhere between the order and past the end of the dead man's time, whatever state that is."""
    chance = random.Random(20261121 + series)
    closed_at_death = 0
    for number in range(MOMENTS)[series::SERIES]:
        victims = ("daemon", "shell", "both")[number % 3]
        shell = subprocess.Popen(
            [sys.executable, "-m", "portguard", "mode", "--config", str(host.config), "contain",
             "--confirm-within", str(WITHIN)],
            env={**os.environ, "SSH_CONNECTION": ""}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        # Half of the moments lie anywhere after the order, half after the arming: the time until then is the longer part.
        if number % 2:
            _wait_for_arming(host, shell)
            time.sleep(chance.uniform(0.0, WITHIN))
        else:
            time.sleep(chance.uniform(0.0, 1.5))
        if victims != "daemon":
            with contextlib.suppress(ProcessLookupError):
                shell.kill()
        if victims != "shell":
            host.stop(signal.SIGKILL)
        shell.wait(timeout=60)
        closed_at_death += host.reaches(STRANGER, 6390, patience=0.1) == "dropped"

        if victims == "shell":
            # The daemon lives and may still arm: from then on the same time counts.
            _wait_for_end(host)
        else:
            reachable_by_itself(host)
        assert host.reaches(STRANGER, 6390) == "open"
        if host.process is None:
            host.start()
            assert host.reaches(STRANGER, 6390) == "open", "a new daemon does not arm by itself"
    assert closed_at_death >= MOMENTS // SERIES // 5, (
        "the moments did not hit the time in which it was closed"
    )


def _wait_for_arming(host: ContainHost, shell: subprocess.Popen[bytes]) -> None:
    eventually(lambda: host.armed() or shell.poll() is not None, "armed")


def _wait_for_end(host: ContainHost) -> None:
    """Wait until the order is over, and hold the host to the time from the arming on."""
    eventually(lambda: host.armed() or host.status()["mode"] == "heal", "armed, or never ordered")
    reachable_by_itself(host)
    eventually(lambda: host.status()["mode"] == "heal", "the daemon knows that it is over")


def test_a_stopped_daemon_holds_nothing_shut(host: ContainHost) -> None:
    """SIGSTOP is worse than death: it holds its sockets, and answers nobody."""
    host.contain(WITHIN)
    assert host.process is not None
    host.process.send_signal(signal.SIGSTOP)
    reachable_by_itself(host)
    host.process.send_signal(signal.SIGCONT)
    eventually(lambda: host.status()["mode"] == "heal", "it notices")
    assert host.reaches(STRANGER, 6390) == "open"


def test_what_nobody_confirmed_is_never_armed_again(host: ContainHost) -> None:
    host.contain(60)
    assert host.reaches(STRANGER, 6390) == "dropped"
    host.netns.nft("flush ruleset")
    host.wait_for("rule_healed", "resolved", count=2)
    eventually(lambda: host.status()["mode"] == "heal", "the order is over")

    assert host.armed() == []
    assert host.reaches(STRANGER, 6390) == "open"
    assert any("the dead man does not run any more" in line for line in host.said("mode_changed"))
    assert host.order("confirm")[0] == 3


def test_a_new_daemon_takes_the_running_dead_man_over_and_does_not_prolong_it(host: ContainHost) -> None:
    host.contain(30)
    host.stop(signal.SIGKILL)
    before = host.armed()
    time.sleep(2.0)
    host.start()
    eventually(lambda: host.status()["order"]["disarms_in"] is not None, "it knows of the dead man")

    left = [row["elem"]["expires"] for row in host.armed()]
    assert left
    assert max(left) <= min(row["elem"]["expires"] for row in before) - 1
    assert host.reaches(STRANGER, 6390) == "dropped"
    assert host.order("confirm")[0] == 0
    assert host.armed() == ["tcp", "udp"]


def test_a_confirmation_that_comes_too_late_arms_nothing(host: ContainHost) -> None:
    host.contain(WITHIN)
    assert host.process is not None
    host.process.send_signal(signal.SIGSTOP)
    reachable_by_itself(host)
    late = subprocess.Popen(
        [sys.executable, "-m", "portguard", "confirm", "--config", str(host.config)],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    time.sleep(0.5)
    host.process.send_signal(signal.SIGCONT)
    _, said = late.communicate(timeout=60)

    assert late.returncode == 3, said
    assert host.reaches(STRANGER, 6390) == "open"
    assert "tcp" not in host.armed()


def test_ordering_it_again_starts_the_time_anew(host: ContainHost) -> None:
    host.contain(5)
    host.contain(60)

    assert min(row["elem"]["expires"] for row in host.armed()) > 50
    assert host.reaches(STRANGER, 6390) == "dropped"
