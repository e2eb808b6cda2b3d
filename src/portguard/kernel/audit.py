"""What the audit log says of a ruleset change whose author is gone already: read from the end, for one change at a time.

The kernel writes, for each table that a transaction touches (``kernel/auditsc.c``, ``nf_tables_commit_audit_log()``)::

    type=NETFILTER_CFG msg=audit(SECONDS.MILLIS:SERIAL): table=NAME:GENERATION family=2 entries=1 op=nft_unregister_rule
        pid=THREAD subj=LABEL comm="nft"

and, where rules or their absence do not turn off the auditing of system calls, a record of the call with the same serial number::

    type=SYSCALL msg=audit(SECONDS.MILLIS:SERIAL): ... ppid=1 pid=2 auid=1000 ... ses=4 comm="nft" exe="/usr/sbin/nft" ...

Generation, thread, name and time must all agree. Whoever may write that file is root already.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

LOG = "/var/log/audit/audit.log"
_TAIL = 1 << 17
"""Bytes from the end that are read: 400 records, a second of a busy log."""
_AGE = 30.0
"""Seconds that a record may lie before or after the announcement: the log's clock is the host's, which may be stepped."""
_HEAD = re.compile(r"(?:node=\S+ )?type=([A-Z_]+) msg=audit\((\d{1,12}\.\d{1,6}):(\d{1,20})\):\s*(.*)")
_FIELD = re.compile(r'(?:^|\s)([a-z][a-z0-9_-]*)=("[^"]*"|\S+)')
_ENRICHED = "\x1d"
"""Before what auditd adds for people to read (log_format = ENRICHED)."""
_UNSET = "4294967295"


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """What a record of a system call tells of the process that made it."""

    pid: int | None
    """Process of the thread that committed."""
    parent: int | None
    loginuid: int | None
    session: str | None
    exe: str | None


class AuditLog:
    """The audit log of this host, if there is one that we may read."""

    def __init__(self, path: str = LOG) -> None:
        """Read this file."""
        self._path = path

    def find(self, *, generation: int, thread: int, comm: str, when: float) -> Caller | None:
        """Look a transaction up; ``when`` is the time of its announcement, in seconds since 1970.

        None where it is not there: not written yet, rotated away, or nobody audits.
        """
        calls: dict[str, dict[str, str]] = {}
        serials: set[str] = set()
        for kind, seconds, serial, fields in self._records():
            if abs(seconds - when) > _AGE:
                continue
            if kind == "SYSCALL":
                calls[serial] = fields
            elif (
                kind == "NETFILTER_CFG"
                and fields.get("table", "").rpartition(":")[2] == str(generation)
                and fields.get("pid") == str(thread)
                and text(fields.get("comm", "")) == comm
            ):
                serials.add(serial)
        found = [calls[serial] for serial in serials if serial in calls]
        # Two that agree in everything would be two network namespaces of one thread: then nobody knows which it was.
        return _caller(found[0]) if len(found) == 1 else None

    def _records(self) -> Iterator[tuple[str, float, str, dict[str, str]]]:
        for line in self._tail().split("\n"):
            head = _HEAD.fullmatch(line.partition(_ENRICHED)[0].rstrip())
            if head is not None:
                fields: dict[str, str] = {}
                for name, value in _FIELD.findall(head[4]):
                    fields.setdefault(name, value)
                yield head[1], float(head[2]), head[3], fields

    def _tail(self) -> str:
        """Whole lines from the end of the file; nothing where it may not be read."""
        try:
            descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError:
            return ""
        try:
            size = os.fstat(descriptor).st_size
            content = os.pread(descriptor, _TAIL, max(0, size - _TAIL))
        except OSError:
            return ""
        finally:
            os.close(descriptor)
        if size > _TAIL:
            content = content.partition(b"\n")[2]
        # The last line may still be being written.
        return content.rpartition(b"\n")[0].decode(errors="replace")


def text(value: str) -> str:
    """Read a value that a process chose: quoted, or in hexadecimal where it holds blanks, quotes or control characters."""
    if value.startswith('"'):
        return value.strip('"')
    try:
        return bytes.fromhex(value).decode(errors="backslashreplace")
    except ValueError:
        return value


def _caller(fields: dict[str, str]) -> Caller:
    exe = text(fields.get("exe", ""))
    session = fields.get("ses", _UNSET)
    return Caller(
        pid=_number(fields.get("pid")),
        parent=_number(fields.get("ppid")),
        loginuid=_number(fields.get("auid")),
        session=session if session.isdecimal() and session != _UNSET else None,
        exe=exe if exe.startswith("/") else None,
    )


def _number(value: str | None) -> int | None:
    return (
        int(value)
        if value is not None and value.isdecimal() and len(value) <= 10 and value != _UNSET
        else None
    )
