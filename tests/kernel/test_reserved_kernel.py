"""The reserved range on the surfaces of a real host: used, used by the product itself, and merely contained."""

from __future__ import annotations

import json
import socket
from contextlib import closing
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, cast

import pytest
from debian_programs import XTABLES, run, unpack

from portguard.catalogue.load import load
from portguard.core.reserved import reserved_findings
from portguard.core.resolve import resolve
from portguard.daemon.observer import Observer
from portguard.kernel.peers import Peers, any_peer
from portguard.kernel.real import open_world
from portguard.kernel.sockets import open_owners
from portguard.model.config import Config
from portguard.model.net import AddressSet, Transport
from portguard.model.snapshot import SAME_ENDS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from namespaces import Netns
    from portguard.model.finding import Finding

pytestmark = pytest.mark.kernel

RANGE = AddressSet.of("10.28.32.0/26")
CATALOGUE = load()


@pytest.fixture
def host(netns: Netns) -> Netns:
    """A host on two cables: ``eth0``, and the product's own ``br-printum0``."""
    for command in (
        "link add eth0 type veth peer name far",
        "link add br-printum0 type veth peer name inside",
        "address add 10.1.0.1/16 dev eth0",
        "link set eth0 up",
        "link set far up",
        "link set br-printum0 up",
        "link set inside up",
    ):
        netns.run("ip", *command.split())
    return netns


def told(*allowed: str) -> list[Finding]:
    """What is told of this host."""
    config = Config(roles=("printum/all-in-one",), reserved_interfaces=allowed)
    policy = resolve(config, CATALOGUE)
    with closing(open_world()) as world:
        observer = Observer(world)
        observer.watch_for(policy.reserved)
        snapshot = observer.snapshot()
    # Leases and container networks are those of the machine, not of the namespace.
    return [
        row
        for row in reserved_findings(policy, snapshot)
        if row.evidence["surface"] not in {"lease", "container network"}
    ]


def surfaces(*allowed: str) -> list[tuple[str, str]]:
    return [(str(row.evidence["surface"]), row.severity.value) for row in told(*allowed)]


LINKS = {
    "address": "address add 10.28.32.5/26 dev {}",
    "route": "route add 10.28.32.16/28 dev {}",
    "neighbour": "neighbour add 10.28.32.9 lladdr 02:00:00:00:00:01 dev {}",
    "gateway": "route add 192.0.2.0/24 via 10.28.32.1 dev {} onlink",
}


@pytest.mark.parametrize("surface", LINKS)
def test_what_stands_on_an_interface_is_an_alarm_and_on_the_products_own_it_is_not(
    host: Netns, surface: str
) -> None:
    assert surfaces() == []

    host.run("ip", *LINKS[surface].format("br-printum0").split())
    assert surfaces("br-printum*") == []
    assert surfaces() == [("interface", "critical")]

    host.run("ip", *LINKS[surface].replace(" add ", " del ").format("br-printum0").split())
    host.run("ip", *LINKS[surface].format("eth0").split())
    assert surfaces("br-printum*") == [("interface", "critical")]


@pytest.mark.parametrize("command", ["address add 10.28.0.1/16 dev eth0", "route add 10.0.0.0/8 dev eth0"])
def test_what_merely_contains_it_is_a_notice(host: Netns, command: str) -> None:
    host.run("ip", *command.split())

    assert surfaces() == [("interface", "notice")]


@pytest.mark.parametrize("kind", ["blackhole", "unreachable", "prohibit"])
def test_a_route_that_keeps_packets_from_it_is_a_notice(host: Netns, kind: str) -> None:
    host.run("ip", "route", "add", kind, "10.28.32.0/26")

    assert surfaces() == [("interface", "notice")]


RULES = {
    "add rule inet f input ip saddr 10.28.32.5 accept": ("rule", "critical"),
    "add rule inet f input ip saddr 10.28.32.0/26 tcp dport 6379 accept": ("rule", "critical"),
    "add rule inet f input ip saddr { 192.0.2.1, 10.28.32.5 } accept": ("rule", "critical"),
    "add rule inet f input ip saddr 10.28.32.60-10.28.32.70 accept": ("rule", "critical"),
    "add rule inet f input ip daddr & 255.255.255.192 == 10.28.32.0 accept": ("rule", "critical"),
    "add rule inet f input ip saddr . tcp dport { 10.28.32.5 . 22 } accept": ("rule", "critical"),
    "add rule inet f input ip saddr vmap { 10.28.32.5 : accept }": ("rule", "critical"),
    "add rule arp a input arp saddr ip 10.28.32.5 accept": ("rule", "critical"),
    "add rule ip n pre tcp dport 80 dnat to 10.28.32.5:8080": ("rule", "critical"),
    "add rule ip n pre tcp dport 80 dnat to 10.28.32.5-10.28.32.9": ("rule", "critical"),
    "add rule ip n pre dnat to tcp dport map { 80 : 10.28.32.5 }": ("rule", "critical"),
    "add rule ip n post snat to 10.28.32.5": ("rule", "critical"),
    "add set inet f s { type ipv4_addr; elements = { 10.28.32.5 } ; }": ("set element", "critical"),
    "add set inet f s { type ipv4_addr; flags interval; elements = { 10.28.32.0/27 } ; }": (
        "set element",
        "critical",
    ),
    "add set inet f s { type ipv4_addr . inet_service; elements = { 10.28.32.5 . 22 } ; }": (
        "set element",
        "critical",
    ),
    "add map ip n m { type inet_service : ipv4_addr; elements = { 80 : 10.28.32.5 } ; }": (
        "set element",
        "critical",
    ),
    "add map inet f v { type ipv4_addr : verdict; elements = { 10.28.32.5 : drop } ; }": (
        "set element",
        "notice",
    ),
    "add rule inet f input ip saddr 10.28.32.0/26 drop": ("rule", "notice"),
    "add rule inet f input ip saddr 10.28.32.5 reject": ("rule", "notice"),
    "add rule inet f input ip saddr != 10.28.32.0/26 accept": ("rule", "notice"),
    "add rule inet f input ip saddr 10.0.0.0/8 accept": ("rules", "notice"),
    "add set inet f s { type ipv4_addr; flags interval; elements = { 10.28.0.0/16 } ; }": ("rules", "notice"),
}


@pytest.mark.parametrize("command", RULES)
def test_a_literal_in_the_ruleset(host: Netns, command: str) -> None:
    chains = (
        "add table inet f",
        "add chain inet f input { type filter hook input priority 0; }",
        "add table arp a",
        "add chain arp a input { type filter hook input priority 0; }",
        "add table ip n",
        "add chain ip n pre { type nat hook prerouting priority -100; }",
        "add chain ip n post { type nat hook postrouting priority 100; }",
    )
    host.nft(*chains)
    assert surfaces() == []
    host.nft(command)

    assert surfaces() == [RULES[command]]


def test_the_products_own_rules_are_no_alarm(host: Netns) -> None:
    host.nft(
        "add table ip n",
        "add chain ip n post { type nat hook postrouting priority 100; }",
        "add chain ip n forward { type filter hook forward priority 0; }",
        'add rule ip n post ip saddr 10.28.32.0/26 oifname != "br-printum0" masquerade',
        'add rule ip n forward iifname "eth0" oifname "br-printum0" ip daddr 10.28.32.5 accept',
    )
    assert surfaces("br-printum*") == []
    assert len(surfaces()) == 2

    host.nft("add rule ip n forward ip daddr 10.28.32.6 accept")
    assert surfaces("br-printum*") == [("rule", "critical")]
    host.run("ip", "address", "add", "10.28.32.1/26", "dev", "br-printum0")
    assert surfaces("br-printum*") == []


class InNamespace:
    """Runs unpacked programs in a test's namespace."""

    def __init__(self, host: Netns) -> None:
        self._host = host

    def command(self, argv: Sequence[str], text: str | None = None) -> str:
        """Run a command."""
        return self._host.run(*argv, stdin=text or "")


def test_the_rules_of_iptables_are_read_like_any_other(host: Netns, monkeypatch: pytest.MonkeyPatch) -> None:
    unpack()
    monkeypatch.setenv("XTABLES_LIBDIR", str(XTABLES))
    script = (
        "iptables -A INPUT -s 10.28.32.5/32 -p tcp --dport 22 -j ACCEPT\n"
        "iptables -A INPUT -m iprange --src-range 10.28.32.7-10.28.32.9 -j ACCEPT\n"
        "iptables -t nat -A PREROUTING -p tcp --dport 80 -j DNAT --to-destination 10.28.32.6:80\n"
    )
    run(cast("Any", InNamespace(host)), script)

    assert surfaces() == [("rule", "critical")] * 3


def test_a_listener_bound_to_it(host: Netns) -> None:
    host.run("ip", "address", "add", "10.28.32.1/26", "dev", "br-printum0")
    with socket.create_server(("10.28.32.1", 8001)):
        assert ("listener", "critical") in surfaces()
        assert surfaces("br-printum*") == []


class Conversation:
    """A server of the range and its client, on this host."""

    def __init__(self, host: Netns, interface: str = "eth0") -> None:
        host.run("ip", "address", "add", "10.28.32.5/26", "dev", interface)
        self.server = socket.create_server(("10.28.32.5", 8001))
        self.ends: list[socket.socket] = []

    def connect(self, client: socket.socket, address: Any = ("10.28.32.5", 8001)) -> None:
        """Connect, and keep both ends."""
        client.connect(address)
        self.ends += [client, self.server.accept()[0]]

    def close(self) -> None:
        """End it all."""
        for end in (*self.ends, self.server):
            end.close()


@pytest.fixture
def conversation(host: Netns) -> Iterator[Conversation]:
    """A server of the range."""
    with closing(Conversation(host)) as made:
        yield made


@pytest.fixture
def peers(conversation: Conversation) -> Iterator[Peers]:  # noqa: ARG001 - in the same namespace
    """What finds connections."""
    with closing(Peers(open_owners())) as opened:
        yield opened


def test_a_connection_is_found_with_its_process(conversation: Conversation, peers: Peers) -> None:
    client = socket.socket()
    client.bind(("10.1.0.1", 0))
    conversation.connect(client)
    (found,) = [row for row in peers.connections(RANGE) if row.peer_port == 8001]

    assert (found.peer, found.local, found.state) == (
        ip_address("10.28.32.5"),
        ip_address("10.1.0.1"),
        "established",
    )
    assert str(found.owner.process).startswith(("python", "pytest"))
    assert ("connection", "critical") in surfaces()


def test_a_v4_mapped_peer_of_a_dual_stack_socket_is_the_ipv4_address(
    conversation: Conversation, peers: Peers
) -> None:
    client = socket.socket(socket.AF_INET6)
    client.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    conversation.connect(client, ("::ffff:10.28.32.5", 8001))
    found = [row for row in peers.connections(RANGE) if row.peer_port == 8001]

    assert [str(row.peer) for row in found] == ["10.28.32.5"]


def test_a_connected_udp_socket_is_a_connection(conversation: Conversation, peers: Peers) -> None:
    client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    conversation.ends.append(client)
    client.connect(("10.28.32.9", 161))

    assert [(str(row.peer), row.transport) for row in peers.connections(RANGE)] == [
        ("10.28.32.9", Transport.UDP)
    ]


def test_a_connection_that_was_closed_a_moment_ago_is_still_seen(
    conversation: Conversation, peers: Peers
) -> None:
    client = socket.socket()
    conversation.connect(client)
    client.close()
    conversation.ends[1].close()

    assert ("10.28.32.5", "closed") in [(str(row.peer), row.state) for row in peers.connections(RANGE)]


def test_connections_elsewhere_are_not_found(conversation: Conversation, peers: Peers) -> None:
    with socket.create_server(("10.1.0.1", 8002)) as server, socket.create_connection(("10.1.0.1", 8002)):
        conversation.ends.append(server.accept()[0])
        assert peers.connections(RANGE) == ()
        assert len(peers.connections(AddressSet.of("10.1.0.0/16"))) == 2
        assert len(peers.connections(AddressSet.of("10.1.0.1/32", "2001:db8::/32", "192.0.2.0/24"))) == 2


def test_thousands_of_connections_with_one_peer_do_not_hide_one_with_another(
    host: Netns, conversation: Conversation, peers: Peers
) -> None:
    """A proxy before the product's containers has as many, most of them closed within the last minute."""
    for _ in range(4200):
        client = socket.socket()
        client.connect(("10.28.32.5", 8001))
        conversation.server.accept()[0].close()
        client.close()
    host.run("ip", "address", "add", "10.28.32.6/26", "dev", "eth0")
    with socket.create_server(("10.28.32.6", 8002)) as server:
        client = socket.socket()
        client.bind(("10.1.0.1", 0))
        conversation.ends.append(client)
        client.connect(("10.28.32.6", 8002))
        conversation.ends.append(server.accept()[0])
        found = peers.connections(RANGE)

    assert [str(row.peer) for row in found].count("10.28.32.5") == SAME_ENDS
    assert ("10.28.32.6", "10.1.0.1") in [(str(row.peer), str(row.local)) for row in found]


def test_any_number_of_networks_is_asked_about(conversation: Conversation, peers: Peers) -> None:
    conversation.connect(socket.socket())
    many = AddressSet.of(*(f"192.0.{third}.{fourth}/32" for third in range(6) for fourth in range(1, 255, 2)))

    assert peers.connections(many) == ()
    assert len(peers.connections(many | RANGE)) == 2
    assert len(any_peer([*RANGE.networks()])) == 16


def test_ipv6_peers_are_found(host: Netns) -> None:
    host.run("ip", "-6", "address", "add", "fd00:28::5/128", "dev", "lo", "nodad")
    networks = AddressSet.of("fd00:28::/64", "10.28.32.0/26")
    with (
        socket.create_server(("fd00:28::5", 8001), family=socket.AF_INET6) as server,
        socket.create_connection(("fd00:28::5", 8001)),
        server.accept()[0],
        closing(Peers(open_owners())) as peers,
    ):
        assert len(peers.connections(networks)) == 2
        assert peers.connections(AddressSet.of("fd00:29::/64")) == ()


def test_a_connection_by_way_of_the_products_interface_is_no_alarm(host: Netns) -> None:
    with closing(Conversation(host, "br-printum0")) as conversation:
        conversation.connect(socket.socket())
        assert surfaces("br-printum*") == []
        assert ("connection", "critical") in surfaces()


def test_what_is_told_can_be_written_as_json(conversation: Conversation, host: Netns) -> None:
    conversation.connect(socket.socket())
    host.nft("add table inet f", "add set inet f s { type ipv4_addr; elements = { 10.28.32.5 } ; }")
    found = told()

    assert {"interface", "listener", "connection", "set element"} <= {
        str(row.evidence["surface"]) for row in found
    }
    assert json.dumps([dict(row.evidence) for row in found])
    assert len({row.id for row in found}) == len(found)
