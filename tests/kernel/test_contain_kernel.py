"""Mode ``contain`` on the real kernel: exactly what is exposed is closed, to exactly whom, and nobody's way in."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import time
from typing import TYPE_CHECKING

import pytest
from contain_host import (
    ADMIN,
    HOST,
    RESERVED,
    SENTINEL,
    STRANGER,
    STRANGER6,
    WORKSTATION,
    WORKSTATION6,
    ContainHost,
    contain_host,
)
from guarded_host import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from namespaces import Netns

pytestmark = pytest.mark.kernel


@pytest.fixture
def host(netns: Netns, tmp_path: Path) -> Iterator[ContainHost]:
    """A host with clients whose daemon is not started yet."""
    with contain_host(netns, tmp_path) as made:
        yield made


def test_exactly_what_is_exposed_is_closed_and_the_documented_zone_still_gets_in(host: ContainHost) -> None:
    host.listen(22, 8001, 9999, 6379)
    host.redis(6390)
    host.start()
    host.wait_for("service_exposed", count=2)
    everyone = (WORKSTATION, SENTINEL, ADMIN, STRANGER, WORKSTATION6, STRANGER6)
    before = {
        (source, port): host.reaches(source, port)
        for source in everyone
        for port in (22, 8001, 9999, 6379, 6390)
    }
    assert set(before.values()) == {"open"}

    said = host.contain()
    assert "closes 6390/tcp (redis) to everyone" in said
    assert "closes 6379/tcp (redis) to everyone but printum/redis-sentinel" in said
    after = {place: host.reaches(*place) for place in before}

    closed = {place for place, state in after.items() if state != "open"}
    assert closed == {(source, port) for source in everyone for port in (6379, 6390)} - {(SENTINEL, 6379)}
    eventually(lambda: len(host.said("service_exposed", "resolved")) == 2, "the end of both alarms")
    assert all("contained by portguard" in line for line in host.said("service_exposed", "resolved"))
    with socket.create_connection(("127.0.0.1", 6390), timeout=5):
        pass  # the host itself


def test_the_reserved_range_is_closed_in_both_directions_but_for_the_way_in(host: ContainHost) -> None:
    host.listen(22, 8001)
    host.clients.run(_serve, host, RESERVED, 7777)
    host.start()
    assert host.reaches(RESERVED, 8001) == "open"
    with socket.create_connection((RESERVED, 7777), timeout=5):
        pass
    host.contain()

    assert host.reaches(RESERVED, 8001) == "dropped"
    assert host.reaches(RESERVED, 22) == "open", "sshd's port is never closed"
    assert host.reaches(WORKSTATION, 8001) == "open"
    with pytest.raises(OSError, match=r"timed out|not permitted"):
        socket.create_connection((RESERVED, 7777), timeout=0.5)


def _serve(host: ContainHost, address: str, port: int) -> None:
    sock = host._stack.enter_context(socket.create_server((address, port)))
    assert sock.fileno() >= 0


def test_the_product_may_use_the_reserved_range_on_its_own_interfaces(host: ContainHost) -> None:
    host.config.write_text(host.config.read_text() + '[reserved]\nallow_interfaces = ["h0"]\n')
    host.listen(8001)
    host.start()
    host.contain()

    assert host.reaches(RESERVED, 8001) == "open"


def test_a_new_exposure_is_closed_while_the_mode_is_in_force_and_opened_when_it_is_gone(
    host: ContainHost,
) -> None:
    host.start()
    host.confirmed()
    redis = host.redis(6391)
    eventually(lambda: host.reaches(STRANGER, 6391) == "dropped", "it is closed")
    eventually(
        lambda: any(
            "6391/tcp (redis) is closed to everyone" in row for row in host.said("rule_healed", "resolved")
        ),
        "news",
    )
    handles = host.netns.run("nft", "-a", "list", "table", "inet", "portguard")

    time.sleep(1.0)
    assert host.reaches(STRANGER, 6391) == "dropped", (
        "because it is closed it is not exposed, and stays closed"
    )
    assert host.netns.run("nft", "-a", "list", "table", "inet", "portguard").count("6391") == handles.count(
        "6391"
    )
    redis.kill()
    redis.wait()
    assert host.order("status")[0] in (0, 1, 2, 3)
    assert any("6391" in rule for rule in host.closing_rules()), "a service that restarts finds it closed"


def test_redirected_and_translated_ports_are_closed_too(host: ContainHost) -> None:
    host.redis(6390)
    host.netns.nft(
        "add table inet translating",
        "add chain inet translating first { type nat hook prerouting priority dstnat; }",
        "add rule inet translating first tcp dport 7000 redirect to :6390",
    )
    assert host.reaches(STRANGER, 7000) == "open"
    host.start()
    host.contain()

    assert host.reaches(STRANGER, 6390) == "dropped"
    assert host.reaches(STRANGER, 7000) == "dropped"


def test_a_published_port_of_a_container_is_closed_before_its_translation(host: ContainHost) -> None:
    """A listener like docker-proxy's on the host, and a translation that leads past it into a container."""
    host.listen(6379)
    for line in (
        "link add br0 type bridge",
        "address add 172.30.0.1/24 dev br0",
        "link set br0 up",
    ):
        host.netns.run("ip", *line.split())
    host.netns.run(
        "ip", "link", "add", "d0", "type", "veth", "peer", "name", "d1", "netns", str(host.clients.task)
    )
    for line in ("link set d0 master br0", "link set d0 up"):
        host.netns.run("ip", *line.split())
    host.clients.command(["ip", "address", "add", "172.30.0.2/24", "dev", "d1"])
    host.clients.command(["ip", "link", "set", "d1", "up"])
    host.clients.run(_serve, host, "172.30.0.2", 6379)
    host.netns.run("sysctl", "-qw", "net.ipv4.ip_forward=1")
    host.netns.nft(
        "add table ip translating",
        "add chain ip translating first { type nat hook prerouting priority dstnat; }",
        "add rule ip translating first fib daddr type local tcp dport 6379 dnat to 172.30.0.2:6379",
        "add chain ip translating last { type nat hook postrouting priority srcnat; }",
        "add rule ip translating last oifname br0 masquerade",
    )
    assert host.reaches(STRANGER, 6379) == "open"
    host.start()
    host.contain()

    assert host.reaches(STRANGER, 6379) == "dropped"
    assert host.reaches(SENTINEL, 6379) == "open"


def test_connections_that_are_open_stay_open_are_reported_and_end_on_request_alone(host: ContainHost) -> None:
    host.redis(6390)
    host.start()
    held = host.hold(STRANGER, 6390)
    idle = host.hold(WORKSTATION, 6390)
    said = host.contain()
    assert f"2 connections of strangers to 6390/tcp (redis) stay open: {WORKSTATION}, {STRANGER}" in said
    for sock in (held, idle):
        sock.sendall(b"PING\r\n")
        assert sock.recv(100) == b"+PONG\r\n"

    code, said = host.order("mode", "contain", "--confirm-within", "60", "--kill-established")
    assert code == 0, said
    assert "2 of 2 connections of strangers" in said
    with pytest.raises(ConnectionResetError):
        held.recv(100)
    with socket.create_connection(("127.0.0.1", 6390), timeout=5):
        pass  # the service itself goes on


def test_who_was_in_before_a_later_exposure_was_closed_is_reported_and_ended_on_request(
    host: ContainHost,
) -> None:
    """The mode is in force and confirmed: nothing is to be armed, and nothing to be confirmed again."""
    host.start()
    host.confirmed()
    assert host.process is not None
    host.process.send_signal(signal.SIGSTOP)
    host.redis(6390)
    held = host.hold(STRANGER, 6390)
    host.process.send_signal(signal.SIGCONT)
    eventually(lambda: host.reaches(STRANGER, 6390) == "dropped", "it is closed")
    line = f"1 connection of strangers to 6390/tcp (redis) stays open: {STRANGER}"
    assert line in host.order("mode")[1]
    code, said = host.order("mode", "contain")
    assert (code, line in said, "armed: the kernel" in said) == (0, True, False), said

    code, said = host.order("mode", "contain", "--kill-established")
    assert code == 0, said
    assert "1 of 1 connection of strangers to 6390/tcp (redis) were ended" in said
    with pytest.raises(ConnectionResetError):
        held.recv(100)
    assert host.status()["order"]["state"] == "confirmed"
    assert "connection of strangers" not in host.order("mode")[1]


def test_ssh_that_was_open_before_anything_tracked_connections_goes_on(host: ContainHost) -> None:
    """In observe there is no table and nothing is tracked: contain tracks for a while before it closes."""
    host.redis(6390)
    host.start(PORTGUARD_MODE="observe")
    held = host.hold(ADMIN, 6390)
    beside = host.hold(STRANGER, 6390)
    import threading

    over = threading.Event()
    talker = threading.Thread(target=_talk, args=(held, over))
    talker.start()
    host.contain(PORTGUARD_MODE="observe")
    over.set()
    talker.join()

    held.sendall(b"PING\r\n")
    assert held.recv(100) == b"+PONG\r\n"
    assert host.reaches(ADMIN, 6390) == "dropped"
    beside.close()


def _talk(sock: socket.socket, over: object) -> None:
    while not over.is_set():  # type: ignore[attr-defined]
        sock.sendall(b"PING\r\n")
        sock.recv(100)
        time.sleep(0.1)


def test_an_order_that_would_cut_the_very_connection_it_came_by_is_refused_with_the_rule(
    host: ContainHost,
) -> None:
    host.listen(2222, 22)
    host.start()
    before = host.netns.run("nft", "-a", "list", "ruleset")
    code, said = host.order("mode", "contain", SSH_CONNECTION=f"{RESERVED} 50000 {HOST} 2222")

    assert code == 3
    assert f"from {RESERVED} to" in said
    assert "reserved_in" in said
    assert "your own connection would be cut" in said
    assert host.netns.run("nft", "-a", "list", "ruleset") == before
    assert host.status()["mode"] == "heal"
    code, said = host.order("mode", "contain", SSH_CONNECTION=f"{RESERVED} 50000 {HOST} 22")
    assert code == 0, f"port 22 is never closed: {said}"


def test_port_22_and_failsafe_ports_are_spared_whatever_listens_there(host: ContainHost) -> None:
    host.config.write_text(
        host.config.read_text()
        + '[failsafe]\ninbound = [{ transport = "tcp", port = 6391, from = "admins" }]\n'
    )
    host.redis(22)
    host.redis(6391)
    host.redis(6390)
    host.start()
    said = host.contain()

    assert "does not close 22/tcp: port 22 is never closed" in said
    assert host.reaches(STRANGER, 22) == "open"
    assert host.reaches(STRANGER, 6391) == "open"
    assert host.reaches(STRANGER, 6390) == "dropped"


def test_zones_that_nobody_defined_are_refused(host: ContainHost) -> None:
    host.config.write_text(
        host.config.read_text().replace("printers = ", "others = ").replace("others", "spare")
    )
    host.config.write_text(host.config.read_text().replace('spare = ["10.2.0.0/16"]\n', ""))
    host.start()
    code, said = host.order("mode", "contain")

    assert code == 3
    assert "zones.printers must be defined before anything may be closed" in said
    assert host.armed() == []


def test_confirmed_it_outlives_daemon_and_boot_and_a_flush_is_healed_with_the_dead_man(
    host: ContainHost,
) -> None:
    host.redis(6390)
    host.start()
    host.confirmed()
    assert host.armed() == ["tcp", "udp"]
    rules = sorted(host.own_rules())

    host.netns.nft("flush ruleset")
    eventually(lambda: host.armed() == ["tcp", "udp"], "armed again")
    assert sorted(host.own_rules()) == rules
    host.netns.nft("flush set inet portguard armed")
    eventually(lambda: host.armed() == ["tcp", "udp"], "armed again, as drift")
    host.netns.nft("flush set inet portguard armed; add element inet portguard armed { tcp timeout 1h }")
    eventually(lambda: host.armed() == ["tcp", "udp"], "for good again")

    host.stop(signal.SIGKILL)
    assert host.reaches(STRANGER, 6390) == "dropped"
    host.start()
    assert host.status()["mode"] == "contain"
    assert host.status()["order"]["state"] == "confirmed"
    assert host.reaches(STRANGER, 6390) == "dropped"
    host.stop()
    # A reboot: nothing is left in the kernel, and the boot unit loads what was kept.
    host.netns.nft("flush ruleset")
    for _ in range(2):
        host.netns.run("nft", "-f", str(host.folder / "state" / "own-table.nft"))
        assert host.reaches(STRANGER, 6390) == "dropped"
    host.start()
    assert sorted(host.own_rules()) == rules
    assert not [line for line in host.said("rule_altered") if "armed" not in line]


def test_rollback_opens_at_once_with_and_without_the_daemon(host: ContainHost) -> None:
    host.redis(6390)
    host.start()
    host.confirmed()
    assert host.reaches(STRANGER, 6390) == "dropped"
    code, said = host.order("rollback")
    assert code == 0, said
    assert host.reaches(STRANGER, 6390) == "open"
    eventually(lambda: host.status()["mode"] == "heal", "the mode before")
    eventually(lambda: not host.closing_rules(), "no closing rule is left")
    assert not (host.folder / "state" / "own-table.nft").exists()
    assert host.order("rollback")[0] == 3

    host.confirmed()
    host.stop(signal.SIGKILL)
    assert host.reaches(STRANGER, 6390) == "dropped"
    code, said = host.order("rollback")
    assert code == 0, said
    assert host.reaches(STRANGER, 6390) == "open"
    host.start()
    assert host.status()["mode"] == "heal"
    assert host.reaches(STRANGER, 6390) == "open"


def test_by_configuration_it_waits_for_one_word_and_remembers_it(host: ContainHost) -> None:
    host.redis(6390)
    host.start()
    text = host.config.read_text().replace('mode = "heal"', 'mode = "contain"')
    host.config.write_text(text + '[contain]\nconfirm_within = "2s"\n')
    assert host.order("reload")[0] == 0
    eventually(lambda: host.reaches(STRANGER, 6390) == "dropped", "it is armed")
    eventually(lambda: host.reaches(STRANGER, 6390) == "open", "nobody confirmed")
    eventually(
        lambda: any("is not confirmed" in row["message"] for row in host.status()["findings"]), "the finding"
    )
    assert host.status()["mode"] == "heal"

    host.stop()
    host.start()
    time.sleep(4.0)
    assert host.reaches(STRANGER, 6390) == "open", "a restart does not try again by itself"
    host.contain(60)
    assert host.order("confirm")[0] == 0
    host.stop()
    host.start()
    assert host.status()["mode"] == "contain"
    assert host.reaches(STRANGER, 6390) == "dropped"
    host.config.write_text(text.replace('mode = "contain"', 'mode = "observe"'))
    assert host.order("reload")[0] == 0
    assert host.reaches(STRANGER, 6390) == "open", "who only observes closes nothing"


def test_in_a_pause_nothing_is_healed_and_it_ends_by_itself(host: ContainHost) -> None:
    host.start()
    code, said = host.order("pause", "3s", "--reason", "new rules | by hand")
    assert code == 0, said
    eventually(lambda: host.status()["order"]["pause"], "the status says so")
    host.netns.nft("delete table inet portguard")
    time.sleep(1.0)
    assert host.own_rules() == []
    assert host.order("mode", "contain")[0] == 3
    assert any("new rules" in line for line in host.said("mode_changed"))
    eventually(host.own_rules, "healed after the pause")

    assert host.order("pause", "1h", "--reason", "again")[0] == 0
    host.stop()
    host.netns.nft("delete table inet portguard")
    host.start()
    assert host.status()["order"]["pause"]["reason"] == "again", "a restart does not end it"
    assert host.own_rules() == []
    assert host.order("resume")[0] == 0
    eventually(host.own_rules, "healed at once")


def test_status_and_mode_say_what_is_closed_and_for_how_long(host: ContainHost) -> None:
    host.redis(6390)
    host.start()
    host.contain(60)
    code, said = host.order("mode")
    assert code == 0
    assert "armed and not confirmed" in said
    assert "6390/tcp (redis) closed to everyone" in said
    document = host.status()
    assert 0 < document["order"]["disarms_in"] <= 61
    assert [row["port"] for row in document["order"]["closes"]] == [6390]
    assert "6390/tcp (redis) closed to everyone" in host.order("status")[1]
    plan = json.loads(
        host.command("plan", "--config", str(host.config), "--mode", "contain", "--json").stdout
    )
    assert plan["mode"] == "contain"


def test_only_root_may_order(host: ContainHost) -> None:
    host.start()
    code = (
        "import os, socket, sys; os.setgid(65534); os.setuid(65534)\n"
        "s = socket.socket(socket.AF_UNIX)\n"
        's.connect(sys.argv[1]); s.sendall(b\'{"command": "rollback"}\\n\'); print(s.recv(999).decode())'
    )
    (host.folder / "control.sock").chmod(0o666)
    for parent in [host.folder, *list(host.folder.parents)[:3]]:
        parent.chmod(parent.stat().st_mode | 0o055)
    done = subprocess.run(
        ["/usr/bin/python3", "-c", code, str(host.folder / "control.sock")],
        capture_output=True, text=True, check=True, cwd="/",
    )  # fmt: skip

    assert "only root may do that" in done.stdout
