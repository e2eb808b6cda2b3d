"""Files that other programs write, read with bounds: their size, their number, and no link is followed."""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING, NamedTuple

from portguard.errors import ObserveError

if TYPE_CHECKING:
    from pathlib import Path

LARGEST = 1 << 20
"""Bytes of a file."""
MOST = 256
"""Files of a folder."""


class Found(NamedTuple):
    """A file that was read."""

    path: str
    content: bytes
    written: float
    """When it was last written, in seconds since 1970."""


def read_file(path: Path | str) -> Found | None:
    """Read a regular file; None when there is none. Raises ObserveError, with the path, when it cannot be read as a whole."""
    try:
        # Without waiting: a FIFO in its place must not hold anybody up.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        reason = "is a link, which is not followed" if error.errno == errno.ELOOP else error.strerror
        raise ObserveError(f"{path}: {reason}") from error
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise ObserveError(f"{path}: is not a regular file")
        content = b""
        while chunk := os.read(descriptor, LARGEST + 1 - len(content)):
            content += chunk
        if len(content) > LARGEST:
            raise ObserveError(f"{path}: is larger than {LARGEST >> 10} KiB")
    except OSError as error:
        raise ObserveError(f"{path}: {error.strerror}") from error
    finally:
        os.close(descriptor)
    return Found(str(path), content, status.st_mtime)


def names(folder: Path) -> list[str]:
    """List the files of a folder that are not hidden, sorted; none when there is no folder. Raises ObserveError."""
    try:
        found = sorted(entry.name for entry in folder.iterdir() if not entry.name.startswith("."))
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise ObserveError(f"{folder}: {error.strerror}") from error
    if len(found) > MOST:
        raise ObserveError(f"{folder}: holds more than {MOST} files")
    return found
