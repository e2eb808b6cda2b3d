"""A guarded server on a network: whom it lets in, and what it reports."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from host.harness import documented
from host.harness.network import NETWORKS
from host.harness.report import record
from host.harness.site import configuration

if TYPE_CHECKING:
    from host.harness.debian import Debian

ROLES = ("printum/all-in-one", "safeq6/single-server", "papercut/all-in-one", "cups/print-server-samba")

PROMISED = {
    "EVENT", "STATE", "FINDING", "SEVERITY", "ROLE", "MODE", "TRANSPORT", "ADDRESS", "PORT", "SERVICE", "UNIT", "EXE",
    "TARGET_PID", "UID", "REACHABLE", "REACHABLE_FROM", "MANAGER", "COUNT", "FIRST_SEEN", "SCHEMA",
}  # fmt: skip
"""Fields of an alert about an exposed service."""


@pytest.mark.parametrize("role", ROLES)
def test_every_documented_port_is_open_to_whom_the_document_says_and_to_nobody_else(
    debian: Debian, role: str
) -> None:
    ports = documented.ports(role)
    assert ports
    with debian.installed() as site:
        site.configure(configuration(role))
        site.drop()
        site.sell((port.number, port.transport) for port in ports)
        site.host.boot()
        site.settled()

        cases = [(port, source, version) for port in ports for source in NETWORKS for version in (4, 6)]
        outcomes = site.client.probe(
            [
                site.client.target(port.number, source, transport=port.transport, version=version)
                for port, source, version in cases
            ]
        )

    welcome = {
        (port.transport, port.number, source) for port in ports for source in port.sources
    }  # one port may be documented more than once
    wrong = [
        f"{source} -> {port.number}/{port.transport} (IPv{version}) is {outcome}"
        for (port, source, version), outcome in zip(cases, outcomes, strict=True)
        if (outcome == "open") != ((port.transport, port.number, source) in welcome)
    ]
    assert wrong == []
    record(
        debian.name, f"documented ports of {role}", ports=len(ports), connections=len(cases),
        open=outcomes.count("open"), shut=len(cases) - outcomes.count("open"),
    )  # fmt: skip


def test_a_redis_that_strangers_can_use_is_in_the_journal_with_every_promised_field_and_its_explanation(
    debian: Debian,
) -> None:
    with debian.installed() as site:
        site.configure(configuration(mode="observe"))
        site.host.write(
            "/etc/redis/redis.conf",
            "bind 0.0.0.0\nprotected-mode no\nsupervised systemd\ndir /var/lib/redis\n",
        )
        site.host.boot()
        site.host.systemctl("start", "redis-server")
        site.host.wait_for(lambda: site.client.reach(6379, "strangers") == "open", "Redis")

        assert site.client.talk(6379, b"PING\r\n", "strangers") == b"+PONG\r\n"

        (alert,) = site.alerted("service_exposed", port="6379")
        fields = {
            name.removeprefix("PORTGUARD_"): value for name, value in alert.items() if "PORTGUARD_" in name
        }
        assert set(fields) >= PROMISED, PROMISED - set(fields)
        pid = site.host.show("redis-server.service", "MainPID")["MainPID"]
        assert fields["SERVICE"] == "redis"
        assert fields["UNIT"] == "redis-server.service"
        assert fields["EXE"].startswith("/usr/bin/redis-")
        assert (fields["TARGET_PID"], fields["REACHABLE"]) == (pid, "yes")
        assert fields["MODE"] == "observe"
        assert alert["PRIORITY"] == "2"
        assert alert["_SYSTEMD_UNIT"] == "portguard.service"
        assert alert["SYSLOG_IDENTIFIER"] == "portguard"
        # Whoever sees nothing but the message sees all of it.
        for name, value in fields.items():
            assert f"{name.lower()}=" in alert["MESSAGE"], name
            assert value in alert["MESSAGE"], name

        explained = site.host.run(
            "journalctl", "-b", "-x", "--no-pager", f"MESSAGE_ID={alert['MESSAGE_ID']}"
        ).stdout
        assert "░░" in explained, "the message catalogue has no explanation"
        assert site.ruleset() == "", "observe writes nothing"
