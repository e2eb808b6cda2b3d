"""Interfaces, routes and neighbours of the real kernel."""

from __future__ import annotations

from contextlib import closing
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING

import pytest
from pyroute2 import IPRoute

from portguard.errors import ObserveError
from portguard.kernel import netlink
from portguard.kernel.legacy import legacy_tables
from portguard.kernel.links import RouteReader
from portguard.kernel.netlink import Message
from portguard.model.snapshot import Neighbour, Route

if TYPE_CHECKING:
    from collections.abc import Iterator

    from namespaces import Netns

pytestmark = pytest.mark.kernel


@pytest.fixture
def reader(netns: Netns) -> Iterator[RouteReader]:
    """A host with one cable: ``lan``, whose other end is ``far``."""
    for command in (
        "link add lan type veth peer name far",
        "link set lan up",
        "link set far up",
        "address add 10.28.32.5/26 dev lan",
        "-6 address add 2001:db8::1/64 dev lan nodad",
    ):
        netns.run("ip", *command.split())
    with closing(RouteReader()) as opened:
        yield opened


def routes(reader: RouteReader, network: str) -> list[Route]:
    return [route for route in reader.read().routes if route.network == ip_network(network)]


def index(reader: RouteReader, name: str) -> int:
    (found,) = [interface.index for interface in reader.read().interfaces if interface.name == name]
    return found


def test_an_interface_carries_its_own_addresses(reader: RouteReader, netns: Netns) -> None:
    netns.run("ip", "link", "set", "lan", "down")
    by_name = {interface.name: interface for interface in reader.read().interfaces}

    assert list(by_name) == ["lo", "far", "lan"]
    assert (by_name["lo"].up, by_name["lan"].up) == (True, False)
    assert (ip_address("10.28.32.5"), 26) in by_name["lan"].addresses
    assert by_name["lo"].addresses == ((ip_address("127.0.0.1"), 8), (ip_address("::1"), 128))


def test_of_a_point_to_point_address_the_own_end_is_read(reader: RouteReader, netns: Netns) -> None:
    netns.run("ip", "address", "add", "10.5.0.1", "peer", "10.6.0.1/32", "dev", "far")
    (far,) = [interface for interface in reader.read().interfaces if interface.name == "far"]

    own = {address for address, _ in far.addresses}
    assert ip_address("10.5.0.1") in own
    assert ip_address("10.6.0.1") not in own


def test_the_bridge_of_a_port_is_read(reader: RouteReader, netns: Netns) -> None:
    netns.run("ip", "link", "add", "br0", "type", "bridge")
    netns.run("ip", "link", "set", "far", "master", "br0")
    found = {interface.name: interface for interface in reader.read().interfaces}
    assert found["far"].master == found["br0"].index
    assert found["br0"].master is None
    assert found["br0"].lower is None


def test_the_routes_of_own_addresses_are_left_out(reader: RouteReader) -> None:
    assert routes(reader, "10.28.32.5/32") == []
    lan = Route(
        network=ip_network("10.28.32.0/26"), interface=index(reader, "lan"), source=ip_address("10.28.32.5")
    )
    assert routes(reader, "10.28.32.0/26") == [lan]


@pytest.mark.parametrize("everywhere", ["0.0.0.0/0", "::/0"])
def test_a_default_route_leads_everywhere(reader: RouteReader, netns: Netns, everywhere: str) -> None:
    gateway = "10.28.32.1" if "." in everywhere else "2001:db8::2"
    netns.run("ip", "route", "add", everywhere, "via", gateway, "dev", "lan", "metric", "7")

    (route,) = routes(reader, everywhere)

    assert (route.gateway, route.interface, route.metric) == (ip_address(gateway), index(reader, "lan"), 7)


def test_each_next_hop_of_a_route_is_a_route(reader: RouteReader, netns: Netns) -> None:
    hops = "nexthop via 10.28.32.1 dev lan nexthop via 10.28.32.2 dev lan"
    netns.run("ip", "route", "add", "10.77.0.0/16", *hops.split())

    gateways = [route.gateway for route in routes(reader, "10.77.0.0/16")]

    assert gateways == [ip_address("10.28.32.1"), ip_address("10.28.32.2")]


def test_a_gateway_of_the_other_ip_version_is_read(reader: RouteReader, netns: Netns) -> None:
    netns.run("ip", "route", "add", "10.88.0.0/16", "via", "inet6", "2001:db8::9", "dev", "lan")

    assert [route.gateway for route in routes(reader, "10.88.0.0/16")] == [ip_address("2001:db8::9")]


def test_routes_of_other_tables_and_to_nowhere_are_read(reader: RouteReader, netns: Netns) -> None:
    netns.run("ip", "route", "add", "blackhole", "10.9.0.0/16", "table", "1000")

    (route,) = routes(reader, "10.9.0.0/16")

    assert (route.interface, route.table) == (None, 1000)


def test_only_a_neighbour_that_answered_has_a_mac(reader: RouteReader, netns: Netns) -> None:
    netns.run("ip", "neighbour", "add", "10.28.32.9", "lladdr", "02:00:00:00:00:01", "dev", "lan")
    netns.run("ip", "neighbour", "add", "10.28.32.10", "dev", "lan", "nud", "failed")
    lan = index(reader, "lan")

    found = [entry for entry in reader.read().neighbours if entry.address.version == 4]

    assert found == [
        Neighbour(address=ip_address("10.28.32.9"), interface=lan, mac="02:00:00:00:00:01"),
        Neighbour(address=ip_address("10.28.32.10"), interface=lan, mac=None),
    ]


def test_multicast_entries_are_nobodys_address(reader: RouteReader) -> None:
    assert [entry for entry in reader.read().neighbours if entry.address.is_multicast] == []


def test_addresses_and_routes_are_those_that_pyroute2_reads(reader: RouteReader) -> None:
    """The library that others trust, as a witness."""
    with IPRoute() as other:
        listed = {
            (message["index"], message.get_attr("IFA_LOCAL") or message.get_attr("IFA_ADDRESS"))
            for message in other.get_addr()
        }
        routed = {
            (f"{message.get_attr('RTA_DST')}/{message['dst_len']}", message.get_attr("RTA_OIF"))
            for message in other.get_routes()
            if message.get_attr("RTA_TABLE") != 255
        }

    seen = reader.read()

    assert listed == {(link.index, str(address)) for link in seen.interfaces for address, _ in link.addresses}
    assert routed == {(str(route.network), route.interface) for route in seen.routes}


@pytest.mark.parametrize(
    "error", [OSError(12, "Cannot allocate memory"), PermissionError(1, "Operation not permitted")]
)
def test_a_failed_dump_is_an_error_not_an_empty_host(
    reader: RouteReader, monkeypatch: pytest.MonkeyPatch, error: OSError
) -> None:
    def refuse(_kind: int, _fixed: object) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(reader, "_dump", refuse)
        with pytest.raises(ObserveError, match=str(error.strerror)):
            reader.read()

    assert reader.read().interfaces


def test_what_rtnetlink_never_said_before_is_an_error(
    reader: RouteReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = Message(type=0, flags=0, sequence=0, port=0, payload=memoryview(b"\x02"))
    monkeypatch.setattr(reader, "_dump", lambda _kind, _fixed: [short])

    with pytest.raises(ObserveError, match="something unknown"):
        reader.read()


def test_a_dump_that_changes_each_time_is_given_up(
    reader: RouteReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel marks a dump during which objects came or went."""
    monkeypatch.setattr(netlink, "NLM_F_DUMP_INTR", 0x2)

    with pytest.raises(ObserveError, match="changed 5 times"):
        reader.read()


def test_without_the_old_iptables_there_are_no_legacy_tables(netns: Netns) -> None:  # noqa: ARG001 - asked in it
    assert legacy_tables() == ()
