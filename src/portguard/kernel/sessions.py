"""Login sessions: who logged in, from where, as systemd-logind and the user database of this host know it.

``/run/systemd/sessions/ID`` is what ``sd_session_get_remote_host(3)`` reads; its keys have been the same since systemd 208. The
names of users come from ``/etc/passwd`` alone: asking a directory server for one could take seconds.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

SESSIONS = "/run/systemd/sessions"
PASSWD = "/etc/passwd"  # noqa: S105 - a file of names
_LONGEST = 1 << 14
_LARGEST = 1 << 20
"""Bytes of /etc/passwd that are read: more than 10,000 users."""

_SCOPE = re.compile(r"/session-([A-Za-z0-9]{1,32})\.scope(?:/|$)")
_ID = re.compile(r"[A-Za-z0-9]{1,32}")
_PLAIN = re.compile(r"[A-Za-z0-9_.:%/@\[\]-]{1,256}")
"""What a name, a host or a terminal consists of; anything else is left out rather than decoded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """One login session."""

    id: str
    user: str | None = None
    service: str | None = None
    """What let the user in: ``sshd``, ``login``, ``cron``."""
    remote: str | None = None
    """Host that the user came from, as the service gave it to PAM."""
    terminal: str | None = None


def session_of_cgroup(path: str) -> str | None:
    """Name the login session that a cgroup belongs to, or None."""
    found = _SCOPE.search(path)
    return found[1] if found else None


def read_session(number: str, folder: str = SESSIONS) -> Session:
    """Read what logind keeps of a session; with nothing but the id where it keeps nothing, or may not be asked."""
    fields: dict[str, str] = {}
    if _ID.fullmatch(number):
        for line in _text(f"{folder}/{number}", _LONGEST).splitlines():
            key, _, value = line.partition("=")
            fields[key] = value
    return Session(
        id=number,
        user=_plain(fields.get("USER")),
        service=_plain(fields.get("SERVICE")),
        remote=_plain(fields.get("REMOTE_HOST")),
        terminal=_plain(fields.get("TTY")),
    )


def login_name(uid: int, path: str = PASSWD) -> str | None:
    """Name a user of this host; None for one that only a directory server knows."""
    for line in _text(path, _LARGEST).splitlines():
        fields = line.split(":")
        if len(fields) >= 3 and fields[2] == str(uid):
            return _plain(fields[0])
    return None


def _plain(value: str | None) -> str | None:
    word = (value or "").strip('"')
    return word if _PLAIN.fullmatch(word) else None


def _text(path: str, limit: int) -> str:
    """Read the beginning of a file that is no link and no pipe; empty where that cannot be."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return ""
    try:
        return os.read(descriptor, limit).decode(errors="replace")
    except OSError:
        return ""
    finally:
        os.close(descriptor)
