"""``portguard probe`` asks the real servers of docs/exposure.md, and none is the worse for it."""

from __future__ import annotations

import ipaddress
import json
import socket
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from exposure_cases import JVMS, REDIS, Case
from exposure_servers import listening, started
from guarded_host import GuardedHost, eventually, guarded_host

from portguard.exposure import handshakes
from portguard.exposure.probe import Answer, probe
from portguard.model.exposure import Application, Protection

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from namespaces import Netns

pytestmark = [pytest.mark.kernel, pytest.mark.usefixtures("host")]

HERE = ipaddress.ip_address("10.1.0.1")
PATIENCE = 3.0
UNTOLD = {
    "under the name of KeyDB, protected mode and an address": "refuses-strangers",
    "no option at all but the port": "refuses-strangers",
    "every address, no password, title as usual": "none",
    "cluster": "refuses-strangers",
    "cluster, bus on a port of its own": "refuses-strangers",
    "Sentinel": "none",
    "renamed binary": "none",
    "renamed binary, title of another program": "none",
}
"""What the answers say where the process does not tell."""


@pytest.fixture
def host(netns: Netns, tmp_path: Path) -> Iterator[GuardedHost]:
    with guarded_host(netns, tmp_path) as guarded:
        yield guarded


def named(cases: tuple[Case, ...], *names: str) -> tuple[Case, ...]:
    chosen = tuple(case for case in cases if case.name in names)
    assert len(chosen) == len(names)
    return chosen


def test_every_redis_says_by_its_answer_how_it_is_protected(tmp_path: Path) -> None:
    cases = tuple(case for case in REDIS if not case.silent)
    with started(cases, tmp_path, "redis-server") as servers:
        answers = {server.case.name: probe(HERE, server.base, patience=PATIENCE) for server in servers}
        suspected = {
            server.case.name: probe(HERE, server.base, suspected=Application.REDIS, patience=PATIENCE)
            for server in servers
        }

    expected = {
        case.name: UNTOLD.get(case.name) or case.expected["0"].partition(" ")[2].partition(",")[0]
        for case in cases
    }
    assert {name: answer.protection.value for name, answer in answers.items()} == expected
    assert {name: answer.protection.value for name, answer in suspected.items()} == expected
    assert {answer.application for name, answer in answers.items() if expected[name] != "certificate"} == {
        "redis"
    }
    assert all("RMI" not in sent for answer in suspected.values() for sent in answer.sent)


def test_a_cluster_bus_does_not_answer_and_nothing_is_concluded(tmp_path: Path) -> None:
    with started(named(REDIS, "cluster"), tmp_path, "redis-server") as (server,):
        answer = probe(HERE, server.base + 10_000, suspected=Application.REDIS_CLUSTER, patience=1.0)
        assert server.process.poll() is None

    assert (answer.answered, answer.protection) == (False, Protection.UNKNOWN)


def test_a_jmx_agent_shows_its_registry_and_says_nothing_of_its_password(tmp_path: Path) -> None:
    cases = named(JVMS, "options, RMI on a port of its own", "password", "TLS without a password")
    with started(cases, tmp_path, "java") as servers:
        registries = {server.case.name: probe(HERE, server.base, patience=PATIENCE) for server in servers}
        connectors = {server.case.name: probe(HERE, server.base + 1, patience=PATIENCE) for server in servers}

    assert {answer.application for answer in registries.values()} == {"jmx"}
    assert {answer.protection for answer in registries.values()} == {Protection.UNKNOWN}
    assert all("jmxrmi" in answer.said for answer in registries.values())
    assert connectors["password"].application == "rmi"
    assert "list() of the RMI registry in TLS" in connectors["TLS without a password"].sent
    assert connectors["TLS without a password"].application == "rmi"


def test_a_connector_that_wants_a_certificate_says_so(tmp_path: Path) -> None:
    with started(named(JVMS, "client certificates"), tmp_path, "java") as (server,):
        answer = probe(HERE, server.base + 1, patience=PATIENCE)

    assert (answer.application, answer.protection) == ("tls", Protection.CERTIFICATE)


def test_a_debugger_is_asked_only_on_request_and_serves_others_afterwards(tmp_path: Path) -> None:
    with started(named(JVMS, "debugger, `address=*:port`"), tmp_path, "java") as (server,):
        left_alone = probe(HERE, server.base, suspected=Application.JDWP, patience=PATIENCE)
        asked = [debugger(server.base) for _ in range(3)]
        assert server.process.poll() is None

    assert (left_alone.sent, left_alone.answered) == ((), False)
    assert [answer.protection for answer in asked] == [Protection.NONE] * 3
    assert [answer.sent for answer in asked] == [("greeting of JDWP",)] * 3


def debugger(port: int) -> Answer:
    """Ask until it answers: it takes a moment to let the client before go."""

    def ask() -> Answer | None:
        answer = probe(HERE, port, suspected=Application.JDWP, jdwp=True, patience=PATIENCE)
        return answer if answer.answered else None

    found: Answer = eventually(ask, "an answer of the debugger")
    return found


def test_a_debugger_that_nobody_knew_of_survives_every_other_greeting(tmp_path: Path) -> None:
    with started(named(JVMS, "debugger, `address=*:port`"), tmp_path, "java") as (server,):
        blind = probe(HERE, server.base, patience=PATIENCE)
        assert server.process.poll() is None
        asked = debugger(server.base)

    assert not blind.answered
    assert asked.protection is Protection.NONE


def test_a_debugger_for_some_refuses_the_others(tmp_path: Path) -> None:
    with started(named(JVMS, "debugger for some (`allow=`)"), tmp_path, "java") as (server,):
        answer = probe(HERE, server.base, suspected=Application.JDWP, jdwp=True, patience=PATIENCE)

    assert (answer.answered, answer.protection) == (False, Protection.UNKNOWN)


# --- the command ------------------------------------------------------------------------------------------------------


def test_the_command_finds_what_to_ask_and_tells_the_worst(host: GuardedHost, tmp_path: Path) -> None:
    redis = named(REDIS, "every address, no password", "password", "protected mode", "loopback only")
    with started(redis, tmp_path, "redis-server") as servers:
        done = host.command("probe", "--json")
        rows = {row["port"]: row for row in json.loads(done.stdout)["results"]}
        shown = host.command("probe", str(servers[1].base), COLUMNS="200")

    by_name = {server.case.name: rows.get(server.base) for server in servers}
    assert done.returncode == 2, done.stderr
    assert by_name["loopback only"] is None
    verdicts = {name: row["verdict"] for name, row in by_name.items() if row}
    assert verdicts == {
        "every address, no password": "critical",
        "password": "warning",
        "protected mode": "ok",
    }
    open_one = by_name["every address, no password"]
    assert open_one is not None
    assert (open_one["address"], open_one["application"], open_one["said"]) == ("10.1.0.1", "redis", "+PONG")
    assert open_one["sent"] == ["PING"]
    assert shown.returncode == 1
    assert "NOAUTH" in shown.stdout


def test_the_command_joins_what_a_jmx_agent_answers_with_what_its_process_tells(
    host: GuardedHost, tmp_path: Path
) -> None:
    cases = named(
        JVMS,
        "options, RMI on a port of its own",
        "password and TLS",
        "local only (`-Dcom.sun.management.jmxremote`)",
    )
    with started(cases, tmp_path, "java") as servers:
        ports = {server.case.name: listening(server.process.pid) for server in servers}
        document = json.loads(host.command("probe", "--json").stdout)

    verdicts = {
        server.case.name: {row["verdict"] for row in document["results"] if row["port"] == server.base}
        for server in servers
    }
    local = [row for row in document["results"] if row["application"] == "jmx-local"]
    assert verdicts["options, RMI on a port of its own"] == {"critical"}
    assert verdicts["password and TLS"] == {"ok"}
    assert {row["port"] for row in local} >= ports["local only (`-Dcom.sun.management.jmxremote`)"]
    assert {(row["verdict"], tuple(row["sent"])) for row in local} == {("ok", ())}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--address", "10.1.0.2", "6379"], "no address of this host"),
        (["--address", "8.8.8.8"], "no address of this host"),
        (["--address", "example.com"], "is not an address"),
        (["80-90"], "is a range"),
        (["0"], "does not lie"),
        (["80", "--timeout", "0"], "--timeout"),
    ],
)
def test_nobody_else_is_asked_and_wrong_words_are_refused(
    host: GuardedHost, arguments: list[str], said: str
) -> None:
    done = host.command("probe", *arguments)

    assert done.returncode == 64
    assert said in done.stderr


def test_a_port_without_a_listener_is_unknown_and_gets_nothing(host: GuardedHost) -> None:
    done = host.command("probe", "--json", "6399")
    (row,) = json.loads(done.stdout)["results"]

    assert done.returncode == 3
    assert (row["said"], row["sent"]) == ("nobody listens", [])


def test_where_nothing_looks_dangerous_nothing_is_asked(host: GuardedHost) -> None:
    with serving(b"") as server:
        done = host.command("probe")

    assert done.returncode == 0
    assert "nothing that looks like" in done.stdout
    assert server.got == []


# --- other servers ------------------------------------------------------------------------------------------------------


class Stub:
    """A server that says the same to everybody, and remembers what it was told."""

    def __init__(self, says: bytes, *, first: bool) -> None:
        self.says = says
        self.first = first
        self.got: list[bytes] = []
        self.socket = socket.create_server(("0.0.0.0", 0))
        self.port: int = self.socket.getsockname()[1]

    def serve(self) -> None:
        while True:
            try:
                line, _ = self.socket.accept()
            except OSError:
                return
            with line:
                line.settimeout(0.5)
                try:
                    if self.first:
                        line.sendall(self.says)
                    self.got.append(line.recv(4096))
                    if not self.first:
                        line.sendall(self.says)
                except OSError:
                    continue


@contextmanager
def serving(says: bytes, *, first: bool = False) -> Iterator[Stub]:
    """Run a stub until the end of the block."""
    stub = Stub(says, first=first)
    thread = threading.Thread(target=stub.serve)
    thread.start()
    try:
        yield stub
    finally:
        stub.socket.shutdown(socket.SHUT_RDWR)
        stub.socket.close()
        thread.join(10)


@pytest.mark.parametrize(
    ("says", "first", "application"),
    [
        (b"SSH-2.0-OpenSSH_9.2\r\n", True, "ssh"),
        (b"220 (vsFTPd 3.0.3)\r\n", True, "ftp or smtp"),
        (b"HTTP/1.1 400 Bad request\r\n\r\n", False, "http"),
    ],
)
def test_who_speaks_first_or_plainly_is_sent_nothing_more(
    says: bytes, application: str, *, first: bool
) -> None:
    with serving(says, first=first) as stub:
        answer = probe(HERE, stub.port, patience=0.5)

    assert (answer.application, answer.protection) == (application, Protection.UNKNOWN)
    assert [got for got in stub.got if got] == ([] if first else [handshakes.PING])


def test_a_server_that_never_answers_costs_no_more_than_the_patience() -> None:
    with serving(b"") as stub:
        answer = probe(HERE, stub.port, patience=0.2)

    assert not answer.answered
    assert answer.sent == ("PING", "greeting of RMI", "ClientHello of TLS")


def test_an_endless_answer_is_cut_off() -> None:
    with serving(b"+PONG" * 1_000_000) as stub:
        answer = probe(HERE, stub.port, suspected=Application.REDIS, patience=2.0)

    assert answer.application == "redis"
    assert len(answer.said) <= 80


def test_a_closed_port_is_no_answer() -> None:
    answer = probe(HERE, 6399, patience=0.5)

    assert answer == Answer(
        application=None,
        protection=Protection.UNKNOWN,
        said="no connection: Connection refused",
        sent=(),
        answered=False,
    )
