"""The rulesets that Debian's firewalls really write: what is evaluated of them is what their kernel does."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

import pytest
from debian_programs import XTABLES, run, unpack
from packets import OWN_ADDRESS, Kernel, Probe

from path_questions import LINKS
from portguard.core.path import evaluate
from portguard.kernel.nft import Nft
from portguard.model.net import EVERYTHING, AddressSet, Transport
from portguard.model.path import Outcome, PathClass

if TYPE_CHECKING:
    from collections.abc import Iterator

    from portguard.model.ruleset import Ruleset

pytestmark = pytest.mark.kernel

PORTS = (22, 80, 443, 631, 8080, 9100)
SOURCES = ("10.1.0.7", "10.9.0.1", "172.20.1.1", "192.0.2.7", "fd01::7", "2001:db8::1", "fd20::5")

PROGRAMS = {
    "iptables": """
        iptables -P INPUT DROP
        iptables -A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
        iptables -A INPUT -p tcp -m multiport --dports 80,443 -m comment --comment "the web" -j ACCEPT
        iptables -A INPUT -m iprange --src-range 10.9.0.0-10.9.0.9 -p tcp --dport 631 -j ACCEPT
        iptables -N BANNED
        iptables -A INPUT -s 192.0.2.0/24 -j BANNED
        iptables -A BANNED -p tcp --dport 8080 -j RETURN
        iptables -A BANNED -j REJECT --reject-with icmp-host-prohibited
        iptables -A INPUT -p tcp --syn --dport 9100 -m addrtype --dst-type LOCAL -j ACCEPT
        iptables -A INPUT -p icmp --icmp-type echo-request -j ACCEPT
        iptables -t nat -A PREROUTING -p tcp --dport 22 -j REDIRECT --to-ports 80
        ip6tables -A INPUT -s 2001:db8::/32 -p tcp -m multiport --dports 80,8080:9100 -j REJECT --reject-with tcp-reset
    """,
    "ufw": """
        cp -L /usr/share/ufw/iptables/*.rules /usr/share/ufw/ufw.conf /usr/share/ufw/*.init /etc/ufw/
        ufw --force enable
        ufw allow proto tcp from 10.1.0.0/16 to any port 80,443
        ufw deny 631/tcp
        ufw reject 9100/tcp
        ufw allow 8080/udp
        ufw allow in on eth1 to any port 443 proto tcp
        ufw allow proto tcp from 2001:db8::/32 to any port 80
    """,
    "firewalld": """
        cat > /bus.conf <<X
        <busconfig><type>system</type><listen>unix:path=/run/bus</listen><auth>EXTERNAL</auth>
        <policy context="default"><allow user="*"/><allow own="*"/><allow send_destination="*" eavesdrop="true"/>
        <allow eavesdrop="true"/></policy></busconfig>
X
        firewall-offline-cmd --zone=public --add-port=80/tcp
        firewall-offline-cmd --zone=public --add-rich-rule='rule family=ipv4 source address=10.9.0.0/16 port port=443 protocol=tcp accept'
        firewall-offline-cmd --zone=public --add-rich-rule='rule family=ipv4 source address=192.0.2.7 drop'
        firewall-offline-cmd --zone=work --add-source=172.20.0.0/16
        firewall-offline-cmd --zone=work --add-port=631/tcp
        firewall-offline-cmd --zone=public --add-forward-port=port=8080:proto=tcp:toport=80
        export DBUS_SYSTEM_BUS_ADDRESS=unix:path=/run/bus
        dbus-daemon --config-file=/bus.conf --nofork --nopidfile >/dev/null 2>&1 & bus=$!
        while [ ! -S /run/bus ]; do sleep 0.05; done
        /usr/bin/python3 /usr/sbin/firewalld --nofork --nopid --log-file=/log >/dev/null 2>&1 & firewall=$!
        for try in $(seq 200); do nft list chain inet firewalld filter_IN_work_allow 2>/dev/null | grep -q 631 && break; sleep 0.1; done
        sleep 0.5
        kill -9 $firewall $bus  # ended otherwise, it would take its rules along
        nft list chain inet firewalld filter_IN_work_allow | grep -q 631
    """,
    "docker": """
        iptables -P FORWARD DROP
        iptables -N DOCKER
        iptables -N DOCKER-USER
        iptables -A FORWARD -j DOCKER-USER
        iptables -A FORWARD -o eth2 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
        iptables -A FORWARD -o eth2 -j DOCKER
        iptables -A FORWARD -i eth2 ! -o eth2 -j ACCEPT
        iptables -A DOCKER-USER -j RETURN
        iptables -A DOCKER -d 10.3.0.10/32 ! -i eth2 -o eth2 -p tcp -m tcp --dport 8080 -j ACCEPT
        iptables -t nat -N DOCKER
        iptables -t nat -A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
        iptables -t nat -A POSTROUTING -s 10.3.0.0/24 ! -o eth2 -j MASQUERADE
        iptables -t nat -A DOCKER -i eth2 -j RETURN
        iptables -t nat -A DOCKER ! -i eth2 -p tcp -m tcp --dport 80 -j DNAT --to-destination 10.3.0.10:8080
        iptables -t nat -A DOCKER ! -i eth2 -p tcp -m tcp --dport 443 -j DNAT --to-destination 10.3.0.10:443
        iptables -P INPUT DROP
        iptables -A INPUT -p tcp --dport 22 -j ACCEPT
    """,
    "fail2ban": """
        nft add table inet f2b-table
        nft add chain inet f2b-table f2b-chain '{ type filter hook input priority -1; }'
        nft add set inet f2b-table addr-set-sshd '{ type ipv4_addr; }'
        nft add rule inet f2b-table f2b-chain tcp dport 22 ip saddr @addr-set-sshd reject
        nft add element inet f2b-table addr-set-sshd '{ 10.9.0.1 }'
        nft add set inet f2b-table addr6-set-sshd '{ type ipv6_addr; }'
        nft add rule inet f2b-table f2b-chain tcp dport 22 ip6 saddr @addr6-set-sshd reject
        nft add element inet f2b-table addr6-set-sshd '{ 2001:db8::1 }'
    """,
}
"""What each program is told; Docker's and fail2ban's rules are those that they write themselves (documented shape)."""


@pytest.fixture(scope="module")
def kernel() -> Iterator[Kernel]:
    unpack()
    with Kernel(PORTS) as found:
        yield found


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_port_and_source_is_evaluated_as_the_kernel_decides(
    kernel: Kernel, program: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XTABLES_LIBDIR", str(XTABLES))
    kernel.load("")
    run(kernel.server, PROGRAMS[program])
    ruleset = kernel.server.run(_read)
    assert ruleset.tables
    assert not ruleset.unreadable
    probes = [
        Probe(
            source=ipaddress.ip_address(source),
            destination=ipaddress.ip_address(OWN_ADDRESS[4 if "." in source else 6]),
            transport=transport,
            port=port,
            interface="eth1" if source.startswith(("172.20.", "fd20:")) else "eth0",
        )
        for transport in (Transport.TCP, Transport.UDP, Transport.ICMP)
        for port in (PORTS if transport is not Transport.ICMP else PORTS[:1])
        for source in SOURCES
    ]
    outcomes: set[Outcome] = set()
    for probe, answer in zip(probes, kernel.send(probes), strict=True):
        ask = PathClass(
            transport=probe.transport,
            port=None if probe.transport is Transport.ICMP else probe.port,
            destination=AddressSet.of(str(probe.destination)),
            sources=EVERYTHING,
        )
        branch = next(b for b in evaluate(ruleset, ask, LINKS).branches if probe.source in b.sources)
        if branch.outcome is Outcome.UNKNOWN and "icmp6" in str(branch.reason):
            continue  # nft 1.0.6 has no words for this match of ip6tables.
        outcomes.add(branch.outcome)
        assert branch.outcome is answer.outcome, f"{probe}\nkernel: {answer}\nevaluated: {branch}"
    assert len(outcomes) > 1, "a ruleset that treats all alike proves nothing"


def _read() -> Ruleset:
    reader = Nft()
    try:
        return reader.read()
    finally:
        reader.close()
