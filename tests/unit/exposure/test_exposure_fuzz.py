"""Whatever a process writes about itself: no crash, nothing read without end, no secret and no forged field in a log.

A quick run here; ``make fuzz-exposure`` makes a long one (docs/exposure.md has the figures of one).
"""

from __future__ import annotations

import ipaddress
import os
import re
import struct
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from counters import LOCAL_33979, agent, hsperfdata
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from portguard.alert.message import FIELDS, fields, message
from portguard.core.danger import described, severity
from portguard.core.lifecycle import Alert, AlertState
from portguard.exposure import jvm_options, redis_options
from portguard.exposure.identify import presentable
from portguard.exposure.jvm import MARKS, classify
from portguard.exposure.perfdata import parse
from portguard.exposure.process import File, Threads
from portguard.exposure.redis import judge_redis
from portguard.model.exposure import Application, Exposure, Protection
from portguard.model.finding import Finding, Kind
from portguard.model.listener import Listener, Owner
from portguard.model.net import Transport

if TYPE_CHECKING:
    from collections.abc import Iterable

EXAMPLES = int(os.environ.get("PORTGUARD_FUZZ_EXAMPLES", "150"))
FUZZ = settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
)
SECRET = "hunter2"
PORTS = (6379, 9010, 9011, 33979, 40001)

# --- what a process may write ------------------------------------------------------------------------------------

AGENT = "com.sun.management.jmxremote"
junk = st.text(max_size=60)
port = st.sampled_from(
    ["0", "1", "6379", "9010", "9011", "33979", "65536", "-1", "99999999999", "\uff19\uff10\uff11\uff10", ""]
)
jvm_word = st.one_of(
    st.builds(
        "-D{}{}={}".format, st.just(AGENT), st.sampled_from([".port", ".rmi.port", ".ssl", ""]), port | junk
    ),
    st.builds(
        "-D{}.authenticate={}".format, st.just(AGENT), st.sampled_from(["true", "false", "False ", ""]) | junk
    ),
    st.builds("-D{}.password.file={}".format, st.just(AGENT), st.just(SECRET)),
    st.builds("-Djavax.net.ssl.keyStorePassword={}".format, st.just(SECRET)),
    st.builds("-agentlib:jdwp=transport=dt_socket,server=y,address={}:{},allow={}".format, junk, port, junk),
    st.builds("-Xrunjdwp:{}".format, junk),
    st.builds("-agentpath:{}jdwp{}=server=y,{}".format, junk, junk, junk),
    st.builds("@{}".format, junk),
    st.builds("-XX:Flags={}".format, junk),
    st.builds("-Dcom.sun.management.config.file={}".format, junk),
    st.sampled_from(['"', "'", "\\", '"\\', "\n", "-D", "@"]),
    junk,
)
redis_word = st.one_of(
    st.builds("--{}".format, st.sampled_from(sorted(redis_options._NAMES)) | junk),
    st.builds(
        "{} {}".format,
        st.sampled_from(["default", "other"]),
        st.sampled_from(["on", "off", "nopass", f">{SECRET}"]),
    ),
    st.just(SECRET),
    port,
    junk,
)
title = st.builds(
    "{}{}{}:{}{}".format,
    st.sampled_from(["redis-server", "/usr/bin/valkey-server", "x"]) | junk,
    st.sampled_from([" ", "", "\t"]),
    st.sampled_from(["*", "0.0.0.0", "[::1]", ""]) | junk,
    port,
    st.sampled_from(["", " [sentinel]", " [cluster]", " [cluster]   "]) | junk,
)
name = st.sampled_from(
    ["sun.management.JMXConnectorServer.address", "java.rt.vmArgs", *agent(1), *agent(1, number=7)]
) | st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=30)
value = st.sampled_from(
    [
        LOCAL_33979,
        LOCAL_33979[:-5],
        "/stub/" + "A" * 400,
        "true",
        "false",
        "service:jmx:rmi:///jndi/rmi://:9010/jmxrmi",
    ]
) | st.lists(jvm_word, max_size=4).map(" ".join)


@st.composite
def counter_file(draw: st.DrawFn) -> bytes:
    """A file as a JVM writes it, with some of its bytes and numbers changed, or cut short, or nothing like it."""
    if draw(st.integers(0, 9)) == 0:
        return draw(st.binary(max_size=400))
    data = bytearray(hsperfdata(draw(st.dictionaries(name, value, max_size=8)), big=draw(st.booleans())))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, 800))
        struct.pack_into("<i", data, at, draw(st.integers(-(1 << 31), (1 << 31) - 1) | st.integers(-40, 40)))
    if draw(st.integers(0, 4)) == 0:
        del data[draw(st.integers(0, 900)) :]
    return bytes(data)


class Written:
    """A process that wrote all this about itself, and counts what is read of it."""

    users = frozenset({1000})

    def __init__(self, arguments: list[str], variables: dict[str, str], text: str) -> None:
        self._arguments = arguments
        self._variables = variables
        self._text = text
        self.files = 0

    def arguments(self) -> tuple[str, ...]:
        return tuple(self._arguments)

    def environment(self, _names: Iterable[str]) -> tuple[dict[str, str], bool]:
        return self._variables, True

    def file(self, path: str, limit: int) -> File | None:
        self.files += 1
        if not self._text or SECRET in path:
            return None
        return File(content=self._text.encode("utf-8", "replace")[:limit], written=0.0)

    def older_than(self, _file: File) -> bool:
        return False


def sockets(process: str, unit: str) -> list[Listener]:
    owner = Owner(process=process, unit=unit, pid=7, exe="/usr/bin/redis-server")
    return [
        Listener(
            transport=Transport.TCP,
            address=ipaddress.ip_address("0.0.0.0"),
            port=number,
            cookie=number,
            owner=owner,
        )
        for number in PORTS
    ]


def is_safe_to_tell(listener: Listener, exposure: Exposure) -> None:
    """Hold what is told of a socket against what must not be in it."""
    shown = presentable(exposure)
    assert all(len(place) <= 200 and place.isprintable() for place in shown.evidence)
    assert SECRET not in "".join(shown.evidence)
    owner = listener.owner
    finding = Finding(
        kind=Kind.SERVICE_EXPOSED,
        severity=severity(shown.protection, reachable=True, documented=False),
        message=f"{described(shown)} on {listener} ({owner.process}, unit {owner.unit}) {shown.evidence}",
        port=listener.port,
        unit=owner.unit,
        process=owner.process,
        evidence={"service": shown.application.value, "protection": shown.protection.value, "exe": owner.exe},
    )
    alert = Alert(finding=finding, state=AlertState.FIRING, since=datetime(2026, 1, 1, tzinfo=UTC))
    values = fields(alert, roles=("printum/all-in-one",), mode="observe", manager="portguard")
    text = message(alert, values)
    assert len(text.splitlines()) == 1
    assert text.count("|") == 1
    assert len(text) < 8000
    # Every pair is one that was given: a shipper that reads them finds no other value for any of them.
    pairs = re.findall(r'(\w+)=("(?:[^"\\]|\\.)*"|\S+)', text.partition(" | ")[2])
    assert [name.upper() for name, _ in pairs] == [name for name in FIELDS if name in values]
    assert values["EVENT"] == "service_exposed"
    assert values["SEVERITY"] == finding.severity.value


# --- what must hold ----------------------------------------------------------------------------------------------


@FUZZ
@given(counter_file())
def test_any_hsperfdata_file_is_read_or_refused(data: bytes) -> None:
    found = parse(data)

    if found is not None:
        assert found.local_port is None or 0 < found.local_port <= 65535
        assert all(row.port is None or 0 < row.port <= 65535 for row in found.agents)
        assert len(found.arguments) <= 4096


@FUZZ
@given(
    counter_file() | st.none(),
    st.lists(jvm_word, max_size=8),
    st.dictionaries(
        st.sampled_from(jvm_options.VARIABLES), st.lists(jvm_word, max_size=4).map(" ".join), max_size=4
    ),
    st.lists(jvm_word, max_size=6).map("\n".join),
    st.lists(st.sampled_from([*MARKS, "RMI TCP Accept-", "JDWP Transport "]) | junk, max_size=12),
    junk,
)
def test_any_jvm_is_classified_and_told_safely(  # noqa: PLR0917 - one of everything that a process writes
    data: bytes | None,
    arguments: list[str],
    variables: dict[str, str],
    text: str,
    names: list[str],
    unit: str,
) -> None:
    process = Written(arguments, variables, text)
    counters = parse(data) if data is not None else None
    options = jvm_options.options_of(process, counters.arguments if counters else "")  # type: ignore[arg-type]
    listeners = sockets("java", unit)
    found = classify(listeners, counters, options, Threads(names=tuple(names), complete=True), hidden=False)

    assert process.files <= 16
    assert set(found) <= set(PORTS)
    for row in listeners:
        if row.cookie in found:
            is_safe_to_tell(row, found[row.cookie])


@FUZZ
@given(
    st.lists(redis_word, max_size=10) | st.lists(title, min_size=1, max_size=2),
    st.lists(redis_word.map(lambda word: word.removeprefix("--")), max_size=10).map("\n".join),
    junk,
    junk,
)
def test_any_redis_is_classified_and_told_safely(
    arguments: list[str], text: str, name_: str, unit: str
) -> None:
    process = Written(["redis-server", *arguments] if len(arguments) != 1 else arguments, {}, text)
    listeners = sockets(name_, unit)
    threads = Threads(names=("bio_aof",), complete=True)
    found = judge_redis(process, listeners, threads, lambda _: tuple(arguments) or None)  # type: ignore[arg-type]

    assert process.files <= 2 * 8 + 2
    assert set(found) == set(PORTS)
    for row in listeners:
        is_safe_to_tell(row, found[row.cookie])


def test_what_stands_in_evidence_is_made_presentable() -> None:
    nasty = ("/etc/\x1b[31mx\n | event=forged", "x" * 1000, "\u202e\u2028")
    exposure = Exposure(application=Application.REDIS, protection=Protection.NONE, evidence=nasty)

    assert presentable(exposure).evidence == ("/etc/?[31mx? | event=forged", "x" * 200, "??")
    is_safe_to_tell(sockets("a", "b")[0], exposure)
