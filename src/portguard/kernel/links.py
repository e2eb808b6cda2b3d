"""Interfaces with their addresses, routes and neighbours, over rtnetlink."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, Any

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkDumpInterrupted, NetlinkError

from portguard.errors import ObserveError
from portguard.kernel.attribution import clean
from portguard.kernel.netlink import NLM_F_DUMP_INTR
from portguard.model.snapshot import Interface, Links, Neighbour, Route

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from portguard.model.net import IPAddress

_AF_INET = 2
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
            self._route = IPRoute()
        except (OSError, NetlinkError) as error:
            raise ObserveError(f"cannot open a rtnetlink socket: {error}") from error

    def close(self) -> None:
        """Close the socket."""
        self._route.close()

    def read(self) -> Links:
        """Read all; some milliseconds on a host with few routes. Raises ObserveError."""
        for _ in range(_TRIES):
            try:
                return self._read()
            except NetlinkDumpInterrupted:
                continue
            except (OSError, NetlinkError) as error:
                raise ObserveError(f"cannot read addresses and routes: {error}") from error
            except (KeyError, TypeError, ValueError) as error:
                raise ObserveError(f"rtnetlink said something unknown: {error!r}") from error
        raise ObserveError(f"addresses and routes changed {_TRIES} times while they were being read")

    def _read(self) -> Links:
        """Make the four dumps."""
        links, addresses = _whole(self._route.get_links()), _whole(self._route.get_addr())
        routes, neighbours = _whole(self._route.get_routes()), _whole(self._route.get_neighbours())
        return Links(
            interfaces=tuple(sorted(_interfaces(links, addresses), key=_by_index)),
            routes=tuple(sorted(_routes(routes), key=_by_destination)),
            neighbours=tuple(sorted(_neighbours(neighbours), key=_by_address)),
        )


def _whole(dump: Iterable[Any]) -> list[Any]:
    """Take a dump, unless objects changed meanwhile: 0.9.7 does not look, 0.7.7 does and raises this itself."""
    messages = list(dump)
    if any(message["header"]["flags"] & NLM_F_DUMP_INTR for message in messages):
        raise NetlinkDumpInterrupted
    return messages


def _interfaces(links: Iterable[Any], addresses: Iterable[Any]) -> Iterator[Interface]:
    """Put addresses to their interfaces."""
    held: dict[int, list[tuple[IPAddress, int]]] = {}
    for message in addresses:
        # On a point-to-point link ADDRESS is the far end; IPv6 gives LOCAL only there.
        own = message.get_attr("IFA_LOCAL") or message.get_attr("IFA_ADDRESS")
        if own is not None:
            held.setdefault(message["index"], []).append((ip_address(own), message["prefixlen"]))
    for message in links:
        index = message["index"]
        yield Interface(
            index=index,
            name=clean(str(message.get_attr("IFLA_IFNAME"))),
            up=bool(message["flags"] & _IFF_UP),
            addresses=tuple(sorted(held.get(index, ()), key=lambda pair: (pair[0].version, *pair))),
        )


def _routes(messages: Iterable[Any]) -> Iterator[Route]:
    """Take the routes apart: one for each next hop."""
    for message in messages:
        table = message.get_attr("RTA_TABLE") or message["table"]
        if table == _LOCAL_TABLE:
            continue
        everywhere = "0.0.0.0" if message["family"] == _AF_INET else "::"  # noqa: S104 - a destination
        network = ip_network(f"{message.get_attr('RTA_DST') or everywhere}/{message['dst_len']}")
        hops = message.get_attr("RTA_MULTIPATH")
        for hop in [message] if hops is None else hops:
            yield Route(
                network=network,
                interface=hop.get_attr("RTA_OIF") if hops is None else hop["oif"],
                gateway=_gateway(hop),
                source=_address(message.get_attr("RTA_PREFSRC")),
                metric=message.get_attr("RTA_PRIORITY") or 0,
                table=table,
            )


def _gateway(hop: Any) -> IPAddress | None:
    """Next hop's address; VIA gives one of the other IP version."""
    via = hop.get_attr("RTA_VIA")
    return _address(hop.get_attr("RTA_GATEWAY") or (via and via["addr"]))


def _neighbours(messages: Iterable[Any]) -> Iterator[Neighbour]:
    """Take the entries of the ARP and ND caches that stand for somebody."""
    for message in messages:
        address = _address(message.get_attr("NDA_DST"))
        if address is None or message["state"] & _NUD_NOARP:
            continue
        yield Neighbour(
            address=address,
            interface=message["ifindex"],
            # The kernel gives none as long as nobody answered (INCOMPLETE) or no longer does (FAILED).
            mac=message.get_attr("NDA_LLADDR"),
        )


def _address(text: str | None) -> IPAddress | None:
    """Read an address that may be missing."""
    return None if text is None else ip_address(text)


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
