"""Counters, options and threads together say what the sockets of a JVM are."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

import pytest

from portguard.exposure.jvm import MARKS, classify
from portguard.exposure.jvm_options import VARIABLES, Debugger, JvmOptions, options_of
from portguard.exposure.perfdata import PerfData, RemoteAgent
from portguard.exposure.process import File, Threads
from portguard.model.listener import Listener, Owner
from portguard.model.net import Transport

if TYPE_CHECKING:
    from collections.abc import Iterable

OPEN_AGENT = RemoteAgent(port=9010, authenticate=False, tls=False, certificate=False)


def sockets(*ports: int) -> list[Listener]:
    return [
        Listener(
            transport=Transport.TCP,
            address=ipaddress.ip_address("::"),
            port=port,
            cookie=port,
            owner=Owner(process="java", pid=7),
        )
        for port in ports
    ]


def threads(*names: str, complete: bool = True) -> Threads:
    return Threads(names=("java", *MARKS, *names), complete=complete)


def said(
    ports: Iterable[int],
    counters: PerfData | None = None,
    options: JvmOptions | None = None,
    running: Threads | None = None,
    *,
    hidden: bool = False,
) -> dict[int, str]:
    found = classify(sockets(*ports), counters, options or JvmOptions(), running or threads(), hidden=hidden)
    return {cookie: f"{row.application} {row.protection}" for cookie, row in found.items()}


def counted(*agents: RemoteAgent, local: int | None = None) -> PerfData:
    return PerfData(agents=agents, local_port=local, arguments="")


RMI = "RMI TCP Accept-"


def test_a_random_rmi_port_is_told_from_the_local_connector_and_from_a_web_server() -> None:
    running = threads(RMI, RMI, RMI)

    assert said((9010, 40001, 40002, 8080), counted(OPEN_AGENT, local=40001), None, running) == {
        9010: "jmx none",
        40001: "jmx-local refuses-strangers",
        40002: "jmx-rmi none",
    }


def test_an_agent_whose_rmi_is_on_the_registrys_port_makes_no_other_port_suspect() -> None:
    assert said((9010, 45000, 8080), counted(OPEN_AGENT), None, threads(RMI)) == {9010: "jmx none"}


def test_a_local_connector_on_a_port_that_the_kernel_does_not_give_is_not_believed() -> None:
    assert said((8080,), counted(local=8080)) == {}
    assert said((8080,), counted(local=8080), None, threads(RMI)) == {8080: "jvm unknown"}


def test_rmi_that_no_counter_and_no_option_tells_of_makes_every_port_unknown() -> None:
    assert said((1099, 8080), counted(), None, threads(RMI)) == {1099: "jvm unknown", 8080: "jvm unknown"}


def test_a_jvm_without_counters_and_without_such_threads_opens_nothing_of_the_kind() -> None:
    assert said((8080, 40001)) == {}


@pytest.mark.parametrize(
    "running",
    [
        Threads(names=("java",), complete=True),  # A JVM that does not name its threads.
        Threads(names=("java", *MARKS), complete=False),
    ],
)
def test_where_neither_counters_nor_threads_can_be_read_every_port_is_unknown(running: Threads) -> None:
    assert said((8080,), None, None, running) == {8080: "jvm unknown"}
    assert classify(sockets(8080), None, JvmOptions(), None, hidden=True)[8080].application == "jvm"


def test_an_agent_with_counters_missing_is_as_protected_as_its_options_say() -> None:
    options = JvmOptions(ports={9010}, rmi_ports={9011}, authenticate=False, tls=True)

    assert said((9010, 9011), None, options, threads(RMI, RMI)) == {9010: "jmx tls", 9011: "jmx-rmi tls"}
    options.complete = False
    assert said((9010,), None, options, threads(RMI)) == {9010: "jmx unknown"}
    options.authenticate = options.tls = False
    assert said((9010,), None, options, threads(RMI)) == {9010: "jmx none"}


def test_counters_outweigh_options() -> None:
    options = JvmOptions(ports={9010}, rmi_ports={9011}, authenticate=False, tls=False)
    agent = RemoteAgent(port=9010, authenticate=True, tls=True, certificate=False)

    assert said((9010, 9011), counted(agent), options, threads(RMI, RMI)) == {
        9010: "jmx password+tls",
        9011: "jmx-rmi password+tls",
    }


def test_an_agent_that_does_not_say_whether_it_asks_for_a_password_is_unknown() -> None:
    agent = RemoteAgent(port=9010, authenticate=None, tls=True, certificate=None)

    assert said((9010,), counted(agent), None, threads(RMI)) == {9010: "jmx unknown"}


def test_a_debugger_without_a_port_is_the_only_socket_or_makes_all_unknown() -> None:
    running = threads("JDWP Transport ")

    assert said((40001,), counted(), None, running) == {40001: "jdwp none"}
    assert said((40001, 8080), counted(), None, running) == {40001: "jvm unknown", 8080: "jvm unknown"}


class Started:
    """A JVM's process, as far as its options go."""

    def __init__(
        self, *arguments: str, files: dict[str, str] | None = None, complete: bool = True, **variables: str
    ) -> None:
        self._arguments = arguments
        self._files = files or {}
        self._variables = variables
        self._complete = complete

    def arguments(self) -> tuple[str, ...]:
        return self._arguments

    def environment(self, names: Iterable[str]) -> tuple[dict[str, str], bool]:
        assert tuple(names) == VARIABLES
        return self._variables, self._complete

    def file(self, path: str, _limit: int) -> File | None:
        text = self._files.get(path)
        return None if text is None else File(content=text.encode(), written=0.0)


def read(*arguments: str, **given: object) -> JvmOptions:
    return options_of(Started("java", *arguments, **given))  # type: ignore[arg-type]


AGENT = "-Dcom.sun.management.jmxremote"


@pytest.mark.parametrize(
    "options",
    [
        read(f"{AGENT}.port=9010", f"{AGENT}.rmi.port=9011", f"{AGENT}.authenticate=false"),
        read(JAVA_TOOL_OPTIONS=f"{AGENT}.port=9010 {AGENT}.rmi.port=9011 {AGENT}.authenticate=false"),
        read(JDK_JAVA_OPTIONS=f"'{AGENT}.port=9010'\t{AGENT}.rmi.port=\"9011\" {AGENT}.authenticate=False"),
        read(
            "@args",
            files={
                "args": f"# {AGENT}.ssl=false\n{AGENT}.port=9010 {AGENT}.rmi.port=9011\n{AGENT}.authenticate=false"
            },
        ),
        read(
            "-XX:VMOptionsFile=args",
            files={"args": f"{AGENT}.port=9010\n{AGENT}.rmi.port=9011\n{AGENT}.authenticate=false"},
        ),
        read(
            "-Dcom.sun.management.config.file=m.properties",
            files={
                "m.properties": "! notes\n#com.sun.management.jmxremote.ssl=false\ncom.sun.management.jmxremote.port: 9010\n"
                "  com.sun.management.jmxremote.rmi.port 9011\ncom.sun.management.jmxremote.authenticate =\\\n false\n"
            },
        ),
    ],
)
def test_options_are_found_wherever_they_are_given(options: JvmOptions) -> None:
    assert (options.ports, options.rmi_ports) == ({9010}, {9011})
    assert (options.authenticate, options.tls, options.complete) == (False, True, True)


def test_the_weakest_of_settings_that_contradict_each_other_counts() -> None:
    options = read(
        f"{AGENT}.authenticate=false", f"{AGENT}.authenticate=true", _JAVA_OPTIONS=f"{AGENT}.ssl=false"
    )

    assert (options.authenticate, options.tls) == (False, False)


@pytest.mark.parametrize(
    "options", [read("@missing"), read("-Dcom.sun.management.config.file=missing"), read(complete=False)]
)
def test_a_place_that_cannot_be_read_leaves_the_picture_incomplete(options: JvmOptions) -> None:
    assert not options.complete


def test_files_that_name_each_other_without_end_are_left() -> None:
    files = {f"f{number}": f"-XX:Flags=f{number + 1}" for number in range(1000)}
    options = read("-XX:Flags=f0", files=files)

    assert not options.complete
    assert read("-XX:Flags=a", files={"a": "-XX:Flags=a"}).complete


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        (
            "-agentlib:jdwp=transport=dt_socket,server=y,suspend=n,address=*:5005",
            Debugger(port=5005, restricted=False),
        ),
        ("-agentlib:jdwp=transport=dt_socket,server=y,address=5005", Debugger(port=5005, restricted=False)),
        (
            "-agentlib:jdwp=server=y,transport=dt_socket,address=[::]:5005",
            Debugger(port=5005, restricted=False),
        ),
        ("-Xrunjdwp:transport=dt_socket,address=host:5005,server=y", Debugger(port=5005, restricted=False)),
        (
            "-agentpath:/usr/lib/libjdwp.so=server=y,transport=dt_socket",
            Debugger(port=None, restricted=False),
        ),
        ("-agentlib:jdwp=server=y,transport=dt_socket,address=*:0", Debugger(port=None, restricted=False)),
        (
            "-agentlib:jdwp=server=y,transport=dt_socket,address=*:5005,onthrow=java.io.IOException,launch=/bin/x",
            Debugger(port=5005, restricted=False),
        ),
        (
            "-agentlib:jdwp=server=y,transport=dt_socket,address=*:5005,allow=10.0.0.1",
            Debugger(port=5005, restricted=True),
        ),
        (
            "-agentlib:jdwp=server=y,transport=dt_socket,address=*:5005,allow=*",
            Debugger(port=5005, restricted=False),
        ),
        ("-agentlib:jdwp=transport=dt_socket,server=n,address=ide.example:5005", None),
        ("-agentlib:jdwp=transport=dt_socket,address=ide.example:5005", None),
        ("-agentlib:other=server=y,address=*:5005", None),
    ],
)
def test_a_debugger_that_waits_is_told_from_one_that_calls(argument: str, expected: Debugger | None) -> None:
    assert read(argument).debuggers == ([expected] if expected else [])


def test_a_debugger_can_come_by_the_variable_of_its_own() -> None:
    options = read(_JAVA_JDWP_OPTIONS="transport=dt_socket,server=y,address=*:5005")

    assert options.debuggers == [Debugger(port=5005, restricted=False)]
