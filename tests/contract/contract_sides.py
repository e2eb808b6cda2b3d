"""The two sides of the contract: the same cases run on the fake kernel and on the real one."""

from __future__ import annotations

import socket
import time
from contextlib import closing
from dataclasses import replace
from ipaddress import ip_address, ip_interface
from typing import TYPE_CHECKING, Protocol

from portguard.kernel.fake import FakeKernel
from portguard.kernel.nft import Nft
from portguard.kernel.real import open_world
from portguard.model.listener import Owner
from portguard.model.net import Transport
from portguard.model.snapshot import Connection, Interface

if TYPE_CHECKING:
    from contextlib import ExitStack
    from pathlib import Path

    from namespaces import Netns
    from portguard.kernel.world import World
    from portguard.model.transaction import Transaction


class Side(Protocol):
    """A world, and what somebody else does in it."""

    world: World

    def foreign(self, tx: Transaction) -> None:
        """Let another process commit."""

    def listen(self, transport: Transport, address: str, port: int, *, v6only: bool = True) -> None:
        """Let a program listen."""

    def close(self, port: int) -> None:
        """Let the program on that port end."""

    def connect(self, transport: Transport, address: str, port: int) -> None:
        """Let a program connect to a listener of this host, so that each end is the other's peer."""

    def add_address(self, text: str) -> None:
        """Give the loopback interface one more address, as ``10.28.32.5/26``."""

    def pass_time(self, seconds: float) -> None:
        """Let time pass, for the kernel as well."""


class FakeSide:
    """The fake kernel."""

    def __init__(self, *, announces: bool = False) -> None:
        self._kernel = FakeKernel()
        if announces:
            self._kernel.listen_events.set_up()
        self._kernel.links = replace(
            self._kernel.links,
            interfaces=(
                Interface(index=1, name="lo", up=True, addresses=((ip_interface("127.0.0.1").ip, 8),)),
            ),
        )
        self.world = self._kernel.world()
        self.world.link_events.drain()

    def foreign(self, tx: Transaction) -> None:
        self._kernel.foreign(tx)

    def listen(self, transport: Transport, address: str, port: int, *, v6only: bool = True) -> None:
        self._kernel.listen(transport, address, port, v6only=v6only)

    def connect(self, transport: Transport, address: str, port: int) -> None:
        here, there = ip_address(address), 40000 + len(self._kernel.connections)
        for peer_port, local_port in ((port, there), (there, port)):
            self._kernel.connections.append(
                Connection(
                    peer=here,
                    peer_port=peer_port,
                    local=here,
                    local_port=local_port,
                    transport=transport,
                    state="established",
                    owner=Owner(),
                )
            )

    def close(self, port: int) -> None:
        for listener in self._kernel.listeners:
            if listener.port == port:
                self._kernel.close(listener)

    def add_address(self, text: str) -> None:
        address = ip_interface(text)
        (loopback,) = self._kernel.links.interfaces
        addresses = (*loopback.addresses, (address.ip, address.network.prefixlen))
        self._kernel.links = replace(
            self._kernel.links, interfaces=(replace(loopback, addresses=tuple(sorted(addresses))),)
        )

    def pass_time(self, seconds: float) -> None:
        self._kernel.clock.advance(seconds)


class RealSide:
    """The real kernel, in a network namespace of its own."""

    def __init__(self, netns: Netns, stack: ExitStack, *, trace: Path | None = None) -> None:
        self._netns = netns
        self._stack = stack
        self._sockets: dict[int, socket.socket] = {}
        self.world = stack.enter_context(closing(open_world(trace=trace)))
        self._other = stack.enter_context(closing(Nft()))
        self.world.link_events.drain()

    def foreign(self, tx: Transaction) -> None:
        self._other.commit(tx)

    def listen(self, transport: Transport, address: str, port: int, *, v6only: bool = True) -> None:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        kind = socket.SOCK_STREAM if transport is Transport.TCP else socket.SOCK_DGRAM
        sock = self._stack.enter_context(socket.socket(family, kind))
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, v6only)
        sock.bind((address, port))
        if transport is Transport.TCP:
            sock.listen()
        self._sockets[port] = sock

    def connect(self, transport: Transport, address: str, port: int) -> None:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        kind = socket.SOCK_STREAM if transport is Transport.TCP else socket.SOCK_DGRAM
        sock = self._stack.enter_context(socket.socket(family, kind))
        sock.connect((address, port))
        if transport is Transport.TCP:
            self._stack.enter_context(self._sockets[port].accept()[0])
        else:
            self._sockets[port].connect(sock.getsockname())

    def close(self, port: int) -> None:
        self._sockets.pop(port).close()

    def add_address(self, text: str) -> None:
        self._netns.run("ip", "address", "add", text, "dev", "lo")

    def pass_time(self, seconds: float) -> None:
        time.sleep(seconds)
