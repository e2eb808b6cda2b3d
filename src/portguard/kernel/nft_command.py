"""The ``nft`` program, for listing what others wrote.

A listing of a large foreign ruleset leaves its memory behind (53 MB after 10,000 rules), and a table of a newer
nft can crash an older one: both are better had in a process that ends.
"""

from __future__ import annotations

import os
import selectors
import shutil
import subprocess
import tempfile
import time
from typing import IO, cast

from portguard.errors import ObserveError

_BOUND = 64 << 20
_PIECE = 1 << 18


class TooLargeError(ObserveError):
    """The listing is larger than what is worth reading."""


def list_as_json(*what: str, timeout: float, terse: bool = False, bound: int = _BOUND) -> str:
    """Run ``nft -j list`` in this thread's network namespace and return what it prints, at most ``bound`` bytes.

    ``terse`` leaves out the elements of sets. Raises TooLargeError, and ObserveError for any other failure.
    """
    program = shutil.which("nft", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin")
    if program is None:
        raise ObserveError("nft is not installed: apt install nftables")
    command = [program, "-j", *(["-t"] if terse else []), "list", *what]
    with (
        tempfile.TemporaryFile() as complaint,
        subprocess.Popen(  # noqa: S603 - a fixed program; names of tables are arguments, no shell reads them
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=complaint
        ) as process,
    ):
        try:
            output = _take(process, bound, time.monotonic() + timeout)
        except ObserveError:
            process.kill()
            raise
        if process.wait() != 0:
            complaint.seek(0)
            said = complaint.read(4096).decode(errors="backslashreplace").strip()
            raise ObserveError(f"{' '.join(command)}: {said.partition(chr(10))[0] or process.returncode}")
    try:
        return output.decode()
    except UnicodeDecodeError as error:
        # nft 1.0.6 prints bytes of its own memory for a table with ``flags owner``, and returns 0.
        raise ObserveError(f"{' '.join(command)}: the output is not text") from error


def _take(process: subprocess.Popen[bytes], bound: int, until: float) -> bytes:
    """Read all that a process prints, within limits of size and time. Raises ObserveError beyond them."""
    output = bytearray()
    pipe = cast("IO[bytes]", process.stdout)
    with selectors.DefaultSelector() as selector:
        selector.register(pipe, selectors.EVENT_READ)
        while True:
            if not selector.select(max(0.0, until - time.monotonic())):
                raise ObserveError("nft did not finish its listing in time")
            piece = os.read(pipe.fileno(), _PIECE)
            if not piece:
                return bytes(output)
            output += piece
            if len(output) > bound:
                raise TooLargeError(f"the listing is larger than {bound} bytes")
