"""The harness itself: hosts boot, and nothing is left of them however a run ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from host.harness import leftovers
from host.harness.host import Host
from host.harness.report import record

if TYPE_CHECKING:
    from host.harness.debian import Debian
    from host.harness.site import Site

ENDLESS = """
import sys, time
sys.path.insert(0, {here!r})
from pathlib import Path
from host.harness.site import Site
with Site("doomed", [Path({root!r})]) as site:
    site.host.boot()
    print("up", flush=True)
    time.sleep(600)
"""
"""A run of the tests that waits to be interrupted."""


def test_a_host_boots_with_no_unit_failed_and_forgets_everything_but_its_disk_when_it_reboots(
    debian: Debian,
) -> None:
    with debian.bare() as site:
        host = site.host.boot()
        first = host.boot_seconds
        assert host.systemctl("is-system-running", "--wait", check=False) == "running", host.last_words()
        host.write("/etc/kept", "on disk")
        host.shell("echo in memory > /run/lost; nft add table inet mine")

        host.reboot()

        assert host.shell("cat /etc/kept") == "on disk"
        assert host.run("test", "-e", "/run/lost", check=False).returncode == 1
        assert site.ruleset() == ""
        boots = host.shell("journalctl --list-boots --no-pager --quiet | grep -c .")
        assert int(boots) == 2, "the journal of the first boot is gone"
        record(
            debian.name,
            "boot of a bare host",
            seconds=round(first, 2),
            again=round(host.boot_seconds, 2),
        )


def test_a_client_has_an_address_in_every_zone_and_reaches_the_server_from_each(bare: Site) -> None:
    for zone in ("workstations", "printers", "admins", "strangers"):
        for version in (4, 6):
            # Nobody listens there: a refusal is the proof that the way there and back exists.
            assert bare.client.reach(4321, zone, version=version) == "refused", (zone, version)


def test_hosts_of_one_release_do_not_see_each_others_files_units_and_networks(debian: Debian) -> None:
    with Host(debian.name, [debian.root]) as one, Host(debian.release.name, [debian.root]) as other:
        one.boot()
        other.boot()
        for host in (one, other):
            host.run("systemd-run", "--unit=same", "--quiet", "sleep", "60")
        one.write("/etc/mine", "x")

        one.systemctl("stop", "same")
        one.shell("nft add table inet mine")

        assert other.systemctl("is-active", "same", check=False) == "active"
        assert other.run("test", "-e", "/etc/mine", check=False).returncode == 1
        assert other.shell("nft list tables") == ""


def test_a_host_whose_plug_is_pulled_boots_again(debian: Debian) -> None:
    with Host(debian.name, [debian.root]) as host:
        host.boot()
        host.write("/etc/kept", "on disk")

        host.cut()
        host.boot()

        assert host.shell("cat /etc/kept") == "on disk"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_run_leaves_no_process_and_no_mount_and_the_next_takes_the_rest_away(
    debian: Debian, number: signal.Signals, tmp_path: Path
) -> None:
    script = ENDLESS.format(here=str(Path(__file__).parent.parent), root=str(debian.root))
    with (tmp_path / "errors").open("w+") as errors:
        run = subprocess.Popen(
            [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=errors, text=True
        )
        assert run.stdout is not None
        with run.stdout:
            assert run.stdout.readline() == "up\n", (tmp_path / "errors").read_text()
        assert any(row.startswith("process") for row in leftovers.found(run.pid))

        run.send_signal(number)
        run.wait(30)

    until = time.monotonic() + 10
    while any(row.startswith("process") for row in leftovers.found(run.pid)) and time.monotonic() < until:
        time.sleep(0.02)
    left = [row.split()[0] for row in leftovers.found(run.pid)]
    assert set(left) <= {"group", "folder"}, left
    leftovers.sweep()
    assert leftovers.found(run.pid) == []
    assert leftovers.found(os.getpid()) != [], "a run that lives must not be swept away"
