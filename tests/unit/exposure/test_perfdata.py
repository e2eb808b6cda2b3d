"""A JVM's counters say what its agents are; a file that is no such file says nothing, whatever its numbers are."""

from __future__ import annotations

import struct

import pytest
from counters import LOCAL_33979, agent, hsperfdata

from portguard.exposure.perfdata import PerfData, RemoteAgent, parse

LOCAL = "sun.management.JMXConnectorServer.address"


@pytest.mark.parametrize("big", [False, True])
def test_agents_arguments_and_the_local_port_are_read_in_either_byte_order(big: bool) -> None:
    counters = {
        "java.rt.vmArgs": "-Xmx32m",
        **agent(9010, password="false", tls="false"),
        **agent(9020, number=1, certificate="true"),
        LOCAL: LOCAL_33979,
    }

    assert parse(hsperfdata(counters, big=big)) == PerfData(
        agents=(
            RemoteAgent(port=9010, authenticate=False, tls=False, certificate=False),
            RemoteAgent(port=9020, authenticate=True, tls=True, certificate=True),
        ),
        local_port=33979,
        arguments="-Xmx32m",
    )


def test_a_jvm_without_an_agent_has_none() -> None:
    assert parse(hsperfdata({"java.rt.vmArgs": ""})) == PerfData(agents=(), local_port=None, arguments="")


def test_what_a_counter_does_not_say_is_not_taken_for_false() -> None:
    found = parse(hsperfdata({"sun.management.JMXConnectorServer.0.remoteAddress": "rubbish"}))

    assert found is not None
    assert found.agents == (RemoteAgent(port=None, authenticate=None, tls=None, certificate=None),)


def test_of_two_counters_with_one_name_the_first_counts() -> None:
    # A JVM never writes a second one: whoever appends to its file does.
    first = hsperfdata(agent(9010, password="false", tls="false"))
    used = struct.unpack_from("<i", first, 8)[0]
    second = hsperfdata(agent(9010))
    rest = second[32 : struct.unpack_from("<i", second, 8)[0]]
    both = bytearray(first[:used] + rest + bytes(1000))
    struct.pack_into("<i", both, 28, 12)
    found = parse(bytes(both))

    assert found is not None
    assert [row.authenticate for row in found.agents] == [False]


GOOD = hsperfdata(agent(9010))


def changed(offset: int, value: int, form: str = "<i") -> bytes:
    data = bytearray(GOOD)
    struct.pack_into(form, data, offset, value)
    return bytes(data)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xca\xfe\xc0\xc0",
        b"\x7fELF" + GOOD[4:],
        hsperfdata(agent(9010), accessible=0),
        changed(4, 7, "<B"),
        changed(24, -1),
        changed(24, 1 << 30),
        changed(28, -1),
        changed(28, 1 << 30),
        changed(28, 1000),
        changed(32, 0),
        changed(32, 19),
        changed(32, -8),
        changed(32, 1 << 30),
        changed(36, -5),
        changed(36, 1 << 20),
        changed(40, 1 << 30),
        changed(48, -1),
        changed(48, 1 << 20),
        GOOD[:100],
    ],
)
def test_a_file_whose_numbers_do_not_fit_is_none(data: bytes) -> None:
    assert parse(data) is None


@pytest.mark.parametrize(
    "address",
    [
        "",
        "/stub/",
        "/stub/????",
        "/stub/AAAA",
        "/stub/AAtVbmljYXN0UmVmMgD/",
        "/stub/AAtVbmljYXN0UmVmMgAAAQ==",
    ],
)
def test_a_stub_that_is_none_gives_no_local_port(address: str) -> None:
    found = parse(hsperfdata({LOCAL: address}))

    assert found is not None
    assert found.local_port is None
