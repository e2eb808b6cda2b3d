"""What happens to a server in its life: reboots, reloads, crashes, and a machine that is not as it should be."""

from __future__ import annotations

import time
from datetime import datetime
from typing import TYPE_CHECKING

import pytest

from host.harness.report import record
from host.harness.site import CONFIG, configuration, own_rules

if TYPE_CHECKING:
    from host.harness.debian import Debian
    from host.harness.network import Namespace
    from host.harness.site import Site

PORT = 8010
STRAY = """\
[Service]
Type=exec
ExecStart=/usr/bin/python3 /opt/stray.py
[Install]
WantedBy=multi-user.target
"""
"""A listener that nobody documented, which is told once."""

STEPPED = """\
import datetime, time
real, clock = datetime.datetime, time.time
def days():
    with open("/etc/clock") as file:
        return int(file.read())
class Stepped(real):
    @classmethod
    def now(cls, tz=None):
        return real.now(tz) + datetime.timedelta(days=days())
datetime.datetime = Stepped
time.time = lambda: clock() + 86400 * days()
"""
"""A clock of the day that /etc/clock moves, and the monotonic one left alone: as after a correction of the machine's clock.
libfaketime of Debian 12 makes time.sleep() fail at random."""

QUICK = "[Service]\nRestartSec=200ms\n"
DROP_IN = "/etc/systemd/system/portguard.service.d/50-test.conf"


def main_pid(site: Site) -> str:
    return site.host.show("portguard.service", "MainPID")["MainPID"]


def restarted(site: Site, before: str) -> str:
    """Wait until another process is portguard and has judged the host; gives its number."""
    wanted = ("MainPID", "ActiveState")

    def another() -> str | None:
        state = site.host.show("portguard.service", *wanted)
        return (
            state["MainPID"]
            if state["ActiveState"] == "active" and state["MainPID"] not in ("0", before)
            else None
        )

    found: str = site.host.wait_for(another, "another daemon")
    return found


def break_and_see_it_healed(site: Site) -> None:
    """Take a rule away that lets workstations in, and see that they are let in again."""
    rules = own_rules(site)
    site.host.shell("nft -f /etc/nftables.conf")
    site.host.wait_for(lambda: own_rules(site) == rules, "every rule as it was")
    assert site.client.reach(PORT) == "open"


def stray(site: Site) -> None:
    """Start an undocumented listener, now and at every boot, and wait until it was told."""
    site.host.write(
        "/opt/stray.py", "import socket, time\nkept = socket.create_server(('', 4444))\ntime.sleep(600)\n"
    )
    site.host.write("/etc/systemd/system/stray.service", STRAY)
    site.host.systemctl("enable", "--now", "stray")
    site.alerted("listener_unexpected", port="4444")


def test_after_a_reboot_the_documented_ports_are_open_and_nothing_is_told_again(host: Site) -> None:
    rules = own_rules(host)
    stray(host)

    host.host.reboot()
    up = time.monotonic()
    host.host.wait_for(lambda: host.client.reach(PORT) == "open", "the port open again")
    opened = time.monotonic() - up

    host.settled()
    assert own_rules(host) == rules
    assert host.client.reach(PORT, "strangers") == "dropped"
    host.host.wait_for(lambda: host.alerts("heartbeat"), "the first look")
    time.sleep(2.5)  # longer than the grace of an undocumented listener
    assert host.alerts("listener_unexpected") == []
    record(
        host.host.release,
        "reboot",
        boot_seconds=round(host.host.boot_seconds, 2),
        then_open_after=round(opened, 2),
    )


def test_a_reload_returns_when_the_new_configuration_is_in_force(host: Site) -> None:
    host.configure(
        configuration(more='[[extra]]\ntransport = "tcp"\nport = 9100\nfrom = "admins"\nreason = "agent"\n')
    )

    host.host.systemctl("reload", "portguard")

    assert "tcp dport 9100" in host.ruleset()
    (changed,) = host.alerts("config_changed")
    assert changed["_SYSTEMD_UNIT"] == "portguard.service"


def test_a_reload_with_a_fault_fails_says_why_and_changes_nothing(host: Site) -> None:
    rules, pid = own_rules(host), main_pid(host)
    host.configure(configuration().replace('mode = "heal"', 'mode = "hael"'))

    host.alerted("config_rejected")  # the file is read as soon as it is written, and again on request
    reload = host.host.run("systemctl", "reload", "portguard", check=False)

    assert reload.returncode != 0
    assert (main_pid(host), own_rules(host)) == (pid, rules)
    (rejected,) = host.alerts("config_rejected")
    fault = f"{CONFIG}:2: mode: 'hael' is none of observe, heal, contain, enforce; did you mean heal?"
    assert fault in rejected["MESSAGE"]
    # What systemctl points at has the line of its own that says what to mend.
    said = host.host.run("systemctl", "status", "--no-pager", "--full", "portguard", check=False).stdout
    assert f"portguard: {fault}\n" in said
    assert host.host.systemctl("is-active", "portguard") == "active"
    host.configure(configuration())
    host.host.systemctl("reload", "portguard")
    assert host.status()["daemon"].get("config_rejected") in (None, [])


def test_a_killed_daemon_is_started_again_and_its_rules_never_leave_the_kernel(host: Site) -> None:
    host.host.write(DROP_IN, QUICK)
    host.host.systemctl("daemon-reload")
    stray(host)
    rules, pid = own_rules(host), main_pid(host)

    with host.client.watch(PORT, every=0.005) as watch:
        host.host.systemctl("kill", "--signal=KILL", "portguard")
        new = restarted(host, pid)
        host.host.wait_for(lambda: host.status()["daemon"]["pid"] == int(new), "its first status")

    assert watch.failed == []
    assert own_rules(host) == rules
    break_and_see_it_healed(host)
    assert len(host.alerts("listener_unexpected", port="4444")) == 1, "what people were told outlives a crash"


def test_rules_that_vanish_while_the_daemon_is_down_are_back_when_it_is_up(host: Site) -> None:
    rules = own_rules(host)
    host.host.systemctl("stop", "portguard")
    host.host.shell("nft -f /etc/nftables.conf")
    assert host.client.reach(PORT) == "dropped"

    host.host.systemctl("start", "portguard")

    host.host.wait_for(lambda: own_rules(host) == rules, "every rule as it was")
    assert host.client.reach(PORT) == "open"


def test_a_daemon_that_hangs_is_ended_by_the_watchdog_and_started_again(host: Site) -> None:
    host.host.write(DROP_IN, QUICK + "WatchdogSec=2s\n")
    host.host.systemctl("daemon-reload")
    host.host.systemctl("restart", "portguard")
    host.settled()
    pid = main_pid(host)
    time.sleep(3)
    assert main_pid(host) == pid, "a daemon that does its work is left alone"

    host.host.systemctl("kill", "--signal=STOP", "--kill-who=main", "portguard")

    restarted(host, pid)
    said = host.host.run("journalctl", "-b", "--no-pager", "_PID=1", "-u", "portguard").stdout
    assert "Watchdog timeout" in said
    break_and_see_it_healed(host)


def test_alerts_reach_a_journal_that_was_restarted(host: Site) -> None:
    stray(host)
    host.host.systemctl("restart", "systemd-journald")

    host.host.systemctl("stop", "stray")
    break_and_see_it_healed(host)

    assert len(host.alerted("listener_unexpected", "resolved", port="4444")) == 1
    assert host.alerted("rule_removed")
    assert len(host.alerts("listener_unexpected", port="4444")) == 1


def test_with_a_full_run_it_heals_and_says_that_its_status_is_old(host: Site) -> None:
    host.host.shell("mount -o remount,size=2m /run; dd if=/dev/zero of=/run/filled bs=4k 2>/dev/null || true")
    assert host.host.shell("df --output=avail /run | tail -1").strip() == "0"

    break_and_see_it_healed(host)

    alerts = host.alerted("visibility_degraded")
    assert any("status" in alert["MESSAGE"] for alert in alerts)
    assert host.host.systemctl("is-active", "portguard") == "active"
    host.host.shell("mount -o remount,size=256m /run; rm /run/filled")
    host.alerted("visibility_degraded", "resolved")
    stray(host)
    host.host.wait_for(
        lambda: any(row["kind"] == "listener_unexpected" for row in host.status()["findings"]), "a new status"
    )


@pytest.mark.parametrize("days", [2, -2])
def test_a_stepped_clock_neither_stops_heals_nor_tells_anything_twice(unbooted: Site, days: int) -> None:
    """A host has no clock of its own: every Python on it gets a stepped one, the kernel and journald do not."""
    host = unbooted.host
    host.write("/etc/clock", "0")
    host.write("/usr/lib/python3/dist-packages/stepped.py", STEPPED)
    host.write("/usr/lib/python3/dist-packages/stepped.pth", "import stepped\n")
    host.boot()
    unbooted.settled()
    stray(unbooted)
    before = datetime.fromisoformat(unbooted.status()["time"])

    host.shell(f"echo {days} > /etc/clock.new; mv /etc/clock.new /etc/clock")

    break_and_see_it_healed(unbooted)

    def stepped() -> bool:
        now = datetime.fromisoformat(unbooted.status()["time"])
        return abs((now - before).total_seconds()) > 86400

    host.wait_for(stepped, "a status of the new time")
    time.sleep(3)  # longer than the grace of an undocumented listener
    break_and_see_it_healed(unbooted)
    assert len(unbooted.alerts("listener_unexpected", port="4444")) == 1
    assert host.show("portguard.service", "NRestarts")["NRestarts"] == "0"
    host.systemctl("stop", "stray")
    assert len(unbooted.alerted("listener_unexpected", "resolved", port="4444")) == 1


def test_a_machine_without_ipv6_is_guarded_like_any_other(debian: Debian) -> None:
    def without(namespace: Namespace) -> None:
        for name in ("all", "default", "lo"):
            namespace.sysctl(f"net.ipv6.conf.{name}.disable_ipv6", "1")

    with debian.installed(without) as site:
        site.configure(configuration())
        site.drop()
        site.sell([(PORT, "tcp")])
        site.host.boot()
        assert "inet6" not in site.host.shell("ip address show")
        site.settled()

        assert site.client.reach(PORT) == "open"
        assert site.client.reach(PORT, "strangers") == "dropped"
        break_and_see_it_healed(site)
        assert site.status()["gaps"] == []
        assert site.alerts("visibility_degraded") == []


@pytest.mark.parametrize(
    "setting",
    ["PrivateNetwork=yes", "RestrictAddressFamilies=\nRestrictAddressFamilies=AF_UNIX", "PrivateUsers=yes"],
    ids=["no way to the host's network", "no netlink", "no capability"],
)
def test_a_daemon_that_cannot_see_the_hosts_firewall_never_calls_it_fine_and_changes_nothing(
    unbooted: Site, setting: str
) -> None:
    host = unbooted.host
    host.write(DROP_IN, f"[Service]\nRestartSec=200ms\n{setting}\n")
    host.boot()
    host.wait_for(
        lambda: (
            unbooted.alerts("visibility_degraded")
            or int(host.show("portguard.service", "NRestarts")["NRestarts"]) > 1
        ),
        "a complaint",
    )

    status = host.run("portguard", "status", check=False)

    assert status.returncode == 3, status.stdout
    assert own_rules(unbooted) == []
    assert unbooted.client.reach(PORT) == "dropped", "nothing was opened by who cannot see"
