"""The connections that matter when ports are closed: the ways in of administrators, and strangers who are in already."""

from __future__ import annotations

import os
from contextlib import closing
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, Any

from portguard.core.contain import ssh_ports
from portguard.errors import ObserveError
from portguard.kernel.administrator import connection
from portguard.kernel.established import Established
from portguard.kernel.sockets import SocketTable
from portguard.model.listener import Owner
from portguard.model.net import Transport
from portguard.model.snapshot import Connection

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_ANYWHERE = {4: ip_address("0.0.0.0"), 6: ip_address("::")}  # noqa: S104 - not bound to: any address of this host
_SHOWN = 20


def find(environ: Mapping[str, str] = os.environ) -> tuple[tuple[Connection, ...], tuple[Connection, ...]]:
    """Give the connection of whoever types this, and those of other administrators.

    What cannot be listed is none of the others; the own one is known from the environment. None on a console.
    """
    mine = connection(environ)
    ports = {22} | ({mine.port} if mine is not None else set())
    try:
        with closing(SocketTable()) as table:
            ports |= ssh_ports(table.listeners())
        with closing(Established()) as established:
            found = established.to(ports)
    except ObserveError:
        found = ()
    if mine is None:
        return (), found
    own = tuple(row for row in found if (row.peer, row.local_port) == (mine.client, mine.port))
    others = tuple(row for row in found if row not in own)
    return own or (_unseen(mine.client, mine.port),), others


def _unseen(client: Any, port: int) -> Connection:
    """Stand for a connection that the kernel does not list, to whichever address of this host."""
    return Connection(
        peer=client,
        peer_port=0,
        local=_ANYWHERE[client.version],
        local_port=port,
        transport=Transport.TCP,
        state="established",
        owner=Owner(),
    )


def strangers(closed: Sequence[Mapping[str, Any]], *, kill: bool) -> Iterator[str]:
    """Say who is connected to what was closed and would not be let in any more; end those connections if asked to.

    Raises ObserveError when they cannot be listed or ended.
    """
    with closing(Established()) as established:
        for port in closed:
            if port["transport"] != "tcp":
                continue
            allowed = [ip_network(text) for text in port.get("allowed", ())]
            rows = [
                row
                for row in established.to([port["port"]])
                if not any(row.peer in net for net in allowed if net.version == row.peer.version)
            ]
            if not rows:
                continue
            peers = sorted({str(row.peer) for row in rows})
            names = ", ".join(peers[:_SHOWN]) + (
                f" and {len(peers) - _SHOWN} more" if len(peers) > _SHOWN else ""
            )
            one = len(rows) == 1
            count = "1 connection" if one else f"{len(rows)} connections"
            yield (
                f"{count} of strangers to {port['port']}/tcp ({port['application']}) {'stays' if one else 'stay'} open: {names}"
                if not kill
                else (
                    f"{sum(established.destroy(row) for row in rows)} of {count} of strangers to"
                    f" {port['port']}/tcp ({port['application']}) were ended: {names}"
                )
            )
