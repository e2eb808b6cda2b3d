"""The status file: what the daemon knows, for ``portguard status`` and whoever else reads JSON."""

from __future__ import annotations

import contextlib
import grp
import json
import os
import struct
from typing import TYPE_CHECKING, Any

from portguard.errors import ObserveError

if TYPE_CHECKING:
    from pathlib import Path

_READERS = "adm"
"""Debian's group of those who may read logs."""


def write(path: Path, document: dict[str, Any], *, durable: bool = False) -> None:
    """Write a document as :func:`replace` does. Raises OSError."""
    replace(path, json.dumps(document, separators=(",", ":")) + "\n", durable=durable)


def replace(path: Path, text: str, *, durable: bool = False) -> None:
    """Replace the file as a whole: a reader sees the old one or the new one, never half of one.

    ``durable``: it is on the disk when this returns; what was not may be an empty file after a power cut. Raises OSError when
    it cannot be written (a full disk, a missing directory); the old file stays as it was.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        descriptor = os.open(
            temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o640
        )
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            # Not fatal: where there are no access lists, the service's own group reads it.
            with contextlib.suppress(OSError, KeyError):
                os.setxattr(
                    descriptor, "system.posix_acl_access", _readable_by(grp.getgrnam(_READERS).gr_gid)
                )
            file.write(text)
            if durable:
                file.flush()
                os.fsync(descriptor)
        temporary.replace(path)
        if durable:
            _sync_folder(path.parent)
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _readable_by(group: int) -> bytes:
    """Spell mode 0640 with a second group that may read, as the kernel keeps it (``man 5 acl``).

    Giving the file to that group would take a system call that the service is better off without, and take it from its own.
    """
    user_obj, group_obj, other_group, mask, other = 0x01, 0x04, 0x08, 0x10, 0x20
    rows = (
        (user_obj, 6, None),
        (group_obj, 4, None),
        (other_group, 4, group),
        (mask, 4, None),
        (other, 0, None),
    )
    entries = (
        struct.pack("<HHI", tag, rights, 0xFFFFFFFF if who is None else who) for tag, rights, who in rows
    )
    return struct.pack("<I", 2) + b"".join(entries)


def read(path: Path) -> dict[str, Any]:
    """Read the document. Raises ObserveError with a sentence that says what to do about it."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ObserveError(
            f"{path} does not exist: the daemon is not running (systemctl status portguard)"
        ) from None
    except PermissionError:
        raise ObserveError(
            f"{path} may not be read by this user: become root, or join the group portguard or {_READERS}"
        ) from None
    except (OSError, ValueError) as error:
        raise ObserveError(f"{path} could not be read: {error}") from error
    if not isinstance(document, dict) or document.get("schema") != 1:
        raise ObserveError(f"{path} was written by another version of portguard")
    return document
