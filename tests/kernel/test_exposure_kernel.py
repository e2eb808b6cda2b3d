"""The real redis-server and a real JVM are found on any port, and left in peace on loopback."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from guarded_host import GuardedHost, eventually, guarded_host

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from namespaces import Netns

pytestmark = pytest.mark.kernel

REDIS = "/usr/bin/redis-check-rdb"
"""Debian's redis-tools ships the server under this name; started as redis-server it is one."""

MAIN_JAVA = (
    "public class Sleeper { public static void main(String[] a) throws Exception { Thread.sleep(600000); } }"
)


@pytest.fixture
def host(netns: Netns, tmp_path: Path) -> Iterator[GuardedHost]:
    with guarded_host(netns, tmp_path) as guarded:
        yield guarded


@contextmanager
def program(*command: str, executable: str | None = None, cwd: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server until the end of the test."""
    process = subprocess.Popen(
        command, executable=executable, cwd=cwd, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def redis(cwd: Path, *arguments: str) -> Any:
    assert shutil.which(REDIS), "redis-tools is not installed: make setup installs it"
    return program("redis-server", "--save", "", "--dir", str(cwd), *arguments, executable=REDIS, cwd=cwd)


def jvm(cwd: Path, port: int, *options: str) -> Any:
    assert shutil.which("java"), "no java: make setup installs one"
    (cwd / "Sleeper.java").write_text(MAIN_JAVA)
    return program(
        "java",
        "-Xmx32m",
        "-XX:+UseSerialGC",
        "-XX:TieredStopAtLevel=1",
        f"-Dcom.sun.management.jmxremote.port={port}",
        f"-Dcom.sun.management.jmxremote.rmi.port={port + 1}",
        "-Dcom.sun.management.jmxremote.authenticate=false",
        "-Dcom.sun.management.jmxremote.ssl=false",
        "-Djava.rmi.server.hostname=127.0.0.1",
        *options,
        "Sleeper.java",
        cwd=cwd,
    )


def listening(host: GuardedHost, *ports: int) -> None:
    """Wait until all the ports are listened on."""
    eventually(
        lambda: all(host.netns.run("ss", "-Hltn", f"sport = :{port}").strip() for port in ports),
        f"ports {ports}",
    )


def exposed(host: GuardedHost) -> dict[int, dict[str, Any]]:
    """What one judgement calls exposed, by port."""
    done = host.command("check", "--json", "--config", str(host.config))
    findings = json.loads(done.stdout)["findings"]
    return {row["port"]: row for row in findings if row["kind"] == "service_exposed"}


def test_redis_on_every_address_is_critical_on_whatever_port(host: GuardedHost, tmp_path: Path) -> None:
    with redis(tmp_path, "--port", "6390", "--bind", "0.0.0.0", "--protected-mode", "no"):
        listening(host, 6390)
        finding = exposed(host)[6390]

    assert finding["severity"] == "critical"
    assert finding["evidence"]["service"] == "redis"
    assert finding["evidence"]["reachable"] == "yes"
    assert "anyone else" in finding["evidence"]["reachable_from"]


def test_redis_on_loopback_is_nobodys_business(host: GuardedHost, tmp_path: Path) -> None:
    with redis(tmp_path, "--port", "6390", "--bind", "127.0.0.1"):
        listening(host, 6390)

        assert 6390 not in exposed(host)


def test_redis_behind_a_firewall_that_drops_is_no_alarm_until_a_rule_lets_it_through(
    host: GuardedHost, tmp_path: Path
) -> None:
    host.netns.nft(
        "add table inet site",
        "add chain inet site input { type filter hook input priority 0; policy drop; }",
        "add rule inet site input iif lo accept",
    )
    with redis(tmp_path, "--port", "6390", "--bind", "0.0.0.0", "--protected-mode", "no"):
        listening(host, 6390)
        assert 6390 not in exposed(host)

        host.netns.nft("add rule inet site input ip saddr 10.1.0.0/16 tcp dport 6000-7000 accept")
        finding = exposed(host)[6390]

    assert finding["evidence"]["reachable_from"] == ["workstations"]
    assert "6000-7000" in finding["evidence"]["by"]


@pytest.mark.parametrize(
    "rules",
    [
        (
            "add rule inet site input iif lo accept",
            "add rule inet site input ip saddr 10.1.0.0/16 tcp dport 6000-7000 accept",
            "add rule inet site input drop",
        ),
        ("add rule inet site input tcp dport 22 accept",),
        ("add rule inet site input goto more", "add rule inet site more tcp dport 1-9000 counter accept"),
    ],
    ids=["a rule", "the policy", "a rule in another chain"],
)
def test_the_command_that_is_named_shuts_it(
    host: GuardedHost, tmp_path: Path, rules: tuple[str, ...]
) -> None:
    host.netns.nft(
        "add table inet site",
        "add chain inet site input { type filter hook input priority 0; policy accept; }",
        "add chain inet site more",
        *rules,
    )
    with redis(tmp_path, "--port", "6390", "--bind", "0.0.0.0", "--protected-mode", "no"):
        listening(host, 6390)
        host.netns.run("sh", "-c", exposed(host)[6390]["evidence"]["fix"])

        assert 6390 not in exposed(host)
        with socket.create_connection(("127.0.0.1", 6390), timeout=5) as client:
            client.sendall(b"PING\r\n")
            assert client.recv(10) == b"+PONG\r\n"


def test_the_command_leaves_the_way_in_of_those_it_is_documented_for(
    host: GuardedHost, tmp_path: Path
) -> None:
    host.netns.nft(
        "add table inet site",
        "add chain inet site input { type filter hook input priority 0; policy drop; }",
        "add rule inet site input tcp dport 6000-7000 accept",
    )
    with redis(tmp_path, "--port", "6379", "--bind", "0.0.0.0", "--protected-mode", "no"):
        listening(host, 6379)
        host.netns.run("sh", "-c", exposed(host)[6379]["evidence"]["fix"])

        assert 6379 not in exposed(host)
        document = json.loads(host.command("check", "--json", "--config", str(host.config)).stdout)
        paths = {row["zone"]: row["path"]["state"] for row in document["services"] if row["port"] == 6379}
        assert paths == {"printum/redis-sentinel": "open"}


def test_the_alarm_has_the_rule_that_lets_them_in_and_the_command_that_closes_it(
    host: GuardedHost, tmp_path: Path
) -> None:
    """The line is all that a shipper forwards: the command in it is run as it stands there."""
    host.netns.nft(
        "add table inet site",
        "add chain inet site input { type filter hook input priority 0; policy drop; }",
        "add rule inet site input iif lo accept",
        "add rule inet site input ip saddr 10.1.0.0/16 tcp dport 6000-7000 accept",
    )
    host.start()
    with redis(tmp_path, "--port", "6390", "--bind", "0.0.0.0", "--protected-mode", "no"):
        (alarm,) = host.wait_for("service_exposed")
        by = re.search(r' by="inet site input rule \d+: ([^"]*)" fix="nft insert rule ', alarm)
        assert by is not None, alarm
        assert by[1] == "ip saddr 10.1.0.0/16 tcp dport 6000-7000 accept"
        assert " parent=pytest" in alarm or " parent=python" in alarm
        assert " package=redis-tools " in alarm
        host.netns.run("sh", "-c", alarm.rpartition(' fix="')[2].removesuffix('"'))
        host.wait_for("service_exposed", "resolved")


def test_a_jvm_with_an_open_jmx_port_is_critical_on_both_its_ports(host: GuardedHost, tmp_path: Path) -> None:
    with jvm(tmp_path, 9010):
        listening(host, 9010, 9011)
        found = exposed(host)

    assert {found[9010]["evidence"]["service"], found[9011]["evidence"]["service"]} == {"jmx", "jmx-rmi"}
    assert found[9010]["severity"] == "critical"
    assert found[9010]["message"].startswith("JMX without a password on [::]:9010 (java")


def test_the_running_daemon_alarms_when_redis_appears_and_says_when_it_is_gone(
    host: GuardedHost, tmp_path: Path
) -> None:
    host.start()
    with redis(tmp_path, "--port", "6390", "--bind", "0.0.0.0", "--protected-mode", "no"):
        alarm = host.wait_for("service_exposed")[-1]
        assert " port=6390 service=redis " in alarm
        assert "reachable=yes" in alarm
        time.sleep(0.3)
        assert len(host.said("service_exposed")) == 1

    assert " port=6390 " in host.wait_for("service_exposed", "resolved")[0]
