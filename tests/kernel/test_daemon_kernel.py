"""The real daemon on the real kernel: it heals, it says who did it, it loses nothing, and it never makes things worse."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from guarded_host import GuardedHost, eventually, guarded_host

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from namespaces import Netns

pytestmark = pytest.mark.kernel


@pytest.fixture
def host(netns: Netns, tmp_path: Path) -> Iterator[GuardedHost]:
    """A host whose daemon is not started yet."""
    with guarded_host(netns, tmp_path) as guarded:
        yield guarded


def test_every_blow_to_the_own_table_is_healed_and_named(host: GuardedHost) -> None:
    host.start()
    whole = host.own_rules()
    assert len(whole) > 20
    blows = [
        ("rule_removed", f"delete rule inet portguard input handle {host.handle('printum/portal-web')}"),
        ("rule_removed", "delete table inet portguard"),
        ("rule_removed", "flush ruleset"),
        ("rule_removed", "flush chain inet portguard input"),
        ("rule_altered", "flush set inet portguard workstations_4"),
        (
            "rule_altered",
            'insert rule inet portguard input tcp dport 8001 drop comment "portguard:printum/portal-web"',
        ),
    ]
    for number, (event, blow) in enumerate(blows, 1):
        host.netns.nft(blow)
        host.wait_for("rule_healed", "resolved", count=1 + number)
        assert sorted(host.own_rules()) == sorted(whole), blow
        assert "actor_comm=nft" in host.said(event)[-1], blow
    heals = host.status()["heals"]
    assert len(heals) == 1 + len(blows)
    assert all(row["actor"]["comm"] == "nft" and row["actor"]["pid"] > 0 for row in heals[1:])
    assert all(row["took_ms"] > 0 for row in heals)


def test_a_heal_after_which_nothing_is_written_again(host: GuardedHost) -> None:
    host.start()
    host.netns.nft("delete table inet portguard")
    eventually(lambda: len(host.said("rule_healed", "resolved")) == 2, "the heal")
    listing = host.netns.run("nft", "-a", "list", "table", "inet", "portguard")
    host.netns.run("ip", "address", "add", "10.1.0.2/16", "dev", "eth0")
    eventually(lambda: host.command("check", "--config", str(host.config)).returncode in (0, 2), "a look")

    handles = [line.rpartition("# handle")[2] for line in listing.splitlines()]
    again = host.netns.run("nft", "-a", "list", "table", "inet", "portguard")
    assert [line.rpartition("# handle")[2] for line in again.splitlines()] == handles


def test_a_host_without_etc_protocols_is_guarded_like_any_other(host: GuardedHost) -> None:
    """A minimal system lacks the file: nft then knows few protocols by name, and prints their numbers."""
    hide = '[ ! -e /etc/protocols ] || mount --bind /dev/null /etc/protocols; exec "$@"'
    host.start("unshare", "--mount", "sh", "-ec", hide, "sh")
    whole = host.own_rules()
    host.netns.nft("delete table inet portguard", "add table inet foreign")
    host.wait_for("rule_healed", "resolved", count=2)
    listing = host.netns.run("nft", "-a", "list", "table", "inet", "portguard")
    host.netns.nft("delete table inet foreign")
    eventually(lambda: host.command("check", "--config", str(host.config)).returncode in (0, 2), "a look")

    assert sorted(host.own_rules()) == sorted(whole)
    assert any("icmp" in line for line in whole)
    assert host.netns.run("nft", "-a", "list", "table", "inet", "portguard") == listing
    assert "heal_failed" not in host.log()


def test_a_drop_table_is_opened_where_it_drops_and_a_ban_in_it_stays(host: GuardedHost) -> None:
    host.start()
    host.netns.nft(
        "add table inet site",
        "add chain inet site input { type filter hook input priority 0; policy drop; }",
        "add rule inet site input ct state established,related accept",
        "add rule inet site input ip saddr 10.1.66.0/24 drop",
    )
    chain = eventually(
        lambda: [
            line.strip()
            for line in host.netns.run("nft", "list", "chain", "inet", "site", "input").splitlines()
            if "portguard:printum/monitoring-web-tls" in line
        ],
        "a marked rule",
    )
    assert any("ip saddr 10.1.0.0/16 tcp dport 8001" in line for line in chain)
    listing = host.netns.run("nft", "list", "chain", "inet", "site", "input")
    assert listing.index("10.1.66.0/24 drop") < listing.index("portguard:")
    eventually(lambda: host.status()["manager"] == "nftables", "the manager")
    eventually(lambda: host.said("required_port_blocked"), "the ban is reported")
    assert "on purpose" in host.said("required_port_blocked")[0]
    assert not host.said("heal_ineffective")


def test_a_writer_that_keeps_undoing_it_gets_one_alert_and_a_rest(host: GuardedHost) -> None:
    host.start()
    for number in range(4):
        host.netns.nft(f"delete rule inet portguard input handle {host.handle('printum/haproxy-panel')}")
        if number < 3:
            host.wait_for("rule_healed", "resolved", count=2 + number)
    eventually(lambda: host.said("heal_suspended"), "the alert")

    assert not any("haproxy-panel" in rule for rule in host.own_rules())
    assert len(host.said("heal_suspended")) == 1
    assert "haproxy-panel" in host.said("heal_suspended")[0]
    assert len(host.said("rule_removed")) == 3


def test_sigterm_leaves_the_rules_in_place(host: GuardedHost) -> None:
    host.start()
    rules = host.own_rules()

    assert host.stop() == 0
    assert host.own_rules() == rules


def test_killed_at_any_moment_it_finds_its_table_again(host: GuardedHost) -> None:
    host.start()
    whole = host.own_rules()
    host.stop(signal.SIGKILL)
    assert host.own_rules() == whole
    host.netns.nft(f"delete rule inet portguard input handle {host.handle('printum/portal-web')}")

    host.start()
    eventually(lambda: sorted(host.own_rules()) == sorted(whole), "the table as it was")
    host.stop(signal.SIGKILL)
    host.start()
    assert sorted(host.own_rules()) == sorted(whole)


def test_a_table_of_our_name_that_somebody_else_made_stays_as_it_is(host: GuardedHost) -> None:
    host.netns.nft(
        "add table inet portguard",
        "add chain inet portguard mine { type filter hook input priority 0; policy accept; }",
        'add rule inet portguard mine tcp dport 22 accept comment "my own"',
    )
    before = host.netns.run("nft", "-a", "list", "ruleset")
    host.start()

    eventually(lambda: host.said("heal_failed"), "the alert")
    assert "made by somebody else" in host.said("heal_failed")[0]
    assert host.netns.run("nft", "-a", "list", "ruleset") == before


def test_observe_writes_nothing(host: GuardedHost) -> None:
    host.start(PORTGUARD_MODE="observe")

    assert host.status()["mode"] == "observe"
    assert host.netns.run("nft", "list", "ruleset") == ""


def test_a_bad_configuration_changes_nothing_and_is_told(host: GuardedHost) -> None:
    host.start()
    rules = host.own_rules()
    good = host.config.read_text()
    host.config.write_text(good.replace('"10.2.0.0/16"', '"10.28.32.0/27"').replace("heal", "heel"))

    eventually(lambda: host.said("config_rejected"), "the alert")
    alert = host.said("config_rejected")[-1]
    assert "zones.printers[0]" in alert
    assert "mode" in alert
    assert host.own_rules() == rules
    assert eventually(lambda: host.status()["daemon"]["config_rejected"], "the faults in the status")

    host.config.write_text(good.replace('"10.2.0.0/16"', '"10.3.0.0/16"'))
    eventually(lambda: host.said("config_changed"), "the good one")
    eventually(
        lambda: "10.3.0.0/16" in host.netns.run("nft", "list", "set", "inet", "portguard", "printers_4"),
        "rules",
    )
    assert not host.said("rule_altered")


def test_sighup_reads_the_configuration_again(host: GuardedHost) -> None:
    host.start()
    (host.folder / "catalogue.d").mkdir()
    assert host.process is not None
    host.process.send_signal(signal.SIGHUP)
    eventually(lambda: host.process and host.process.poll() is None and host.status(), "it lives")

    host.config.write_text(host.config.read_text().replace('mode = "heal"', 'mode = "observe"'))
    host.process.send_signal(signal.SIGHUP)
    eventually(lambda: host.said("mode_changed"), "the mode")
    assert "from heal to observe" in host.said("mode_changed")[0]


def test_a_full_disk_under_the_status_file_stops_nothing(host: GuardedHost) -> None:
    small = host.folder / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "portguard-test", str(small)], check=True)
    try:
        host.config.write_text(
            host.config.read_text().replace(f"{host.folder}/status.json", f"{small}/status.json")
        )
        host.status_file = small / "status.json"
        host.start()
        before = host.status()
        _fill(small / "filler")
        host.netns.nft("delete table inet portguard")

        eventually(lambda: len(host.said("rule_healed", "resolved")) >= 2, "the heal")
        eventually(lambda: host.said("visibility_degraded"), "the alert")
        assert "No space left on device" in host.said("visibility_degraded")[0]
        assert host.status()["daemon"] == before["daemon"]

        (small / "filler").unlink()
        eventually(lambda: len(host.status()["heals"]) == 2, "the status again")
        eventually(lambda: host.said("visibility_degraded", "resolved"), "the end of it")
    finally:
        host.stop()
        subprocess.run(["umount", str(small)], check=True)


def _fill(path: Path) -> None:
    """Write until the disk is full."""
    with contextlib.suppress(OSError), path.open("wb", buffering=0) as file:
        while True:
            file.write(b"x" * 1024)


def test_a_second_daemon_on_the_same_host_is_refused(host: GuardedHost) -> None:
    host.start()
    done = host.command("run", "--config", str(host.config))

    assert done.returncode == 3
    assert done.stderr.startswith("portguard: another portguard runs already")
    assert done.stderr.count("\n") == 1


def test_status_tells_a_daemon_that_died_from_one_that_lives(host: GuardedHost) -> None:
    host.start()
    alive = host.command("status", "--config", str(host.config))
    assert alive.returncode in (0, 2)
    assert "printum/portal-web" in alive.stdout

    host.stop(signal.SIGKILL)
    dead = host.command("status", "--config", str(host.config))
    assert dead.returncode == 3
    assert "the daemon is not running" in dead.stderr


def test_a_reserved_address_is_told_and_its_end_too(host: GuardedHost) -> None:
    host.start()
    host.netns.run("ip", "address", "add", "10.28.32.7/26", "dev", "eth1")
    eventually(lambda: host.said("reserved_address_in_use"), "the alert")
    assert "address 10.28.32.7/26 on eth1" in host.said("reserved_address_in_use")[0]

    host.netns.run("ip", "address", "del", "10.28.32.7/26", "dev", "eth1")
    eventually(lambda: host.said("reserved_address_in_use", "resolved"), "its end")


def test_without_pythons_libnftables_there_is_one_clear_line(host: GuardedHost, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "nftables.py").write_text("raise ImportError('no such module')\n")
    for command in ("run", "check", "plan"):
        done = host.command(command, "--config", str(host.config), PYTHONPATH=str(broken))

        assert done.returncode == 3
        assert "apt install python3-nftables" in done.stderr
        assert "Traceback" not in done.stderr


def test_a_listing_that_is_cut_short_is_unknown_and_never_empty(host: GuardedHost, tmp_path: Path) -> None:
    host.netns.nft(
        "add table inet site",
        "add chain inet site input { type filter hook input priority 0; policy drop; }",
    )
    fake = tmp_path / "bin"
    fake.mkdir()
    (fake / "nft").write_text('#!/bin/sh\nprintf \'{"nftables": [{"metainfo": {"version": "1.0.6"\'\n')
    (fake / "nft").chmod(0o755)
    done = host.command("check", "--config", str(host.config), PATH=f"{fake}:{os.environ['PATH']}")

    assert "Traceback" not in done.stderr
    assert done.returncode in (2, 3)
    assert "unknown" in done.stdout
    assert "open" not in {
        word for line in done.stdout.splitlines() if "/tcp" in line for word in line.split()
    }


def test_without_rights_it_says_what_it_cannot_see(host: GuardedHost) -> None:
    code = "import os, sys; os.setgroups([]); os.setgid(65534); os.setuid(65534); os.execv(sys.executable, sys.argv[1:])"
    host.folder.chmod(0o755)
    for parent in list(host.folder.parents)[:3]:
        parent.chmod(parent.stat().st_mode | 0o055)
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            code,
            sys.executable,
            "-m",
            "portguard",
            "check",
            "--config",
            str(host.config),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        cwd="/",
    )

    assert "Traceback" not in done.stderr
    assert done.returncode == 3, done.stdout + done.stderr
    assert "not permitted" in done.stdout + done.stderr or "could not be read" in done.stdout + done.stderr


def test_a_restart_tells_nothing_twice_and_ends_what_is_over(host: GuardedHost) -> None:
    host.netns.run("ip", "address", "add", "10.28.32.7/26", "dev", "eth1")
    host.start()
    host.wait_for("reserved_address_in_use")
    host.wait_for("listener_missing", count=10)
    host.stop(signal.SIGKILL)
    missing = len(host.said("listener_missing"))
    host.netns.run("ip", "address", "del", "10.28.32.7/26", "dev", "eth1")

    host.start()
    host.wait_for("reserved_address_in_use", "resolved")
    host.wait_for("heartbeat", count=2)
    assert len(host.said("reserved_address_in_use")) == 1
    assert len(host.said("listener_missing")) == missing
