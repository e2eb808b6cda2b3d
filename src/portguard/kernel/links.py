"""Interfaces with their addresses, routes and neighbours, straight from the kernel (``man 7 rtnetlink``).

Not by pyroute2: loading it takes 10 MB and 0.1 s of a daemon that needs these four dumps and nothing else, and
0.9.7 does not look whether objects changed while they were dumped.
"""

from __future__ import annotations

import socket
import struct
import sys
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import TYPE_CHECKING

from portguard.errors import ObserveError
from portguard.kernel.attribution import clean
from portguard.kernel.netlink import NETLINK_ROUTE, attributes, open_socket, request, string
from portguard.model.snapshot import Interface, Links, Neighbour, Route

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from portguard.kernel.netlink import Message
    from portguard.model.net import IPAddress, IPNetwork

_RTM_GETLINK = 18
_RTM_GETADDR = 22
_RTM_GETROUTE = 26
_RTM_GETNEIGH = 30

_LINK = struct.Struct("=BxHiII")
"""family, hardware type, index, flags, change mask (struct ifinfomsg)"""
_ADDRESS = struct.Struct("=BBBBI")
"""family, prefix length, flags, scope, interface (struct ifaddrmsg)"""
_ROUTE = struct.Struct("=BBBBBBBBI")
"""family, length of destination and source, tos, table, protocol, scope, type, flags (struct rtmsg)"""
_NEXT_HOP = struct.Struct("=HBBi")
"""length, flags, hops, interface (struct rtnexthop)"""
_NEIGHBOUR = struct.Struct("=BxxxiHBB")
"""family, interface, state, flags, type (struct ndmsg)"""

_IFLA_IFNAME = 3
_IFLA_LINK = 5
_IFLA_MASTER = 10
_IFLA_LINK_NETNSID = 37
_IFA_ADDRESS = 1
_IFA_LOCAL = 2
_RTA_DST = 1
_RTA_OIF = 4
_RTA_GATEWAY = 5
_RTA_PRIORITY = 6
_RTA_PREFSRC = 7
_RTA_MULTIPATH = 9
_RTA_TABLE = 15
_RTA_VIA = 18
_NDA_DST = 1
_NDA_LLADDR = 2

_IFF_UP = 0x1
_LOCAL_TABLE = 255
"""RT_TABLE_LOCAL."""
_NUD_NOARP = 0x40
"""Needs no neighbour discovery: multicast and loopback, which are nobody's address."""
_TRIES = 5


class RouteReader:
    """A warm rtnetlink socket in the network namespace of the thread that makes it."""

    def __init__(self) -> None:
        """Open the socket. Raises ObserveError."""
        try:
            self._socket = open_socket(NETLINK_ROUTE)
        except OSError as error:
            raise ObserveError(f"cannot open a rtnetlink socket: {error.strerror}") from error

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def read(self) -> Links:
        """Read all; 0.15 ms on a host with few routes, 5 microseconds more for each further one. Raises ObserveError."""
        for _ in range(_TRIES):
            try:
                return self._read()
            except InterruptedError:
                continue
            except OSError as error:
                raise ObserveError(f"cannot read addresses and routes: {error.strerror or error}") from error
            except (struct.error, ValueError) as error:
                raise ObserveError(f"rtnetlink said something unknown: {error}") from error
        raise ObserveError(f"addresses and routes changed {_TRIES} times while they were being read")

    def _read(self) -> Links:
        """Make the four dumps."""
        links, addresses = self._dump(_RTM_GETLINK, _LINK), self._dump(_RTM_GETADDR, _ADDRESS)
        routes, neighbours = self._dump(_RTM_GETROUTE, _ROUTE), self._dump(_RTM_GETNEIGH, _NEIGHBOUR)
        return Links(
            interfaces=tuple(sorted(_interfaces(links, addresses), key=_by_index)),
            routes=tuple(sorted(_routes(routes), key=_by_destination)),
            neighbours=tuple(sorted(_neighbours(neighbours), key=_by_address)),
        )

    def _dump(self, kind: int, fixed: struct.Struct) -> list[Message]:
        """Dump objects of a kind, of all families. Raises OSError."""
        return request(self._socket, kind, bytes(fixed.size), dump=True)


def _interfaces(links: Iterable[Message], addresses: Iterable[Message]) -> Iterator[Interface]:
    """Put addresses to their interfaces."""
    held: dict[int, list[tuple[IPAddress, int]]] = {}
    for message in addresses:
        family, length, _, _, index = _ADDRESS.unpack_from(message.payload)
        fields = dict(attributes(message.payload, _ADDRESS.size))
        # On a point-to-point link ADDRESS is the far end; IPv6 gives LOCAL only there.
        own = _address(family, fields.get(_IFA_LOCAL) or fields.get(_IFA_ADDRESS))
        if own is not None:
            held.setdefault(index, []).append((own, length))
    for message in links:
        _, _, index, flags, _ = _LINK.unpack_from(message.payload)
        fields = dict(attributes(message.payload, _LINK.size))
        name = fields.get(_IFLA_IFNAME)
        # With a namespace beside it, the number is one of that namespace: the far end of a veth.
        lower = None if _IFLA_LINK_NETNSID in fields else fields.get(_IFLA_LINK)
        yield Interface(
            index=index,
            name="" if name is None else clean(string(name)),
            up=bool(flags & _IFF_UP),
            addresses=tuple(sorted(held.get(index, ()), key=lambda pair: (pair[0].version, *pair))),
            master=_number(fields.get(_IFLA_MASTER), 0) or None,
            lower=_number(lower, 0) or None,
        )


def _routes(messages: Iterable[Message]) -> Iterator[Route]:
    """Take the routes apart: one for each next hop."""
    for message in messages:
        family, length, _, _, table, *_ = _ROUTE.unpack_from(message.payload)
        fields = dict(attributes(message.payload, _ROUTE.size))
        table = _number(fields.get(_RTA_TABLE), table)
        network = _network(family, fields.get(_RTA_DST), length)
        if table == _LOCAL_TABLE or network is None:
            continue
        for interface, hop in _hops(fields):
            yield Route(
                network=network,
                interface=interface,
                gateway=_gateway(family, hop),
                source=_address(family, fields.get(_RTA_PREFSRC)),
                metric=_number(fields.get(_RTA_PRIORITY), 0),
                table=table,
            )


def _hops(fields: Mapping[int, memoryview]) -> Iterator[tuple[int | None, Mapping[int, memoryview]]]:
    """Interface and attributes of each next hop; a route to nowhere has one without an interface."""
    rest = fields.get(_RTA_MULTIPATH)
    if rest is None:
        yield _number(fields.get(_RTA_OIF), 0) or None, fields
        return
    while rest:
        length, _, _, interface = _NEXT_HOP.unpack_from(rest)
        yield interface, dict(attributes(rest[:length], _NEXT_HOP.size))
        rest = rest[max(_NEXT_HOP.size, (length + 3) & ~3) :]


def _gateway(family: int, hop: Mapping[int, memoryview]) -> IPAddress | None:
    """Next hop's address; VIA gives one of the other IP version."""
    via = hop.get(_RTA_VIA)
    if via is not None:
        return _address(_number(via[:2], 0), via[2:])
    return _address(family, hop.get(_RTA_GATEWAY))


def _neighbours(messages: Iterable[Message]) -> Iterator[Neighbour]:
    """Take the entries of the ARP and ND caches that stand for somebody."""
    for message in messages:
        family, interface, state, _, _ = _NEIGHBOUR.unpack_from(message.payload)
        fields = dict(attributes(message.payload, _NEIGHBOUR.size))
        address = _address(family, fields.get(_NDA_DST))
        if address is None or state & _NUD_NOARP:
            continue
        # The kernel gives no link address as long as nobody answered (INCOMPLETE) or no longer does (FAILED).
        link = fields.get(_NDA_LLADDR)
        yield Neighbour(address=address, interface=interface, mac=None if link is None else link.hex(":"))


def _address(family: int, value: memoryview | None) -> IPAddress | None:
    """Read an address that may be missing; None for what is not IP (MPLS, multicast routing)."""
    if value is None or family not in {socket.AF_INET, socket.AF_INET6}:
        return None
    return IPv4Address(bytes(value)) if family == socket.AF_INET else IPv6Address(bytes(value))


def _network(family: int, value: memoryview | None, length: int) -> IPNetwork | None:
    """Read a destination; without an address it is everywhere. None for what is not IP."""
    if family == socket.AF_INET:
        return IPv4Network((bytes(value or bytes(4)), length))
    if family == socket.AF_INET6:
        return IPv6Network((bytes(value or bytes(16)), length))
    return None


def _number(value: memoryview | None, missing: int) -> int:
    """Read a number in the host's byte order."""
    return missing if value is None else int.from_bytes(value, sys.byteorder)


def _by_index(interface: Interface) -> int:
    """Key that sorts interfaces."""
    return interface.index


def _by_destination(route: Route) -> tuple[int, int, int, int, int, int, str]:
    """Key that sorts routes."""
    network = route.network
    where = (network.version, route.table, int(network.network_address), network.prefixlen)
    return (*where, route.metric, route.interface or 0, str(route.gateway))


def _by_address(neighbour: Neighbour) -> tuple[int, int, int]:
    """Key that sorts neighbours."""
    return (neighbour.address.version, int(neighbour.address), neighbour.interface)
