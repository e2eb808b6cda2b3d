"""Ask the kernel itself: packets of any source into a network namespace, and what became of each.

A *server* namespace has two interfaces to the network (``eth0``, ``eth1``) and one behind it (``eth2``) to which it
forwards. The far ends lie in a *client* namespace that has no addresses: whole frames are written to it and read from it,
so that a packet may claim any source. All answers are immediate and in order: the last frame of a batch is a marker,
and when its echo is back everything before it has been decided.
"""

from __future__ import annotations

import ctypes
import ipaddress
import os
import select
import socket
import struct
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

from path_questions import ADDRESSES, ROUTES
from portguard.kernel.generation import open_generation
from portguard.kernel.libnftables import Libnftables
from portguard.model.net import IPAddress, Transport
from portguard.model.path import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from portguard.model.ruleset import Json

T = TypeVar("T")

CLONE_NEWNET = 0x40000000
ETH_P_ALL = 3
MARKER = 0x88B5
"""An EtherType for local experiments: no netfilter hook of IP sees the markers."""

SERVER_MAC = {"eth0": "02:00:00:00:00:10", "eth1": "02:00:00:00:01:10", "eth2": "02:00:00:00:02:10"}
CLIENT_MAC = {"eth0": "02:00:00:00:00:20", "eth1": "02:00:00:00:01:20", "eth2": "02:00:00:00:02:20"}
OWN_ADDRESS = {4: "10.1.0.1", 6: "fd01::1"}
"""The server's first address of each version."""
GATEWAY = {
    "eth0": ("10.1.255.254", "fd01::ffff"),
    "eth1": ("10.2.255.254", "fd02::ffff"),
    "eth2": ("10.3.0.10", "fd03::10"),
}
BEHIND = ("10.3.0.10", "fd03::10")
"""Hosts on the far side of ``eth2``, to which translations may send."""

_SYSCTLS = {
    "net/ipv4/ip_forward": 1,
    "net/ipv4/conf/all/rp_filter": 0,
    "net/ipv4/conf/default/rp_filter": 0,
    "net/ipv4/icmp_ratelimit": 0,
    "net/ipv4/icmp_msgs_per_sec": 1000000,
    "net/ipv4/icmp_msgs_burst": 1000000,
    "net/ipv4/tcp_syncookies": 2,
    "net/ipv6/icmp/ratelimit": 0,
    "net/ipv6/conf/all/disable_ipv6": 0,
    "net/ipv6/conf/all/forwarding": 1,
    "net/ipv6/conf/default/accept_dad": 0,
}

_libc = ctypes.CDLL(None, use_errno=True)


class Namespace:
    """A network namespace that lives as long as its thread; every socket and command of it is made there."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(max_workers=1, initializer=_unshare)
        self.task: int = self.run(threading.get_native_id)

    def run(self, function: Callable[..., T], *args: Any) -> T:
        """Call a function inside the namespace."""
        return self._pool.submit(function, *args).result()

    def command(self, argv: Sequence[str], text: str | None = None) -> str:
        """Run a command inside the namespace; raises CalledProcessError with what it said."""

        def call() -> str:
            done = subprocess.run(argv, input=text, capture_output=True, text=True, check=False)
            if done.returncode:
                raise subprocess.CalledProcessError(
                    done.returncode, argv, done.stdout, done.stderr + (text or "")
                )
            return done.stdout

        return self.run(call)

    def close(self) -> None:
        """Leave the namespace; the kernel removes it with its last socket."""
        self._pool.shutdown()


def _unshare() -> None:
    if _libc.unshare(CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "a network namespace of its own needs root")


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """One new connection: where it claims to come from, and what it wants."""

    source: IPAddress
    destination: IPAddress
    transport: Transport
    port: int
    interface: str = "eth0"

    @property
    def version(self) -> int:
        """IP version, 4 or 6."""
        return self.source.version


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What became of a probe."""

    outcome: Outcome
    port: int | None = None
    """Port at which it arrived, where it did."""


class Kernel:
    """The two namespaces, ready for rulesets and probes."""

    def __init__(self, ports: Iterable[int]) -> None:
        self.server, self.client = Namespace(), Namespace()
        self._next = 20000
        self._set_up()
        self._nft = self.server.run(Libnftables)
        self.asking = self.server.run(open_generation)
        """A netfilter socket of the server, for what nft does not list."""
        self._links = {name: self.client.run(_frames, f"p{name}") for name in SERVER_MAC}
        self._taps = {name: self.server.run(_frames, name) for name in SERVER_MAC}
        self._watched: list[socket.socket] = []
        self._sockets: dict[int, socket.socket] = {}
        self._listeners: list[socket.socket] = []
        self._udp: dict[int, int] = {}
        for port in ports:
            self._serve(port)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for item in [
            *self._links.values(),
            *self._watched,
            *self._taps.values(),
            *self._sockets.values(),
            *self._listeners,
        ]:
            item.close()
        self._nft.close()
        self.asking.close()
        self.server.close()
        self.client.close()

    def load(self, text: str) -> None:
        """Replace the server's whole ruleset. Raises ValueError with what nft says of a text that it refuses."""
        # One context for thousands of rulesets: a program of its own for each costs five times as much.
        _, refused = self.server.run(self._nft.run, f"flush ruleset\n{text}")
        if refused is not None:
            raise ValueError(refused)

    def listing(self) -> Json:
        """List the server's ruleset as JSON."""
        return self.server.run(self._nft.listing, {"ruleset": None})

    def text(self) -> str:
        """List the server's ruleset as text with handles, by the program."""
        return self.server.command(["nft", "-a", "list", "ruleset"])

    def connect(self, interface: str, command: Callable[[], object]) -> None:
        """Run what makes one more interface of the client, and take what arrives there for forwarded; nothing answers it."""
        silence = "table inet silence { chain in { type filter hook input priority 0; policy drop; icmpv6 type { 135, 136 } accept; }\n}\n"
        self.client.command(["nft", "-f", "-"], silence)
        self.client.run(_write, "net/ipv6/conf/default/disable_ipv6", 0)
        self.client.run(_write, "net/ipv6/conf/default/accept_dad", 0)
        command()
        self._watched.append(self.client.run(_frames, interface))

    def send(self, probes: Sequence[Probe]) -> list[Answer]:
        """Send probes in order and say what became of each."""
        answers: dict[int, Answer] = {}
        index: dict[int, int] = {}
        for place, probe in enumerate(probes):
            self._next = 20000 + (self._next - 19999) % 40000
            index[self._next] = place
            frame = _frame(probe, self._next)
            self._links[probe.interface].send(frame)
        self._settle()
        for name, link in self._links.items():
            for frame in _drained(link):
                _read_reply(frame, index, answers, forwarded=name == "eth2")
        for link in self._watched:
            # No marker passes here: the bridge before it may still ask for a neighbour.
            while select.select([link], [], [], 0.2)[0]:
                _read_reply(link.recv(2048), index, answers, forwarded=True)
        for number, item in self._sockets.items():
            while (read := _received(item)) is not None:
                if read in index:
                    answers[index[read]] = Answer(outcome=Outcome.OPEN, port=self._udp[number])
        return [answers.get(place, Answer(outcome=Outcome.DROPPED)) for place in range(len(probes))]

    def _settle(self) -> None:
        """Send a marker through every interface and back, behind all packets and all their answers."""
        for name, link in self._links.items():
            link.send(_marker(SERVER_MAC[name], CLIENT_MAC[name]))
            _await_marker(self._taps[name])
        for name, tap in self._taps.items():
            tap.send(_marker(CLIENT_MAC[name], SERVER_MAC[name]))
        self._pending = {name: _until_marker(link) for name, link in self._links.items()}
        for name, frames in self._pending.items():
            _KEPT[self._links[name].fileno()] = frames

    def _serve(self, port: int) -> None:
        for family, any_address in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
            udp = self.server.run(socket.socket, family, socket.SOCK_DGRAM)
            udp.setblocking(False)  # noqa: FBT003 - the library's signature
            tcp = self.server.run(socket.socket, family, socket.SOCK_STREAM)
            tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            for item in (udp, tcp):
                if family == socket.AF_INET6:
                    item.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                item.bind((any_address, port))
            tcp.listen(1024)
            self._sockets[udp.fileno()] = udp
            self._udp[udp.fileno()] = port
            self._listeners.append(tcp)

    def _set_up(self) -> None:
        for namespace in (self.server, self.client):
            namespace.command(["ip", "link", "set", "lo", "up"])
        for path, value in _SYSCTLS.items():
            self.server.run(_write, path, value)
        self.client.run(_write, "net/ipv6/conf/default/disable_ipv6", 1)
        for name, mac in SERVER_MAC.items():
            self.server.command(
                ["ip", "link", "add", name, "address", mac, "type", "veth",
                 "peer", "name", f"p{name}", "address", CLIENT_MAC[name], "netns", str(self.client.task)]
            )  # fmt: skip
            self.client.command(["ip", "link", "set", f"p{name}", "up"])
            lines = [f"link set {name} up"]
            lines += [
                f"addr add {address}/{32 if '.' in address else 128} dev {name}"
                for address in ADDRESSES[name]
            ]
            for gateway in GATEWAY[name]:
                lines.append(f"neigh add {gateway} lladdr {CLIENT_MAC[name]} dev {name} nud permanent")
            for route in ROUTES[name]:
                via = GATEWAY[name]["." not in route]
                if ipaddress.ip_address(via) in ipaddress.ip_network(route):
                    host = f"{via}/{32 if '.' in via else 128}"
                    if f"route add {host} dev {name}" not in lines:
                        lines.append(f"route add {host} dev {name}")
                lines.append(f"route add {route} via {via} dev {name} onlink")
            self.server.command(["ip", "-batch", "-"], "\n".join(lines) + "\n")


_KEPT: dict[int, list[bytes]] = {}


def _drained(link: socket.socket) -> list[bytes]:
    return _KEPT.pop(link.fileno(), [])


def _write(path: str, value: int) -> None:
    # The thread that writes sees the switches of its own namespace.
    Path(f"/proc/sys/{path}").write_text(str(value))


def _frames(name: str) -> socket.socket:
    out = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    out.setsockopt(socket.SOL_SOCKET, 33, 8 << 20)  # SO_RCVBUFFORCE
    out.bind((name, ETH_P_ALL))
    return out


def _marker(to: str, by: str) -> bytes:
    return _mac(to) + _mac(by) + struct.pack("!H", MARKER) + bytes(46)


def _await_marker(tap: socket.socket) -> None:
    while not _is_marker(_next_frame(tap)):
        pass


def _until_marker(link: socket.socket) -> list[bytes]:
    out = []
    while not _is_marker(frame := _next_frame(link)):
        out.append(frame)
    return out


def _next_frame(item: socket.socket) -> bytes:
    """Read the next frame that came in; those that this end sent itself are passed over."""
    while True:
        if not select.select([item], [], [], 10)[0]:
            raise TimeoutError("the marker did not come through: the namespaces are not wired")
        frame, address = item.recvfrom(2048)
        if address[2] != socket.PACKET_OUTGOING:
            return frame


def _is_marker(frame: bytes) -> bool:
    return frame[12:14] == struct.pack("!H", MARKER)


def _received(item: socket.socket) -> int | None:
    """Source port of a datagram that waits in a socket: it says so itself, whatever became of its header."""
    try:
        return int.from_bytes(item.recv(2)[:2], "big")
    except BlockingIOError:
        return None


def _mac(text: str) -> bytes:
    return bytes.fromhex(text.replace(":", ""))


def _checksum(data: bytes) -> int:
    if len(data) % 2:
        data += b"\0"
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def _frame(probe: Probe, tag: int) -> bytes:
    """Build the first packet of a connection whose source port is ``tag``."""
    source, destination = probe.source.packed, probe.destination.packed
    if probe.transport is Transport.TCP:
        number = socket.IPPROTO_TCP
        body = bytearray(struct.pack("!HHIIBBHHH", tag, probe.port, tag, 0, 5 << 4, 0x02, 65535, 0, 0))
        at = 16
    elif probe.transport is Transport.UDP:
        number = socket.IPPROTO_UDP
        body = bytearray(struct.pack("!HHHHH", tag, probe.port, 10, 0, tag))
        at = 6
    else:
        number = socket.IPPROTO_ICMP if probe.version == 4 else socket.IPPROTO_ICMPV6
        body = bytearray(struct.pack("!BBHHH", 8 if probe.version == 4 else 128, 0, 0, tag, 1))
        at = 2
    pseudo = source + destination + struct.pack("!IHBB", len(body), 0, 0, number)
    if probe.transport is Transport.ICMP and probe.version == 4:
        pseudo = b""
    body[at : at + 2] = struct.pack("!H", _checksum(pseudo + bytes(body)) or 0xFFFF)
    if probe.version == 4:
        header = bytearray(struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(body), 0, 0x4000, 64, number, 0))
        header += source + destination
        header[10:12] = struct.pack("!H", _checksum(bytes(header)))
        kind = 0x0800
    else:
        header = bytearray(struct.pack("!IHBB", 6 << 28, len(body), number, 64) + source + destination)
        kind = 0x86DD
    ends = _mac(SERVER_MAC[probe.interface]) + _mac(CLIENT_MAC[probe.interface])
    return ends + struct.pack("!H", kind) + bytes(header) + bytes(body)


def _read_reply(frame: bytes, index: dict[int, int], answers: dict[int, Answer], *, forwarded: bool) -> None:
    """Find out to which probe a frame of the server belongs, and what it says."""
    kind = int.from_bytes(frame[12:14], "big")
    packet = frame[14:]
    if kind == 0x0800:
        number, body = packet[9], packet[(packet[0] & 15) * 4 :]
    elif kind == 0x86DD:
        number, body = packet[6], packet[40:]
    else:
        return
    if forwarded:
        tag, port = _tag_of_request(number, body)
        if tag in index:
            answers[index[tag]] = Answer(outcome=Outcome.OPEN, port=port)
        return
    if number == socket.IPPROTO_TCP:
        server, tag, flags = int.from_bytes(body[0:2], "big"), int.from_bytes(body[2:4], "big"), body[13]
        if tag in index:
            open_ = flags & 0x12 == 0x12
            answers[index[tag]] = Answer(
                outcome=Outcome.OPEN if open_ else Outcome.REFUSED, port=server if open_ else None
            )
        return
    if number not in {socket.IPPROTO_ICMP, socket.IPPROTO_ICMPV6}:
        return
    if body[0] == (0 if kind == 0x0800 else 129):
        tag = int.from_bytes(body[4:6], "big")
        if tag in index:
            answers[index[tag]] = Answer(outcome=Outcome.OPEN)
    elif body[0] == (3 if kind == 0x0800 else 1):
        inner = body[8:]
        if kind == 0x0800:
            tag, _ = _tag_of_request(inner[9], inner[(inner[0] & 15) * 4 :])
        else:
            tag, _ = _tag_of_request(inner[6], inner[40:])
        if tag in index:
            answers[index[tag]] = Answer(outcome=Outcome.REFUSED)


def _tag_of_request(number: int, body: bytes) -> tuple[int, int | None]:
    """Read the tag and the destination port of a packet that a probe has become."""
    if number in {socket.IPPROTO_TCP, socket.IPPROTO_UDP}:
        return int.from_bytes(body[0:2], "big"), int.from_bytes(body[2:4], "big")
    if number in {socket.IPPROTO_ICMP, socket.IPPROTO_ICMPV6}:
        return int.from_bytes(body[4:6], "big"), None
    return -1, None


def pin() -> None:
    """Keep all of it on one processor: then packets are decided in the order in which they were sent."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
