"""Tables of iptables-legacy, which nftables neither shows nor announces."""

from __future__ import annotations

from pathlib import Path

from portguard.errors import ObserveError
from portguard.kernel.attribution import clean

_NAMES = {
    "ip": Path("/proc/thread-self/net/ip_tables_names"),
    "ip6": Path("/proc/thread-self/net/ip6_tables_names"),
}


def legacy_tables() -> tuple[str, ...]:
    """Name the legacy tables of this network namespace, as ``ip filter``; none when the module is not loaded.

    Raises ObserveError when they cannot be read.
    """
    found = []
    for family, path in _NAMES.items():
        try:
            names = path.read_text(errors="backslashreplace").split()
        except FileNotFoundError:
            continue
        except OSError as error:
            raise ObserveError(f"cannot read {path}: {error.strerror}") from error
        found += [f"{family} {clean(name)}" for name in names]
    return tuple(found)
