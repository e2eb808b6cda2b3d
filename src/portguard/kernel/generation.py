"""The number of the ruleset's state, asked of the kernel in microseconds."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from portguard.errors import ObserveError
from portguard.kernel.netlink import NETLINK_NETFILTER, attributes, open_socket, request

if TYPE_CHECKING:
    import socket

NFNL_SUBSYS_NFTABLES = 10
NFT_MSG_GETGEN = (NFNL_SUBSYS_NFTABLES << 8) | 16
NFTA_GEN_ID = 1
NFGENMSG = struct.Struct("!BBH")
"""family, version, resource id (the lower half of the generation)"""
_REQUEST = NFGENMSG.pack(0, 0, 0)


def open_generation() -> socket.socket:
    """Open a socket to ask for the generation of this thread's network namespace. Raises ObserveError."""
    try:
        return open_socket(NETLINK_NETFILTER)
    except OSError as error:
        raise ObserveError(f"cannot open a netfilter socket: {error.strerror}") from error


def ask_generation(sock: socket.socket) -> int:
    """Ask for the ruleset's generation; about 10 microseconds. Raises ObserveError."""
    try:
        for message in request(sock, NFT_MSG_GETGEN, _REQUEST):
            for kind, value in attributes(message.payload, NFGENMSG.size):
                if kind == NFTA_GEN_ID:
                    return int.from_bytes(value)
    except OSError as error:
        raise ObserveError(f"cannot ask for the ruleset's generation: {error.strerror or error}") from error
    raise ObserveError("the kernel told no generation of the ruleset")
