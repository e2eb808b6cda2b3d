"""Mode ``contain`` on a booted server: a unit of its own exposes Redis, and is closed to strangers behind the dead man."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from host.harness import documented
from host.harness.network import NETWORKS
from host.harness.report import record
from host.harness.site import DROPS

if TYPE_CHECKING:
    from host.harness.network import Watch
    from host.harness.site import Site

PORT = 6390
WEB = 8010
WITHIN = 4
"""Seconds until the kernel opens again what nobody has confirmed."""

LETS_IN = DROPS.replace("tcp dport 22", f"tcp dport {PORT} accept\n    tcp dport 22")
"""An administrator's firewall with one rule too many."""

CACHE = """\
[Unit]
Description=A cache that somebody started beside the product
After=network.target
[Service]
Type=notify
User=redis
ExecStart=/usr/bin/redis-server --bind 0.0.0.0 --port 6390 --protected-mode no --supervised systemd --save '' {more}
[Install]
WantedBy=multi-user.target
"""

UPLINK = """\
[Unit]
Description=Where a server's network comes up
After=network-pre.target
Before=network.target
Wants=network.target
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/true
[Install]
WantedBy=multi-user.target
"""
"""In its place in the order of a boot alone: the cable of a host works from its first moment on."""

SENTENCE = (
    "Redis without a password on 0.0.0.0:6390 (redis-server, unit cache.service), reachable from admins, printers, workstations"
    " and anyone else; documented for nobody on the network | "
)

ENDS = {
    "nobody confirms": "true",
    "kill -9 of the daemon": "systemctl kill --signal=KILL portguard",
    "the service is stopped": "systemctl stop portguard",
}
"""What becomes of portguard while the dead man runs. After a kill systemd waits longer than he does."""


@pytest.fixture
def cached(unbooted: Site) -> Site:
    """A guarded server on which everybody can use the Redis of ``cache.service``, started at every boot."""
    host = unbooted.host
    host.write("/etc/nftables.conf", LETS_IN, 0o755)
    host.write("/etc/systemd/system/cache.service", CACHE.format(more=""))
    host.write("/etc/systemd/system/uplink.service", UPLINK)
    for unit in ("cache.service", "uplink.service"):
        host.enable(unit)
    host.boot()
    unbooted.settled()
    unbooted.alerted("service_exposed", port=str(PORT))
    assert unbooted.client.talk(PORT, b"PING\r\n", "strangers") == b"+PONG\r\n"
    return unbooted


def order(site: Site, *words: str) -> str:
    """Give portguard an order as root does; gives what it answers."""
    return site.host.run("portguard", *words).stdout


def reached(site: Site) -> dict[tuple[str, int, str], str]:
    """Try every documented port from every network."""
    ports = documented.ports("printum/all-in-one")
    cases = [(port.transport, port.number, source) for port in ports for source in NETWORKS]
    outcomes = site.client.probe(
        [site.client.target(number, source, transport=transport) for transport, number, source in cases],
        timeout=0.5,
    )
    return dict(zip(cases, outcomes, strict=True))


def redis(site: Site) -> dict[str, str]:
    """Try Redis from every network."""
    targets = [site.client.target(PORT, source) for source in NETWORKS]
    return dict(zip(NETWORKS, site.client.probe(targets, timeout=0.5), strict=True))


def let_in(watch: Watch, since: float, until: float) -> list[float]:
    """Times of the attempts of a watch that came through, of those begun in this time."""
    return [begun for begun, outcome, _ in watch.attempts if since <= begun < until and outcome == "open"]


def test_a_unit_that_opens_redis_on_another_port_is_told_at_once_and_with_a_password_it_is_no_critical_alarm(
    unbooted: Site,
) -> None:
    host = unbooted.host
    host.write("/etc/nftables.conf", LETS_IN, 0o755)
    host.write("/etc/systemd/system/cache.service", CACHE.format(more=""))
    host.boot()
    unbooted.settled()

    host.systemctl("start", "cache")

    (alert,) = unbooted.alerted("service_exposed", port=str(PORT))
    assert alert["MESSAGE"].startswith(SENTENCE)
    told = {name.removeprefix("PORTGUARD_"): value for name, value in alert.items() if "PORTGUARD_" in name}
    assert (told["UNIT"], told["PORT"], told["SERVICE"]) == ("cache.service", str(PORT), "redis")
    assert (told["SEVERITY"], alert["PRIORITY"]) == ("critical", "2")
    assert told["REACHABLE_FROM"] == "admins,printers,workstations,anyone else"
    (finding,) = (row for row in unbooted.status()["findings"] if row["kind"] == "service_exposed")
    assert finding["evidence"]["protection"] == "none"
    assert finding["evidence"]["by"].startswith("inet filter input ")
    assert f"tcp dport {PORT}" in finding["evidence"]["fix"]
    shown = host.show("cache.service", "ActiveEnterTimestampMonotonic")
    up = int(shown["ActiveEnterTimestampMonotonic"])
    record(
        host.release, "an exposed Redis: from its unit being up to the journal",
        ms=round((int(alert["__MONOTONIC_TIMESTAMP"]) - up) / 1000), found_by=unbooted.status()["daemon"]["events"],
    )  # fmt: skip

    host.write("/etc/systemd/system/cache.service", CACHE.format(more="--requirepass hunter2"))
    host.systemctl("daemon-reload")
    host.systemctl("restart", "cache")

    found = host.wait_for(
        lambda: [
            row
            for row in unbooted.status()["findings"]
            if row["kind"] == "service_exposed" and row["evidence"]["protection"] == "password"
        ],
        "a Redis with a password",
    )
    assert [row["severity"] for row in found] == ["error"]
    assert unbooted.client.talk(PORT, b"PING\r\n", "strangers").startswith(b"-NOAUTH")
    assert len(unbooted.alerts("service_exposed", port=str(PORT), severity="critical")) == 1
    assert "hunter2" not in host.run("journalctl", "-b", "-t", "portguard", "-o", "export").stdout


def test_what_contain_closes_is_closed_to_strangers_alone_and_opens_by_itself_whatever_becomes_of_portguard(
    cached: Site,
) -> None:
    site, host = cached, cached.host
    before = reached(site)

    for name, command in ENDS.items():
        said = order(site, "mode", "contain", "--confirm-within", str(WITHIN))
        assert f"closes {PORT}/tcp (redis) to everyone" in said

        assert redis(site) == dict.fromkeys(NETWORKS, "dropped")
        assert reached(site) == before, "a documented port is not as it was"
        host.shell(command)
        assert set(redis(site).values()) == {"dropped"}, name
        host.wait_for(lambda: set(redis(site).values()) == {"open"}, f"open again: {name}")

        if name == "the service is stopped":
            host.systemctl("start", "portguard")
        site.settled()
        host.wait_for(lambda: site.status()["mode"] == "heal", f"the mode before: {name}")
    over = [
        row["MESSAGE"]
        for row in site.alerts("mode_changed")
        if row["MESSAGE"].startswith("mode contain is over")
    ]
    assert len(over) == len(ENDS)
    assert site.client.reach(PORT, "strangers") == "open"


def test_what_was_confirmed_is_closed_again_before_the_network_comes_up_and_a_rollback_opens_it(
    cached: Site,
) -> None:
    site, host = cached, cached.host
    order(site, "mode", "contain", "--confirm-within", "1m")
    order(site, "confirm")
    assert site.client.reach(PORT, "strangers") == "dropped"
    # After the boot it listens later than portguard looks for the first time.
    late = CACHE.replace("ExecStart=", "ExecStartPre=/bin/sleep 3\nExecStart=", 1)
    host.write("/etc/systemd/system/cache.service", late.format(more=""))

    with site.client.watch(PORT, "strangers", every=0.005) as watch:
        rebooting = watch.now()
        host.reboot()
        site.settled()
        host.wait_for(lambda: host.systemctl("is-active", "cache", check=False) == "active", "Redis")
        host.wait_for(lambda: len(site.alerts("listener_unexpected", port=str(PORT))) > 0, "a look at it")
        mode = order(site, "mode")
        documented_port = site.client.reach(WEB)
        rolling = watch.now()
        order(site, "rollback")
        host.wait_for(lambda: site.client.reach(PORT, "strangers") == "open", "open after the rollback")
        opened = watch.now()

    assert let_in(watch, rebooting, rolling) == []
    assert let_in(watch, rolling, opened + 1), "the client that watched could not have got in at any time"
    assert mode.startswith("mode contain, confirmed by order")
    assert documented_port == "open"
    loaded = host.show("portguard-boot.service", "ExecMainExitTimestampMonotonic", "ActiveState", "Result")
    assert (loaded["ActiveState"], loaded["Result"]) == ("active", "success")
    moments = [
        int(host.show(unit, what)[what])
        for unit, what in (
            ("nftables.service", "ExecMainExitTimestampMonotonic"),
            ("portguard-boot.service", "ExecMainExitTimestampMonotonic"),
            ("network-pre.target", "ActiveEnterTimestampMonotonic"),
            ("uplink.service", "ExecMainStartTimestampMonotonic"),
            ("cache.service", "ExecMainStartTimestampMonotonic"),
        )
    ]
    assert moments == sorted(moments)
    assert all(moments)
    record(
        host.release, "contain over a reboot: closed before the network comes up",
        ms=round((moments[3] - moments[1]) / 1000, 1), before_redis_ms=round((moments[4] - moments[1]) / 1000, 1),
        attempts_of_a_stranger=len(watch.attempts), let_in=0,
    )  # fmt: skip
    assert host.run("test", "-e", "/var/lib/portguard/own-table.nft", check=False).returncode == 1


def test_a_removed_package_leaves_nothing_closed_now_or_after_a_reboot(cached: Site) -> None:
    site, host = cached, cached.host
    order(site, "mode", "contain", "--confirm-within", "1m")
    order(site, "confirm")
    assert set(redis(site).values()) == {"dropped"}

    host.run("env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-y", "-qq", "remove", "portguard")

    assert set(redis(site).values()) == {"open"}
    host.reboot()
    host.wait_for(lambda: host.systemctl("is-active", "cache", check=False) == "active", "Redis")
    assert set(redis(site).values()) == {"open"}
    assert host.systemctl("list-units", "--failed", "--plain", "--no-legend") == ""
    assert host.shell("nft list tables") == "table inet filter\n"
