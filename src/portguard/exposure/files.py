"""Read a file that somebody else may have planted: bounded, without following links, and never waiting.

What could be planted: a link to a secret, a FIFO that makes the reader wait, a device that acts on being opened, a file
without end, a mount whose server never answers (FUSE, NFS). Each is refused with OSError before it is read.
"""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

_LOCAL = frozenset(
    {
        "bcachefs", "btrfs", "erofs", "ext2", "ext3", "ext4", "f2fs", "jfs", "overlay", "ramfs", "reiserfs", "rootfs",
        "squashfs", "tmpfs", "xfs", "zfs",
    }
)  # fmt: skip
"""File systems that answer by themselves. A list of those that do not could never be complete."""
_DEEPEST = 40
_MOUNTS = 1 << 20
"""Bytes of a process's mount table that are read."""
_CHUNK = 1 << 16


def read_stream(path: str, limit: int, directory: int | None = None) -> tuple[bytes, bool]:
    """Read a file of /proc up to ``limit`` bytes; says whether that was all of it. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW, dir_fd=directory)
    try:
        out = bytearray()
        while len(out) <= limit:
            chunk = os.read(descriptor, min(_CHUNK, limit + 1 - len(out)))
            if not chunk:
                return bytes(out), True
            out += chunk
    finally:
        os.close(descriptor)
    return bytes(out[:limit]), False


def read_planted(
    process: int, path: str, *, limit: int, owners: Collection[int]
) -> tuple[bytes, os.stat_result]:
    """Read a regular file as a process sees it.

    ``process`` is a descriptor of its directory in /proc, ``path`` an absolute path below its root, ``owners`` the users
    whom the file may belong to. Raises OSError for what is not there, is not such a file, or is larger than ``limit``.
    """
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if not parts or ".." in parts or len(parts) > _DEEPEST or "\0" in path:
        raise OSError(errno.EINVAL, "not a path that is read", path)
    descriptor = os.open("root", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=process)
    try:
        mount = _local_mount(process, descriptor, None)
        for part in parts:
            last = part is parts[-1]
            flags = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC | (0 if last else os.O_DIRECTORY)
            below = os.open(part, flags, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = below
            mount = _local_mount(process, descriptor, mount)
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_uid not in owners:
            raise OSError(errno.EPERM, "not a regular file of the process's user", path)
        # Opened for reading only now: opening a device can already have an effect.
        content, whole = _contents(descriptor, limit)
        if not whole:
            raise OSError(errno.EFBIG, "larger than what is read", path)
        return content, found
    finally:
        os.close(descriptor)


def _contents(descriptor: int, limit: int) -> tuple[bytes, bool]:
    """Read what an O_PATH descriptor stands for."""
    readable = os.open(
        f"/proc/self/fd/{descriptor}", os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    )
    try:
        out = bytearray()
        while len(out) <= limit:
            chunk = os.read(readable, min(_CHUNK, limit + 1 - len(out)))
            if not chunk:
                return bytes(out), True
            out += chunk
    finally:
        os.close(readable)
    return b"", False


def _local_mount(process: int, descriptor: int, before: int | None) -> int:
    """Give the mount that a descriptor lies on; raises OSError when others answer for its files."""
    info, _ = read_stream(f"/proc/self/fdinfo/{descriptor}", _CHUNK)
    mount = next(int(line[7:]) for line in info.splitlines() if line.startswith(b"mnt_id:"))
    if mount != before and _type_of(process, mount) not in _LOCAL:
        # The file systems of a kernel's own (proc, sysfs) hold nothing that is looked for either.
        raise OSError(errno.EREMOTE, "not a file system of this host")
    return mount


def _type_of(process: int, mount: int) -> str | None:
    """Type of the file system of a mount that the process sees; asks the kernel's own table, not the file system."""
    head = b"%d " % mount
    # The table of a process in a chroot leaves out what lies above; the first process sees that.
    for path, directory in (("mountinfo", process), ("/proc/1/mountinfo", None)):
        for line in read_stream(path, _MOUNTS, directory)[0].splitlines():
            if line.startswith(head):
                return line.partition(b" - ")[2].partition(b" ")[0].decode("ascii", "replace")
    return None
