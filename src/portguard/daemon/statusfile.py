"""The status file: what the daemon knows, for ``portguard status`` and whoever else reads JSON."""

from __future__ import annotations

import contextlib
import grp
import json
import os
from typing import TYPE_CHECKING, Any

from portguard.errors import ObserveError

if TYPE_CHECKING:
    from pathlib import Path

_READERS = "adm"
"""Debian's group of those who may read logs."""


def write(path: Path, document: dict[str, Any]) -> None:
    """Replace the file as a whole: a reader sees the old document or the new one, never half of one.

    Raises OSError when it cannot be written (a full disk, a missing directory); the old file stays as it was.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        descriptor = os.open(
            temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o640
        )
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            # Not fatal: without the right to give it away, the service's own group reads it.
            with contextlib.suppress(OSError, KeyError):
                os.fchown(descriptor, -1, grp.getgrnam(_READERS).gr_gid)
            json.dump(document, file, separators=(",", ":"))
            file.write("\n")
        temporary.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


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
