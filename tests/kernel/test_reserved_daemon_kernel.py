"""Each use of the reserved range is told by the running daemon, and told to be over, whatever surface it is on."""

from __future__ import annotations

import json
import socket
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest
from guarded_host import FILES_OF_ITS_OWN, GuardedHost, eventually, guarded_host

if TYPE_CHECKING:
    from collections.abc import Iterator

    from namespaces import Netns

pytestmark = pytest.mark.kernel

BRIDGE = "br-printum"


@pytest.fixture
def host(netns: Netns, tmp_path: Path) -> Iterator[GuardedHost]:
    """A host on a second cable, on which the product itself may use the range."""
    with guarded_host(netns, tmp_path) as guarded:
        text = f'{guarded.config.read_text()}[reserved]\nallow_interfaces = ["br-printum*"]\n'
        guarded.config.write_text(text)
        do(guarded, LINK, BRIDGE)
        yield guarded


class Surface(NamedTuple):
    """A use of the range, its end, and what is told of it."""

    begin: tuple[str, ...]
    end: tuple[str, ...]
    told: str


ADD_RULE = "nft add rule ip n c"
TABLE = ("nft add table ip n", "nft add chain ip n c")
GONE = ("nft delete table ip n",)
LINK = ("ip link add {0} type veth peer name {0}-far", "ip link set {0}-far up", "ip link set {0} up")
LOOK = ("ip address add 192.0.2.9/32 dev eth0",)
"""Files are read when addresses or routes change, and every minute."""
# With an interface for each: one that comes and goes five times in ten minutes is called unsteady, and left alone.
SURFACES = {
    "address": Surface(
        ("ip address add 10.28.32.5/26 dev {0}",),
        ("ip address del 10.28.32.5/26 dev {0}",),
        "address 10.28.32.5/26 on {0} lies in the reserved range",
    ),
    "route": Surface(
        ("ip route add 10.28.32.8/29 dev {0} table 77",),
        ("ip route del 10.28.32.8/29 dev {0} table 77",),
        "route 10.28.32.8/29 on {0} lies in the reserved range",
    ),
    "one gateway of several": Surface(
        ("ip route add 198.51.100.0/24 nexthop via 10.28.32.1 dev {0} onlink nexthop via 10.1.0.9 dev eth0",),
        ("ip route del 198.51.100.0/24",),
        "gateway 10.28.32.1 on {0} lies in the reserved range",
    ),
    "gateway of a nexthop object": Surface(
        ("ip nexthop add id 7 via 10.28.32.1 dev {0} onlink", "ip route add 198.51.100.0/24 nhid 7"),
        ("ip route del 198.51.100.0/24",),
        "gateway 10.28.32.1 on {0} lies in the reserved range",
    ),
    "far end of a line": Surface(
        ("ip address add 192.0.2.1 peer 10.28.32.7/32 dev {0}",),
        ("ip address del 192.0.2.1 peer 10.28.32.7/32 dev {0}",),
        "route 10.28.32.7/32 on {0} lies in the reserved range",
    ),
    "neighbour": Surface(
        ("ip neighbour add 10.28.32.9 lladdr 02:00:00:00:00:01 dev {0}",),
        ("ip neighbour del 10.28.32.9 dev {0}",),
        "neighbour 10.28.32.9 on {0} lies in the reserved range",
    ),
    "rule": Surface(
        (*TABLE, f"{ADD_RULE} ip saddr 10.28.32.5 accept"),
        GONE,
        "of ip n c names 10.28.32.5, of the reserved range",
    ),
    "set element": Surface(
        (*TABLE, "nft add set ip n s {{ type ipv4_addr; }}", "nft add element ip n s {{ 10.28.32.6 }}"),
        GONE,
        "set s of table ip n names 10.28.32.6, of the reserved range",
    ),
}


def do(host: GuardedHost, commands: tuple[str, ...], interface: str = "eth0") -> None:
    for command in commands:
        host.netns.run(*command.format(interface).split())


def told(host: GuardedHost, text: str, state: str = "firing") -> None:
    eventually(
        lambda: any(text in line for line in host.said("reserved_address_in_use", state)),
        f"{text!r} {state}; the log:\n{host.log()}",
    )


def test_what_the_kernel_announces_is_told_and_its_end_too(host: GuardedHost) -> None:
    host.start(*FILES_OF_ITS_OWN)
    assert host.said("reserved_address_in_use") == []
    for number, surface in enumerate(SURFACES.values()):
        interface = f"s{number}"
        do(host, LINK, interface)
        do(host, surface.begin, interface)
        told(host, surface.told.format(interface))
        do(host, surface.end, interface)
        eventually(
            lambda: (
                len(host.said("reserved_address_in_use", "resolved"))
                == len(host.said("reserved_address_in_use"))
            ),
            f"the end of {surface.told}",
        )
    lines = host.said("reserved_address_in_use")
    assert [line.partition(" ")[0] for line in lines] == ["critical"] * len(SURFACES)


def test_a_lease_and_dockers_networks_are_told_from_their_files(host: GuardedHost) -> None:
    host.start(*FILES_OF_ITS_OWN)
    assert host.process is not None
    root = Path("/proc", str(host.process.pid), "root")
    (root / "run/systemd/netif/leases/2").write_text("ADDRESS=10.28.32.44\nNETMASK=255.255.255.192\n")
    (root / "etc/docker").mkdir(exist_ok=True)
    daemon = {
        "bip": "10.28.32.1/26",
        "default-address-pools": [{"base": "10.28.0.0/16", "size": 24}],
    }
    (root / "etc/docker/daemon.json").write_text(json.dumps(daemon))
    do(host, LOOK)
    told(host, "10.28.32.44, of the reserved range 10.28.32.0/26, was given to this host by DHCP")
    told(host, "the container network bip 10.28.32.0/26 of /etc/docker/daemon.json lies in")
    told(host, "the container network default-address-pools 10.28.0.0/16 of /etc/docker/daemon.json contains")
    severities = [line.partition(" ")[0] for line in host.said("reserved_address_in_use")]
    assert sorted(severities) == ["critical", "critical", "notice"]


def test_a_listener_and_a_live_connection_are_told_with_their_process(host: GuardedHost) -> None:
    host.start(*FILES_OF_ITS_OWN)
    do(host, SURFACES["address"].begin)
    with ExitStack() as stack:
        server = stack.enter_context(socket.create_server(("10.28.32.5", 7777)))
        stack.enter_context(socket.create_connection(("10.28.32.5", 7777)))
        stack.enter_context(server.accept()[0])
        told(host, "10.28.32.5:7777/tcp (")
        told(
            host, "2 connections with 10.28.32.5, of the reserved range 10.28.32.0/26; the first: 10.28.32.5:"
        )
    lines = host.said("reserved_address_in_use")
    assert all(" target_pid=" in line for line in lines if "7777" in line)


def test_where_the_product_uses_it_nothing_is_told(host: GuardedHost) -> None:
    host.start(*FILES_OF_ITS_OWN)
    for name in ("address", "route", "neighbour"):
        do(host, SURFACES[name].begin, BRIDGE)
    do(host, SURFACES["rule"].begin)
    with socket.create_server(("10.28.32.5", 7777)), socket.create_server(("0.0.0.0", 7778)):
        # What is not documented is told after all that was there before it.
        eventually(
            lambda: any(" port=7778 " in line for line in host.said("listener_unexpected")), "the listener"
        )
    assert host.said("reserved_address_in_use") == []
