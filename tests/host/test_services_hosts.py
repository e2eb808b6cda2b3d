"""Real services from Debian's packages, each started by its unit: portguard knows them, and takes none for another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from host.harness.report import record
from host.harness.services import configure
from host.harness.site import configuration

if TYPE_CHECKING:
    from host.harness.debian import Debian
    from host.harness.site import Site

ROLES = '["printum/all-in-one", "safeq6/database-postgresql", "safeq6/etcd", "cups/print-server-samba"]'

DOCUMENTED = {
    ("tcp", 21): ("vsftpd.service", "vsftpd"),
    ("udp", 161): ("snmpd.service", "snmpd"),
    ("tcp", 445): ("smbd.service", "smbd"),
    ("tcp", 631): ("cups.service", "cupsd"),
    ("tcp", 1631): ("cups.service", "cupsd"),
    ("tcp", 2377): ("etcd.service", "etcd"),
    ("tcp", 5432): ("postgresql@", "postgres"),
    ("tcp", 6379): ("redis-server.service", "redis-server"),
    ("tcp", 7000): ("haproxy.service", "haproxy"),
}
"""Documented ports on which a real service stands, with its unit and process. Some units have a release in their name."""

SENSITIVE = {6379: "redis", 9010: "jmx", 9011: "jmx-rmi"}
"""What must not be reachable, by port."""

UNITS = ("vsftpd", "snmpd", "smbd", "cups", "etcd", "postgresql", "redis-server", "haproxy", "exim4", "agent")


def units(debian: Debian) -> tuple[str, ...]:
    """Units that are started on a release."""
    return (*UNITS, "valkey-server") if "valkey-server" in debian.release.services else UNITS


def sensitive(debian: Debian) -> dict[int, str]:
    """Ports that must not be reachable, on a release."""
    return SENSITIVE | ({6390: "redis"} if "valkey-server" in debian.release.services else {})


def rows(status: dict[str, Any]) -> dict[tuple[str, int], dict[str, Any]]:
    """The services of a status by transport and port."""
    return {
        (row["transport"], row["port"]): row for row in status["services"] if row["direction"] == "inbound"
    }


def all_seen(site: Site) -> dict[tuple[str, int], dict[str, Any]] | None:
    """Give the services when portguard sees a listener behind each that stands."""
    found = rows(site.status())
    seen = all(found[key]["listener"]["state"] == "listening" for key in DOCUMENTED if key in found)
    return found if seen else None


def test_each_is_attributed_to_its_unit_and_process_and_none_is_an_alarm_until_strangers_can_reach_it(
    debian: Debian,
) -> None:
    with debian.installed() as site:
        host = site.host
        site.configure(
            configuration().replace('role = "printum/all-in-one"', f'role = {ROLES}\nfeatures = ["etcd"]')
        )
        site.drop()
        configure(debian, host)
        host.boot()
        started = host.run("systemctl", "start", *units(debian), check=False)
        assert started.returncode == 0, started.stderr + host.last_words()
        found: dict[tuple[str, int], dict[str, Any]] = host.wait_for(lambda: all_seen(site), "every service")

        assert set(found) >= set(DOCUMENTED)
        for key, (unit, process) in DOCUMENTED.items():
            listener = found[key]["listener"]
            assert listener["unit"].startswith(unit), (key, listener)
            assert listener["process"] == process, (key, listener)
        assert [found[key]["verdict"] for key in DOCUMENTED] == ["ok"] * len(DOCUMENTED)
        # An agent's ports are nobody's documented ones: told as such, by name, while the firewall keeps strangers out.
        alert = site.alerted("listener_unexpected", port="9010")[0]
        assert (alert["PORTGUARD_UNIT"], alert["PRIORITY"]) == ("agent.service", "4")
        assert "java" in alert["MESSAGE"]
        assert site.alerts("service_exposed") == []
        assert site.alerts("visibility_degraded") == []
        assert site.status()["gaps"] == []

        host.shell("nft flush ruleset")

        wanted = sensitive(debian)
        host.wait_for(lambda: len(site.alerts("service_exposed")) >= len(wanted), "each exposed service")
        exposed = {
            int(row["PORTGUARD_PORT"]): row["PORTGUARD_SERVICE"] for row in site.alerts("service_exposed")
        }
        assert exposed == wanted, "an alarm too many, or one too few"
        assert {site.client.reach(port, "strangers") for port in wanted} == {"open"}
        failed = host.systemctl("list-units", "--failed", "--plain", "--no-legend")
        assert failed == ""
        record(
            debian.name, "real services side by side", units=len(units(debian)), documented_ports=len(DOCUMENTED),
            exposed=len(exposed), false_alarms=0,
        )  # fmt: skip
