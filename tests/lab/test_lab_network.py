"""The lab's network and helpers on the real kernel: real packets between its namespaces, and no trace of them."""

from __future__ import annotations

import os
import shutil
import sys
import time
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest

from portguard.catalogue import load as catalogues
from portguard.errors import LabError
from portguard.lab import exposed, firewall
from portguard.lab.children import Child, Helper
from portguard.lab.network import Network, namespaces, processes
from portguard.lab.prober import DROPPED, OPEN, REFUSED
from portguard.lab.rundir import RunDir, remove_leftovers
from portguard.lab.topology import CLIENTS, HOSTS, SERVER, Topology, plan

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.kernel

TOPOLOGY = plan(catalogues.load(), ["printum/all-in-one"])
FAMILY = f"pgtest{os.getpid()}"
"""Head of the names of these tests' namespaces: whatever they remove, no lab of this machine is met."""
_tags = count(1)


def new_run(base: Path) -> RunDir:
    """Give each run a number of its own."""
    return RunDir(base, FAMILY, tag=next(_tags))


class Small:
    """A network with listeners and probers, without a daemon."""

    def __init__(self, run: RunDir) -> None:
        self.run = run
        self.network = Network(run.prefix)
        self.helpers: dict[str, Helper] = {}

    def start(self) -> None:
        self.network.build(TOPOLOGY)
        for client in CLIENTS:
            self.helpers[client.name] = Helper(self.network.namespace(client.name), "portguard.lab.prober")
        self.helpers["server"] = Helper(
            self.network.namespace("server"),
            "portguard.lab.listeners",
            program=self.run.program("portguard-lab-listeners"),
        )

    def listen(self, *listeners: tuple[str, int, bool]) -> list[Any]:
        failed: list[Any] = self.helpers["server"].ask("open", listeners=listeners)["failed"]
        return failed

    def outcome(self, client: str, transport: str, port: int, version: int = 4) -> str:
        outcome: str = self.helpers[client].ask(
            "probe", targets=[target(client, transport, port, version)], timeout=0.3
        )["results"][0]["outcome"]
        return outcome

    def nft(self, text: str) -> None:
        self.network.run("server", ["nft", "-f", "-"], text=text)


def target(client: str, transport: str, port: int, version: int = 4) -> dict[str, Any]:
    source = next(source for source in TOPOLOGY.sources if source.client == client)
    to = (SERVER.v4 if version == 4 else SERVER.v6).ip
    return {"transport": transport, "from": source.address(version), "to": str(to), "port": port}


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Small]:
    """Build one network for all tests of this file; each uses ports of its own."""
    run = new_run(tmp_path_factory.mktemp("lab"))
    run.open()
    lab = Small(run)
    try:
        lab.start()
        yield lab
    finally:
        for helper in lab.helpers.values():
            helper.stop()
        lab.network.remove()
        run.close()
    assert namespaces(run.prefix) == []


@pytest.fixture
def no_rules(small: Small) -> Iterator[None]:
    """Leave the server without a firewall."""
    yield
    small.network.run("server", ["nft", "flush", "ruleset"])


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("client", [host.name for host in CLIENTS])
@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_every_client_reaches_a_listener_at_once(
    small: Small, client: str, transport: str, version: int
) -> None:
    assert small.listen((transport, 5001, False)) == []
    assert small.outcome(client, transport, 5001, version) == OPEN


@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_nobody_listening_is_refused(small: Small, transport: str) -> None:
    assert small.outcome("workstation", transport, 5002) == REFUSED


@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_a_listener_on_loopback_refuses_the_network(small: Small, transport: str) -> None:
    assert small.listen((transport, 5003, True)) == []
    assert small.outcome("workstation", transport, 5003) == REFUSED


def test_a_closed_listener_refuses_and_comes_back(small: Small) -> None:
    spec = ("tcp", 5004, False)
    small.listen(spec)

    small.helpers["server"].ask("close", listeners=[spec])
    assert small.outcome("admin", "tcp", 5004) == REFUSED

    small.listen(spec)
    assert small.outcome("admin", "tcp", 5004) == OPEN


def test_a_port_that_is_taken_is_named_with_its_reason(small: Small) -> None:
    small.listen(("tcp", 5005, False))

    assert small.listen(("tcp", 5005, True)) == [["tcp", 5005, "Address already in use"]]


@pytest.mark.usefixtures("no_rules")
@pytest.mark.parametrize("version", [4, 6])
def test_a_drop_is_told_from_a_reset(small: Small, version: int) -> None:
    small.listen(("tcp", 5006, False), ("tcp", 5007, False))
    rules = "tcp dport 5006 drop; tcp dport 5007 reject with tcp reset;"
    small.nft(f"table inet t {{ chain c {{ type filter hook input priority 0; {rules} }}; }}")

    assert small.outcome("printer", "tcp", 5006, version) == DROPPED
    assert small.outcome("printer", "tcp", 5007, version) == REFUSED


@pytest.mark.usefixtures("no_rules")
def test_the_intruder_shuts_every_port(small: Small) -> None:
    small.listen(("tcp", 5008, False), ("udp", 5008, False))
    small.nft(firewall.intruder())

    assert small.outcome("workstation", "tcp", 5008) == DROPPED
    assert small.outcome("workstation", "udp", 5008) == DROPPED


@pytest.mark.usefixtures("no_rules")
def test_a_watch_sees_when_a_port_was_shut_and_when_it_opened(small: Small) -> None:
    small.listen(("tcp", 5009, False))
    prober = small.helpers["workstation"]
    prober.ask("watch", target=target("workstation", "tcp", 5009), every=0.002, timeout=0.3)
    time.sleep(0.1)
    shut = time.monotonic()
    small.nft("table inet t { chain c { type filter hook input priority 0; tcp dport 5009 drop; }; }")
    time.sleep(0.1)
    small.network.run("server", ["nft", "delete", "table", "inet", "t"])
    opened = time.monotonic()
    time.sleep(0.1)

    attempts = prober.ask("unwatch")["attempts"]

    assert {outcome for begun, outcome, _ in attempts if begun < shut} == {OPEN}
    assert DROPPED in {outcome for begun, outcome, _ in attempts if shut < begun < opened}
    assert {outcome for begun, outcome, _ in attempts if begun > opened} == {OPEN}


@pytest.mark.usefixtures("no_rules")
def test_the_witness_notes_each_commit_with_its_writer(small: Small) -> None:
    lines: list[str] = []
    command = [sys.executable, "-s", "-m", "portguard.lab.witness"]
    witness = Child(small.network.namespace("server"), command, on_output=lines.append)
    try:
        wait_for(lambda: len(lines) == 1)
        small.nft("add table inet first")
        small.nft("add table inet second")
        wait_for(lambda: len(lines) == 3)
    finally:
        witness.stop()

    assert lines[0] == '{"ready": true}'
    assert all('"comm": "nft"' in line for line in lines[1:])


@pytest.mark.parametrize("application", [exposed.REDIS, exposed.JMX], ids=lambda row: row.name)
@pytest.mark.parametrize("installed", [True, False], ids=["as-installed", "stand-in"])
def test_an_exposed_server_answers_a_stranger(
    small: Small, application: exposed.Application, installed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = ("java",) if application is exposed.JMX else ("redis-server", "redis-check-rdb")
    there = any(shutil.which(name) for name in programs)
    if not installed:
        monkeypatch.setattr(shutil, "which", lambda _name: None)
    port = 5010 + 2 * (application is exposed.JMX) + installed

    def answer() -> bytes:
        words = target("stranger", "tcp", port)
        reply = small.helpers["stranger"].ask("talk", send=application.question.hex(), timeout=1.0, **words)[
            "reply"
        ]
        return bytes.fromhex(reply)

    child, real = exposed.start(application, small.run, small.network.namespace("server"), port, answer)
    try:
        assert answer().startswith(application.answer)
        assert real == (installed and there)
    finally:
        child.stop()
    assert not child.alive


def test_the_listeners_appear_under_their_name(small: Small) -> None:
    pid = small.helpers["server"].pid

    with open(f"/proc/{pid}/comm") as comm, open(f"/proc/{pid}/cmdline") as command:  # noqa: PTH123
        assert "portguard-lab-listeners".startswith(comm.read().strip())
        assert command.read().split("\0")[0].endswith("/portguard-lab-listeners")


def test_no_interface_of_the_lab_is_in_the_main_namespace(small: Small) -> None:
    names = {path.name for path in sysfs_interfaces()}

    assert not names & {host.name for host in HOSTS}
    assert set(small.network.run("router", ["ls", "/sys/class/net"]).split()) >= {host.name for host in HOSTS}


def test_a_failing_command_is_told_with_what_it_said(small: Small) -> None:
    with pytest.raises(LabError, match="No such file or directory"):
        small.network.run("server", ["nft", "delete", "table", "inet", "nothing"])


def test_a_helper_that_is_gone_is_told_and_not_waited_for(small: Small) -> None:
    helper = Helper(small.network.namespace("server"), "portguard.lab.no_such_module")

    with pytest.raises(LabError, match=r"ended by itself.*no_such_module"):
        helper.ask("probe", targets=[], timeout=0.1)

    helper.stop()


def test_leftovers_of_a_dead_run_go_and_a_living_run_stays(tmp_path: Path) -> None:
    living, dead = new_run(tmp_path), new_run(tmp_path)
    networks = [Network(living.prefix), Network(dead.prefix)]
    living.open()
    dead.open()
    try:
        for network in networks:
            network.build(TOPOLOGY)
        orphan = Child(networks[1].namespace("server"), ["sleep", "600"])
        # As if it had been killed: the kernel lets go of the lock, and all else stays.
        assert dead._lock is not None
        dead._lock.close()

        assert remove_leftovers(tmp_path, FAMILY) == [dead.tag]
        assert namespaces(dead.prefix) == []
        assert not dead.path.exists()
        assert len(namespaces(living.prefix)) == len(HOSTS) + 1
        wait_for(lambda: not orphan.alive)
        orphan.stop()
    finally:
        for network in networks:
            network.remove()
        living.close()


def test_removing_a_network_ends_the_processes_in_it(tmp_path: Path) -> None:
    run = new_run(tmp_path)
    run.open()
    network = Network(run.prefix)
    network.build(TOPOLOGY)
    child = Child(network.namespace("printer"), ["sleep", "600"])
    wait_for(lambda: processes(network.namespace("printer")) == [child.pid])

    network.remove()
    run.close()

    wait_for(lambda: not child.alive)
    child.stop()
    assert namespaces(run.prefix) == []


def test_a_network_of_one_catalogue_fits_another_role() -> None:
    other: Topology = plan(catalogues.load(), ["safeq6/management-server"])

    assert other.sources[-1] == TOPOLOGY.sources[-1]


def sysfs_interfaces() -> list[Path]:
    """Interfaces of the namespace that the tests run in."""
    from pathlib import Path

    return list(Path("/sys/class/net").iterdir())


def wait_for(true: Any) -> None:
    """Wait for something that is certain to come; fail when it does not within ten seconds."""
    deadline = time.monotonic() + 10
    while not true():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)
