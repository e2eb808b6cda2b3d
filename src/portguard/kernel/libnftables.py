"""libnftables in this process: the fast way to write, and to read what is small.

One context is kept for ever: its netlink socket is what tells own commits from those of others.
"""

from __future__ import annotations

import json
import os
import re
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

from portguard.errors import ObserveError
from portguard.kernel.attribution import clean
from portguard.kernel.listing_json import decode
from portguard.kernel.netlink import NETLINK_NETFILTER

if TYPE_CHECKING:
    from portguard.model.ruleset import Json

_FDS = Path("/proc/self/fd")
_ERROR = re.compile(r"Error: (.+)")


class Libnftables:
    """One libnftables context, bound to the network namespace of the thread that makes it."""

    def __init__(self) -> None:
        """Open the context. Raises ObserveError when the library is not installed."""
        try:
            # Debian's binding to the system's library: not on PyPI, so it may be missing.
            from nftables import Nftables  # noqa: PLC0415
        except ImportError as error:
            raise ObserveError("python3-nftables is not installed: apt install python3-nftables") from error
        before = _netfilter_ports()
        try:
            self._context: Any = Nftables()
        except OSError as error:
            raise ObserveError(f"libnftables cannot be loaded: {error}") from error
        opened = {fd: port for fd, port in _netfilter_ports().items() if before.get(fd) != port}
        if len(opened) != 1:
            raise ObserveError("the netlink socket of libnftables cannot be told from others")
        ((self._fd, self._port),) = opened.items()
        self._context.set_json_output(True)

    @property
    def port_id(self) -> int:
        """Netlink port of the context's socket; 0 as long as it never sent anything."""
        return self._port

    def run(self, command: str, *, dry_run: bool = False) -> tuple[str, str | None]:
        """Run libnftables JSON; returns what it prints and, when it failed, why in a few words.

        Raises ObserveError when the output is not text.
        """
        self._context.set_dry_run(dry_run)
        code, output, error = self._context.cmd(command.encode())
        # libnftables opens a new socket when a listing was interrupted: the port is looked at after each run.
        self._port = _port_of(self._fd) or self._port
        said = None if code == 0 else short(error.decode(errors="backslashreplace"))
        try:
            return output.decode(), said
        except UnicodeDecodeError as cause:
            raise ObserveError("the output of libnftables is not text") from cause

    def listing(self, what: Json) -> Json:
        """Run one ``list`` command and return the document. Raises ObserveError."""
        output, error = self.run(json.dumps({"nftables": [{"list": what}]}))
        if error is not None:
            raise ObserveError(f"libnftables cannot list: {error}")
        return parse_document(output)

    def close(self) -> None:
        """Free the context and its socket."""
        self._context = None


def parse_document(output: str) -> Json:
    """Read libnftables' JSON. Raises ObserveError for what is cut off: a success with garbage is a failure."""
    try:
        document = decode(output)
    except ValueError as error:
        raise ObserveError(f"nft printed something that is not JSON: {error}") from error
    if not isinstance(document, dict) or not isinstance(document.get("nftables"), list):
        raise ObserveError("nft printed JSON that is not a listing")
    return document


def short(error: str) -> str:
    """Take the first complaint out of libnftables' error text."""
    found = _ERROR.search(error)
    text = found[1] if found else error.strip().partition("\n")[0]
    # It also guesses at what was meant, from whatever is near: that is no news about a transaction of ours.
    text = text.removeprefix("Could not process rule: ").partition("; did you mean")[0]
    return clean(text) or "no reason given"


def _netfilter_ports() -> dict[int, int]:
    """Ports of this process' netfilter sockets by descriptor."""
    fds = [int(name) for name in os.listdir(_FDS)]  # noqa: PTH208 - names are all that is wanted
    return {fd: port for fd in fds if (port := _port_of(fd)) is not None}


def _port_of(fd: int) -> int | None:
    """Port of a netfilter socket; None when the descriptor is something else."""
    try:
        borrowed = socket.socket(fileno=fd)
    except OSError:
        return None
    try:
        if borrowed.family != socket.AF_NETLINK or borrowed.proto != NETLINK_NETFILTER:
            return None
        port: int = borrowed.getsockname()[0]
        return port
    finally:
        borrowed.detach()
