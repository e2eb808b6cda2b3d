"""Debian's own services on a host, configured as a print server has them, some of them open to everybody."""

from __future__ import annotations

from typing import TYPE_CHECKING

from portguard.lab.exposed import _IDLE_CLASS

if TYPE_CHECKING:
    from host.harness.debian import Debian
    from host.harness.host import Host

JMX = "-Dcom.sun.management.jmxremote"

FILES = {
    "/etc/redis/redis.conf": (
        "bind 0.0.0.0\nport 6379\nprotected-mode no\nsupervised systemd\ndir /var/lib/redis\n"
    ),
    "/etc/valkey/valkey.conf": (
        "bind 0.0.0.0\nport 6390\nprotected-mode no\nsupervised systemd\ndir /var/lib/valkey\n"
    ),
    "/etc/haproxy/haproxy.cfg": (
        "defaults\n mode http\n timeout connect 1s\n timeout client 1s\n timeout server 1s\n"
        "listen panel\n bind :7000\n stats enable\n stats uri /\n"
    ),
    "/etc/snmp/snmpd.conf": "agentaddress udp:161,udp6:161\nrocommunity public\n",
    "/etc/cups/cupsd.conf": "Port 631\nPort 1631\nListen /run/cups/cups.sock\n<Location />\n</Location>\n",
    "/etc/default/etcd": (
        "ETCD_NAME=default\nETCD_LISTEN_CLIENT_URLS=http://0.0.0.0:2377\nETCD_ADVERTISE_CLIENT_URLS=http://localhost:2377\n"
        "ETCD_LISTEN_PEER_URLS=http://127.0.0.1:2378\nETCD_INITIAL_ADVERTISE_PEER_URLS=http://localhost:2378\n"
        "ETCD_INITIAL_CLUSTER=default=http://localhost:2378\n"
    ),
    "/etc/systemd/system/agent.service": (
        "[Service]\nType=exec\nDynamicUser=yes\nExecStart=/usr/bin/java -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Xmx32m"
        f" -Djava.rmi.server.hostname=127.0.0.1 {JMX}.port=9010 {JMX}.rmi.port=9011 {JMX}.authenticate=false"
        f" {JMX}.ssl=false -cp /opt/agent Idle\n"
    ),
}
"""What each is told, by file; the ports are those that test_services_hosts.py names."""


def configure(debian: Debian, host: Host) -> None:
    """Configure every service, before the boot."""
    for path, text in FILES.items():
        if "valkey" not in path or "valkey-server" in debian.release.services:
            host.write(path, text)
    (cluster,) = debian.root.glob("etc/postgresql/*/main")
    host.write(f"/{cluster.relative_to(debian.root)}/conf.d/all.conf", "listen_addresses = '*'\n")
    idle = host.upper / "opt/agent/Idle.class"
    idle.parent.mkdir(parents=True)
    idle.write_bytes(_IDLE_CLASS)
