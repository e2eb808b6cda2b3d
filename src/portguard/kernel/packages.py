"""Which Debian package a file belongs to, from dpkg's own lists; a path that is listed proves nothing of the content."""

from __future__ import annotations

import os
import re

ADMIN_DIR = "/var/lib/dpkg"
_PACKAGED = re.compile(r"/(?:usr/(?!local/)|s?bin/|lib[^/]*/|opt/|etc/|var/lib/)")
"""Where packages put programs; what lies elsewhere is not looked for."""
_LARGEST = 1 << 23
"""Bytes of one list that are read; that of the kernel's headers has 2 million."""
_KEPT = 1024
_STEM = 3


class Packages:
    """Answers for paths, and keeps the answers until packages come or go.

    An answer takes 1 ms where the package's name resembles the program's, as most do, and 20 to 50 ms otherwise: all lists of the
    host are read then.
    """

    def __init__(self, admin_dir: str = ADMIN_DIR) -> None:
        """Read below dpkg's directory."""
        self._info = f"{admin_dir}/info"
        self._diversions = f"{admin_dir}/diversions"
        self._changed: int | None = None
        self._known: dict[str, str | None] = {}

    def of(self, path: str) -> str | None:
        """Name the package of a file; None where none lists it, or there is no dpkg."""
        path = path.removesuffix(" (deleted)")
        if not _PACKAGED.match(path) or "\n" in path:
            return None
        try:
            changed = os.stat(self._info).st_mtime_ns  # noqa: PTH116 - asked for each listener
        except OSError:
            return None
        if changed != self._changed or len(self._known) >= _KEPT:
            self._known.clear()
            self._changed = changed
        if path not in self._known:
            self._known[path] = self._search(path)
        return self._known[path]

    def _search(self, path: str) -> str | None:
        listed, diverting, by = self._diverted(path)
        if diverting is not None:
            return diverting
        # Since directories were merged, a list may say /bin/bash of what is /usr/bin/bash.
        spelled = {listed, listed.removeprefix("/usr"), f"/usr{listed}"}
        needles = [f"\n{name}\n".encode() for name in spelled if name.startswith("/")]
        try:
            lists = [name for name in os.listdir(self._info) if name.endswith(".list")]  # noqa: PTH208
        except OSError:
            return None
        for name in sorted(lists, key=lambda name: -_alike(name, path)):
            package = name.removesuffix(".list").partition(":")[0]
            content = b"\n" + _content(f"{self._info}/{name}")
            if package != by and any(needle in content for needle in needles):
                return package
        return None

    def _diverted(self, path: str) -> tuple[str, str | None, str | None]:
        """Give the name under which a file is listed, the package it was diverted for, and the one it was moved by.

        dpkg-divert moves a package's file aside (``/usr/bin/perf`` to ``/usr/bin/perf.real``) so that another can have
        its name; the lists keep the old one.
        """
        lines = _content(self._diversions).decode(errors="replace").splitlines()
        for original, moved, package in zip(lines[::3], lines[1::3], lines[2::3], strict=False):
            if path == moved:
                return original, None, package
            if path == original and package != ":":
                return path, package, None
        return path, None, None


def _alike(name: str, path: str) -> int:
    """Say how much the name of a list resembles a path: of /usr/sbin/nft, nftables.list is looked at first."""
    words = [word for word in re.split(r"[^a-z0-9]+", path.lower()) if len(word) >= _STEM]
    words = [word for word in words if word not in ("usr", "bin", "sbin", "lib", "share", "opt")]
    if not words:
        return 0
    stem = words[-1][: _STEM + 1]
    return sum(word in name for word in words) * 2 + (stem in name) + (stem[:_STEM] in name)


def _content(path: str) -> bytes:
    """Read a file; empty where it cannot be: a package that goes meanwhile takes its list along."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return b""
    try:
        return os.read(descriptor, _LARGEST)
    except OSError:
        return b""
    finally:
        os.close(descriptor)
