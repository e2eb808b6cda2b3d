"""From the installation to mode ``heal`` as an administrator goes: what init proposes, a file of their own, a reload."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING

from host.harness import documented
from host.harness.network import NETWORKS
from host.harness.services import configure
from host.harness.site import CONFIG, configuration, own_rules

if TYPE_CHECKING:
    from host.harness.debian import Debian

ROLE = "printum/all-in-one"
REAL = {
    ("tcp", 21): "vsftpd.service",
    ("udp", 161): "snmpd.service",
    ("tcp", 1631): "cups.service",
    ("tcp", 7000): "haproxy.service",
}
"""Documented ports of the role on which a service of Debian's stands; the product has the rest."""

PROPOSED = "/etc/portguard/conf.d/50-init.toml"


def test_from_init_to_heal_with_real_services(debian: Debian) -> None:
    ports = documented.ports(ROLE)
    assert set(REAL) <= {(port.transport, port.number) for port in ports}
    with debian.installed() as site:
        host = site.host
        site.drop()
        configure(debian, host)
        # On 631 as well it would be a print server of its own, and proposed as such.
        host.write(
            "/etc/cups/cupsd.conf", "Port 1631\nListen /run/cups/cups.sock\n<Location />\n</Location>\n"
        )
        site.sell(
            (port.number, port.transport) for port in ports if (port.transport, port.number) not in REAL
        )
        host.boot()
        host.run("systemctl", "start", *REAL.values())
        rules = site.ruleset()

        # What listens is enough to tell which product this is; nothing is written without being asked.
        proposal = host.run("portguard", "init")
        assert tomllib.loads(proposal.stdout)["role"] == [ROLE]
        assert "21/tcp vsftpd (vsftpd.service)" in proposal.stdout
        assert "nothing is written" in proposal.stderr
        assert host.run("test", "-e", PROPOSED, check=False).returncode == 1

        written = host.run("portguard", "init", "--write")
        assert PROPOSED in written.stderr
        host.wait_for(lambda: site.status()["role"] == [ROLE], "the role, without a reload")
        check = host.run("portguard", "check", check=False)
        status = host.run("portguard", "status", check=False)
        for said in (check, status):
            assert said.returncode == 2, said.stderr or said.stdout
            assert "8010/tcp" in said.stdout
        rows = {(row["transport"], row["port"]): row for row in site.status()["services"]}
        assert {key: rows[key]["listener"]["unit"] for key in REAL} == REAL
        # The firewall lets nobody in, and that is said of each.
        assert {(rows[key]["verdict"], rows[key]["path"]["state"]) for key in REAL} == {
            ("critical", "blocked")
        }
        assert site.status()["mode"] == "observe"
        assert site.ruleset() == rules, "observe writes nothing"

        # A file of the administrator's own beside it: zones and the mode, and not the role once more.
        text = configuration().replace(f'role = "{ROLE}"\n', "")
        assert "role" not in tomllib.loads(text)
        site.configure(text)
        host.systemctl("reload", "portguard")

        assert site.settled()["mode"] == "heal"
        assert own_rules(site)
        cases = [(port, source) for port in ports for source in NETWORKS]
        outcomes = site.client.probe(
            [site.client.target(port.number, source, transport=port.transport) for port, source in cases]
        )
        welcome = {(port.transport, port.number, source) for port in ports for source in port.sources}
        # An SNMP agent does not send back what it does not understand.
        wrong = [
            (port.transport, port.number, source, outcome)
            for (port, source), outcome in zip(cases, outcomes, strict=True)
            if (outcome == "open") != ((port.transport, port.number, source) in welcome)
            and (port.transport, port.number) != ("udp", 161)
        ]
        assert wrong == []
        assert host.shell(f"cat {CONFIG}") == text
