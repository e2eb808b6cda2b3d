"""Names and flags of tables, asked of the kernel itself.

nft 1.0.6 prints table flags in JSON from memory that holds something else (a wrong word, text cut off, bytes that
are no text), so neither the flags nor the listing of a table that has any can be believed.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, NamedTuple

from portguard.errors import ObserveError
from portguard.kernel.generation import NFGENMSG, NFNL_SUBSYS_NFTABLES
from portguard.kernel.netlink import ATTRIBUTE, attributes, request, string
from portguard.model.ruleset import TableKey

if TYPE_CHECKING:
    import socket

    from portguard.kernel.netlink import Message

FAMILIES = {1: "inet", 2: "ip", 3: "arp", 5: "netdev", 7: "bridge", 10: "ip6"}
"""Families by number (NFPROTO_* of include/uapi/linux/netfilter.h)."""
_NUMBERS = {name: number for number, name in FAMILIES.items()}
_NFT_MSG_GETTABLE = (NFNL_SUBSYS_NFTABLES << 8) | 1
_NFTA_TABLE_NAME = 1
_NFTA_TABLE_FLAGS = 2
_NFTA_TABLE_HANDLE = 4
_FLAGS = {0x1: "dormant", 0x2: "owner", 0x4: "persist"}


class Found(NamedTuple):
    """What the kernel says of a table."""

    handle: int
    flags: tuple[str, ...]


def list_tables(sock: socket.socket) -> dict[TableKey, Found]:
    """List all tables of the socket's network namespace in the kernel's order. Raises ObserveError."""
    try:
        return dict(
            _table(message) for message in request(sock, _NFT_MSG_GETTABLE, NFGENMSG.pack(0, 0, 0), dump=True)
        )
    except OSError as error:
        raise ObserveError(f"cannot list the tables of the ruleset: {error.strerror or error}") from error


def find_table(sock: socket.socket, key: TableKey) -> Found | None:
    """Look for one table; None when there is none of that name. Raises ObserveError."""
    if key.family not in _NUMBERS:
        raise ObserveError(f"the family of table {key} is not known")
    name = key.name.encode(errors="backslashreplace") + b"\0"
    ask = NFGENMSG.pack(_NUMBERS[key.family], 0, 0)
    ask += ATTRIBUTE.pack(ATTRIBUTE.size + len(name), _NFTA_TABLE_NAME) + name + bytes(-len(name) % 4)
    try:
        for message in request(sock, _NFT_MSG_GETTABLE, ask):
            return _table(message)[1]
    except OSError as error:
        if error.errno == errno.ENOENT:
            return None
        raise ObserveError(f"cannot look for table {key}: {error.strerror or error}") from error
    return None


def _table(message: Message) -> tuple[TableKey, Found]:
    """Read one answer."""
    family = NFGENMSG.unpack_from(message.payload)[0]
    fields = dict(attributes(message.payload, NFGENMSG.size))
    bits = int.from_bytes(fields.get(_NFTA_TABLE_FLAGS, b""))
    words = [name for bit, name in _FLAGS.items() if bits & bit]
    unknown = bits & ~sum(_FLAGS)
    if unknown:
        words.append(f"{unknown:#x}")
    handle = int.from_bytes(fields.get(_NFTA_TABLE_HANDLE, b""))
    key = TableKey(FAMILIES.get(family, str(family)), string(fields[_NFTA_TABLE_NAME]))
    return key, Found(handle=handle, flags=tuple(words))
