"""The ``nft`` program, for listing what others wrote.

A listing of a large foreign ruleset leaves its memory behind (53 MB after 10,000 rules), and what a newer nft
wrote can crash an older one: both are better had in a process that ends.
"""

from __future__ import annotations

import json
import os
import selectors
import shutil
import subprocess
from time import monotonic
from typing import IO, TYPE_CHECKING, TypeAlias, cast

from portguard.errors import ObserveError
from portguard.kernel.libnftables import parse_document, short

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from portguard.model.ruleset import Json, TableKey

_TIMEOUT = 10.0
"""Seconds for one listing; 10,000 rules take 0.2."""
_BOUND = 64 << 20
"""Bytes of one listing; 100,000 elements take 2 MB."""
_SHARE = 0.5
"""Part of the time for a listing with all elements; the rest is for one without, and for sets one by one."""
_SET_TIMEOUT = 1.0
"""Seconds for the elements of one set; 100,000 take 0.3."""
_PIECE = 1 << 18
_PAUSE = 0.005
"""Seconds between two looks at what happens meanwhile."""

Meanwhile: TypeAlias = "Callable[[], None]"


class _TooLargeError(ObserveError):
    """The listing is larger than what is worth reading."""


class _TooLateError(ObserveError):
    """The listing takes longer than it may."""


def list_ruleset(meanwhile: Meanwhile) -> tuple[Json, bool]:
    """List everything; says whether the elements of sets were left out as too many. Raises ObserveError.

    ``meanwhile`` is called every few milliseconds until nft is done, and what it raises ends nft.
    """
    (document,), terse = _documents([{"ruleset": None}], monotonic() + _TIMEOUT, meanwhile)
    return document, terse


def list_table(key: TableKey, until: float, meanwhile: Meanwhile) -> tuple[Json, bool]:
    """List one table, until a moment of the monotonic clock. Raises ObserveError."""
    (document,), terse = _documents([{"table": {"family": key.family, "name": key.name}}], until, meanwhile)
    return document, terse


def list_pieces(key: TableKey, until: float, meanwhile: Meanwhile) -> tuple[Json, bool]:
    """List the chains, sets and maps of a table without the table itself, whose flags nft 1.0.6 cannot print.

    Raises ObserveError.
    """
    kinds, terse = _documents([{"chains": None}, {"sets": None}, {"maps": None}], until, meanwhile)
    chains, sets, maps = ([row for row in kind["nftables"] if _within(row, key)] for kind in kinds)
    names = [row["chain"]["name"] for row in chains]
    of_table = {"family": key.family, "table": key.name}
    filled, _ = _documents([{"chain": {**of_table, "name": name}} for name in names], until, meanwhile)
    metainfo = kinds[0]["nftables"][:1]
    table = {"table": {"family": key.family, "name": key.name}}
    rows = [row for document in filled for row in document["nftables"] if _within(row, key)]
    return {"nftables": [*metainfo, table, *sets, *maps, *rows]}, terse


def list_text(key: TableKey | None, until: float, meanwhile: Meanwhile) -> str:
    """List one table, or everything, as text with handles and without elements. Raises ObserveError."""
    what = ["ruleset"] if key is None else ["table", key.family, key.name]
    try:
        return _output([_program(), "-a", "-t", "list", *what], b"", until, meanwhile).decode(
            errors="backslashreplace"
        )
    except OSError as error:
        raise ObserveError(f"nft cannot be run: {error.strerror}") from error


def _within(row: Json, key: TableKey) -> bool:
    """Whether an object of a listing lies in a table."""
    return any(
        (body.get("family"), body.get("table")) == tuple(key)
        for body in row.values()
        if isinstance(body, dict)
    )


def _documents(wanted: Sequence[Json], until: float, meanwhile: Meanwhile) -> tuple[list[Json], bool]:
    """List several things; where all is too large, the elements of sets one by one, as far as they can be had. Raises ObserveError."""
    if not wanted:
        return [], False
    now = monotonic()
    try:
        return _run(wanted, now + (until - now) * _SHARE, meanwhile, terse=False), False
    except (_TooLargeError, _TooLateError):
        documents = _run(wanted, until, meanwhile, terse=True)
    for document in documents:
        rows = document.get("nftables") if isinstance(document, dict) else None
        for row in rows if isinstance(rows, list) else ():
            for kind in {"set", "map"} & row.keys() if isinstance(row, dict) else ():
                _fetch(kind, row[kind], until, meanwhile)
    return documents, True


def _fetch(kind: str, listed: Json, until: float, meanwhile: Meanwhile) -> None:
    """Put the elements of a set where they were left out. A set that cannot be had stays without, and costs nothing else."""
    try:
        name = {key: listed[key] for key in ("family", "table", "name")}
        (document,) = _run([{kind: name}], min(until, monotonic() + _SET_TIMEOUT), meanwhile, terse=False)
        (found,) = (row[kind] for row in document["nftables"] if kind in row)
    except (ObserveError, ValueError, TypeError, KeyError):
        return
    listed["elem"] = found.get("elem", [])


def _run(wanted: Sequence[Json], until: float, meanwhile: Meanwhile, *, terse: bool) -> list[Json]:
    """Run ``nft -j`` in this thread's network namespace; returns a document for each thing. Raises ObserveError."""
    command = [_program(), "-j", *(["-t"] if terse else []), "-f", "-"]
    asked = json.dumps({"nftables": [{"list": what} for what in wanted]}).encode()
    try:
        output = _output(command, asked, until, meanwhile)
    except OSError as error:
        raise ObserveError(f"nft cannot be run: {error.strerror}") from error
    try:
        # One line for each thing; nft 1.0.6 prints bytes of its own memory for table flags, and returns 0.
        lines = [line for line in output.decode().split("\n") if line]
    except UnicodeDecodeError as error:
        raise ObserveError("what nft printed is not text") from error
    documents = [parse_document(line) for line in lines]
    if len(documents) != len(wanted):
        raise ObserveError(f"nft printed {len(documents)} listings where {len(wanted)} were asked for")
    return documents


def _program() -> str:
    """Find nft. Raises ObserveError."""
    program = shutil.which("nft", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin")
    if program is None:
        raise ObserveError("nft is not installed: apt install nftables")
    return program


def _output(command: Sequence[str], asked: bytes, until: float, meanwhile: Meanwhile) -> bytes:
    """Run a program that reads ``asked``; returns what it prints. Raises OSError and ObserveError."""
    # In memory: a full disk must not blind the daemon.
    with _memory("asked") as stdin, _memory("complaint") as stderr:
        stdin.write(asked)
        stdin.seek(0)
        with subprocess.Popen(  # noqa: S603 - a fixed program; what is listed comes on its input, as JSON
            command, stdin=stdin, stdout=subprocess.PIPE, stderr=stderr
        ) as process:
            try:
                output = _take(process, until, meanwhile)
            except BaseException:
                process.kill()
                raise
        if process.returncode != 0:
            stderr.seek(0)
            said = short(stderr.read(4096).decode(errors="backslashreplace"))
            raise ObserveError(f"nft ended with {process.returncode}: {said}")
    return output


def _memory(name: str) -> IO[bytes]:
    """Make a file in memory. Raises OSError."""
    return os.fdopen(os.memfd_create(name, os.MFD_CLOEXEC), "w+b", buffering=0)


def _take(process: subprocess.Popen[bytes], until: float, meanwhile: Meanwhile) -> bytes:
    """Read all that a process prints, within limits of size and time. Raises ObserveError beyond them."""
    output = bytearray()
    pipe = cast("IO[bytes]", process.stdout)
    with selectors.DefaultSelector() as selector:
        selector.register(pipe, selectors.EVENT_READ)
        while True:
            if not selector.select(min(_PAUSE, max(0.0, until - monotonic()))):
                if monotonic() >= until:
                    raise _TooLateError("nft did not finish its listing in time")
                meanwhile()
                continue
            piece = os.read(pipe.fileno(), _PIECE)
            if not piece:
                return bytes(output)
            output += piece
            if len(output) > _BOUND:
                raise _TooLargeError(f"the listing is larger than {_BOUND} bytes")
